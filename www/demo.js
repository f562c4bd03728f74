// The demo page: loads the model that comes with the package, and hands it to the parts of the page.
import { load } from "./dist/index.js";
import "./dist/mini.js";

import { $, bytes, duration, element, showFailure } from "./dom.js";
import { startLines } from "./lines.js";
import { startSearch } from "./search.js";

function showProgress({ stage, allLoaded, allTotal }) {
  if (stage === "download") {
    $("status").textContent = `Loading the model: ${bytes(allLoaded)} of ${bytes(allTotal)}`;
    Object.assign($("progress"), { value: allLoaded, max: allTotal });
  } else if (stage === "compile") {
    $("status").textContent = "Choosing the kernels, and checking each";
    $("progress").removeAttribute("value");
  }
}

const facts = new Map();

/** Rows of the table at the page's end; those of a name that is there are replaced. */
function showFacts(rows) {
  for (const [name, value] of Object.entries(rows)) facts.set(name, value);
  const pairs = [...facts].map(([name, value]) =>
    element("div", {}, element("dt", { textContent: name }), element("dd", { textContent: value })),
  );
  $("info").replaceChildren(...pairs);
}

function runsOn({ device, adapter, threads, why }) {
  if (device === "cpu") return `the processor: ${why}; ${threads === 1 ? "one thread" : `${threads} threads`}`;
  return adapter.software ? "software: right, but slow" : "hardware";
}

async function main() {
  const started = performance.now();
  const model = await load("mini", { onProgress: showProgress });
  const { info } = model;
  showFacts({
    "Model": `${info.id}: ${info.layers} layers, ${info.dimensions} dimensions, up to ${info.maxTokens} tokens`,
    "Adapter": `${info.adapter.name || "unnamed"} (${runsOn(info)})`,
    "Weights": `${info.weights}, ${bytes(info.bytes.device)} on the ${info.device === "cpu" ? "processor" : "GPU"} and ${bytes(info.bytes.host)} in memory`,
    [info.device === "cpu" ? "Kernels" : "Kernels, each checked on this adapter"]: info.kernels.join(", "),
    "Model loaded in": duration(performance.now() - started),
  });
  $("loading").hidden = true;
  $("ready").hidden = false;
  await Promise.all([startLines(model, showFacts), startSearch(model, showFacts)]);
}

main().catch(showFailure);
