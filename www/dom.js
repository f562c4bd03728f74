// What all parts of the page use.

export const $ = (id) => document.getElementById(id);

export function element(tag, attributes = {}, ...children) {
  const node = Object.assign(document.createElement(tag), attributes);
  node.append(...children);
  return node;
}

export const bytes = (n) => (n >= 1e6 ? `${(n / 1e6).toFixed(1)} MB` : `${(n / 1e3).toFixed(0)} kB`);
export const two = (x) => (Math.round(x * 100) / 100 + 0).toFixed(2); // + 0 makes -0 a 0
export const duration = (ms) => (ms >= 1000 ? `${(ms / 1000).toFixed(1)} s` : `${ms.toFixed(ms >= 10 ? 0 : 1)} ms`);

export function showFailure({ code, message }) {
  const browsers = " Try a current Chrome, Edge, Safari or Firefox, over https or on localhost.";
  $("status").textContent = `${message}.${code === "no-adapter" ? browsers : ""}`;
  $("loading").classList.add("failed");
  $("loading").hidden = false;
  $("progress").hidden = true;
}

/** Runs `call(signal)`, which the next call cancels: what was typed before no longer matters. */
export function latest(call) {
  let running;
  return async (...given) => {
    running?.abort();
    running = new AbortController();
    try {
      await call(running.signal, ...given);
    } catch (error) {
      if (error.code !== "aborted") showFailure(error);
    }
  };
}
