// What never answers: scripts of workers, the wasm module, servers, a fetch of one's own. Each wait ends by itself with a
// typed error or a way around, or when the caller cancels. The page's clock is the test's, so nothing here takes a minute.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { serve } from "../../scripts/serve.mjs";
import { start, until } from "./browser.mjs";

/** `/{how}/{file}/...` is dist/..., but for that one file. */
const PATH = /^\/(empty|other|endless|mute|good)\/([\w-]+\.(?:js|wasm))\/(.*)$/;
const SCRIPT = { "Content-Type": "text/javascript" };
const HOW = {
  empty: (response, headers) => response.writeHead(200, { ...headers, ...SCRIPT }).end(),
  // Somebody else's worker, which talks.
  other: (response, headers) => response.writeHead(200, { ...headers, ...SCRIPT }).end('postMessage("hello"); postMessage(null);'),
  endless: (response, headers, file) => {
    const type = file.endsWith(".wasm") ? { "Content-Type": "application/wasm" } : SCRIPT;
    response.writeHead(200, { ...headers, ...type }).write(file.endsWith(".wasm") ? Buffer.from("\0asm") : "// and so on\n");
  },
  mute: () => {},
};

let browser;
let server;
/** Whether the server does what it is told, or serves the package as it is. */
let broken = true;
before(async () => {
  browser = await start();
  server = await serve({
    port: 0,
    connect: [browser.server.url],
    intercept(request, response, headers) {
      const [, how, victim, path] = PATH.exec(request.url) ?? [];
      if (how && broken && path.split("/").at(-1) === victim) {
        HOW[how]?.(response, headers, victim);
        return true;
      }
      if (path) request.url = `/dist/${path}`;
      if (request.url !== "/blank.html") return false;
      response.writeHead(200, { ...headers, "Content-Type": "text/html" }).end("<!doctype html><title>test</title>");
      return true;
    },
  });
});
after(async () => {
  await browser.stop();
  await server.close();
});

/** Visits a page whose clock stands still but for `elapse`. */
const visit = (act, expected = []) =>
  browser.visit("/blank.html", async (page) => {
    await page.clock.install();
    await page.goto(new URL("/blank.html", server.url).href);
    await act(page);
    await until(() => page.workers().length === 0, "every worker has ended");
  }, expected);

/** Lets seconds pass in the page until `promise` settles: more quickly than in life, slowly enough for what does answer. */
async function elapse(page, promise) {
  let settled = false;
  promise.then(() => (settled = true), () => (settled = true));
  for (let seconds = 0; seconds < 400 && !settled; seconds++) {
    await page.clock.runFor(1000);
    await new Promise((resolve) => setTimeout(resolve, 15));
  }
  assert.ok(settled, "still not settled after 400 seconds");
  return promise;
}

/** Loads mini by the package at `path`: how that ends, and what was heard. With `cancel`, the caller cancels it. */
const loading = (page, path, options, cancel = false) =>
  page.evaluate(
    async ([path, options, cancel]) => {
      const { cache, load } = await import(`${path}/index.js`);
      await import(`${path}/mini.js`);
      const notices = [];
      const stop = new AbortController();
      const onProgress = (p) => p.stage === "notice" && notices.push(p.message);
      if (cancel) requestIdleCallback(() => requestIdleCallback(() => stop.abort()));
      try {
        const model = await load(options.id ?? "mini", { device: "cpu", ...options.with, onProgress, signal: stop.signal });
        const { shape } = await model.embed("a");
        while (options.notice && notices.length === 0) await new Promise((resolve) => setTimeout(resolve, 500));
        await model.dispose();
        return { shape, notices, kept: (await cache.list()).length };
      } catch (error) {
        return { name: error.name, code: error.code, message: error.message, notices };
      }
    },
    [path, options, cancel],
  );

const assertStart = (got, message) => {
  assert.deepEqual([got.name, got.code], ["PplxEmbedError", "start"], got.message);
  assert.match(got.message, message);
};

test("a worker's script that is empty, another, endless, or never sent", async () => {
  for (const how of ["empty", "other", "endless", "mute"]) {
    await visit(async (page) => {
      const path = `/${how}/worker.js`;
      assert.equal((await loading(page, path, {}, true)).code, "aborted", how);
      const got = await elapse(page, loading(page, path, {}));
      assertStart(got, /^worker\.js said nothing for 60 seconds: .*leave pplx-embed-web out of the bundle/);
    });
  }
});

test("a wasm module that is never sent, or never ends", async () => {
  for (const how of ["mute", "endless"]) {
    await visit(async (page) => {
      const path = `/${how}/pplx_embed_bg.wasm`;
      for (const worker of [true, false]) {
        assert.equal((await loading(page, path, { with: { worker } }, true)).code, "aborted", how);
      }
      if (how === "mute") {
        const got = await elapse(page, loading(page, path, { with: { worker: false } }));
        assertStart(got, /^the wasm module could not be started: http.*\.wasm: the server did not answer for 60 seconds/);
      }
      // In the page's thread all loads share the module: one that was given up does not spoil the next.
      broken = false;
      try {
        assert.deepEqual((await loading(page, path, { with: { worker: false } })).shape, [1, 256]);
      } finally {
        broken = true;
      }
    });
  }
});

test("a helper's script that never answers costs its thread, not the load", async () => {
  for (const how of ["empty", "mute"]) {
    await visit(async (page) => {
      // Before the notice, the model works with the thread that there is.
      const options = { with: { worker: false, threads: 2 }, notice: true };
      const got = await elapse(page, loading(page, `/${how}/helper.js`, options));
      assert.deepEqual(got.shape, [1, 256], got.message);
      assert.match(got.notices.join(), /runs on one thread: helper\.js said nothing for 60 seconds/);
    });
  }
});

test("without an answer from the worker that writes files, the Cache API keeps them", async () => {
  const endpoint = new URL("/fixtures", browser.server.url).href;
  const fixture = async (page) => {
    // The fixtures are served by another port than the package here.
    await page.route(`${endpoint}/**`, async (route) => {
      const response = await route.fetch();
      await route.fulfill({ response, headers: { ...response.headers(), "access-control-allow-origin": "*" } });
    });
    return { id: "f32-odd", with: { worker: false, endpoint } };
  };
  for (const how of ["empty", "mute"]) {
    await visit(async (page) => {
      const options = await fixture(page);
      const got = await elapse(page, loading(page, `/${how}/writer-worker.js`, options));
      assert.deepEqual([got.shape, got.kept], [[1, 52], 1], got.message);
    });
  }
});

test("a fetch of one's own that never settles", async () => {
  await visit(async (page) => {
    const failing = (cancel) =>
      page.evaluate(async (cancel) => {
        const { load } = await import("/dist/index.js");
        const stop = new AbortController();
        let asked = 0;
        const fetch = () => {
          asked++;
          if (cancel) queueMicrotask(() => stop.abort());
          return new Promise(() => {});
        };
        const endpoint = new URL("/models", location.href);
        try {
          await load("demo", { endpoint, fetch, cache: false, signal: stop.signal });
        } catch ({ name, code, message }) {
          return { name, code, message, asked };
        }
      }, cancel);
    const cancelled = await failing(true);
    assert.deepEqual([cancelled.code, cancelled.asked], ["aborted", 1]);
    const late = await elapse(page, failing(false));
    assert.deepEqual([late.name, late.code], ["PplxEmbedError", "network"], late.message);
    assert.match(late.message, /nothing came for 30 seconds/);
    assert.ok(late.asked > 1, "it was tried again");
  });
});

test("a page that is frozen for a while goes on where it was", async () => {
  await browser.visit("/blank.html", async (page) => {
    const session = await page.context().newCDPSession(page);
    const done = page.evaluate(async () => {
      const { load } = await import("/dist/index.js");
      await import("/dist/mini.js");
      const model = await load("mini", { device: "cpu" });
      globalThis.ready = true;
      const e = await model.embed(Array.from({ length: 400 }, (_, i) => `text number ${i}`));
      await model.dispose();
      return e.shape;
    });
    await until(() => page.evaluate(() => globalThis.ready), "the model is loaded", 60);
    await session.send("Page.setWebLifecycleState", { state: "frozen" });
    await new Promise((resolve) => setTimeout(resolve, 500));
    await session.send("Page.setWebLifecycleState", { state: "active" });
    assert.deepEqual(await done, [400, 256]);
  });
});
