// What goes wrong has a code and a message that names it; nothing hangs, and nothing is left behind.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { start, until } from "./browser.mjs";

let browser;
before(async () => (browser = await start()));
after(() => browser.stop());

const LOST_TRANSFER = /^Failed to load resource: /;

/** Loads in the page, and gives how that fails. */
const loading = (page, id, options) =>
  page.evaluate(
    async ([id, options]) => {
      const { load, failure } = await import("/page.js");
      return failure(load(id, { endpoint: "/fixtures", ...options }));
    },
    [id, options],
  );

const assertFails = (failed, code, message) => {
  assert.deepEqual([failed.name, failed.code], ["PplxEmbedError", code], failed.message);
  assert.match(failed.message, message);
};

const allEnded = async (page) => {
  await until(() => page.workers().length === 0, "every worker has ended");
  await until(() => browser.server.state.open === 0, "every transfer has ended");
};

const SERVERS = [
  ["500", "network", /config\.json: the server answered 500/],
  ["401", "network", /401 Access to this model is restricted; .*private, gated/],
  ["hang-up", "network", /model\.safetensors: Failed to fetch/],
  ["cut", "io", /model\.safetensors: broke off after \d+ of \d+ bytes: /],
  ["short-chunked", "io", /model\.safetensors: ends after \d+ bytes/],
  ["short", "invalid-checkpoint", /model\.safetensors: is \d+ bytes long, its header describes \d+/],
  ["long", "invalid-checkpoint", /model\.safetensors: is \d+ bytes long, its header describes \d+/],
  ["huge-header", "invalid-checkpoint", /header length is 1152921504606846976/],
  ["lying-offsets", "invalid-checkpoint", /data_offsets/],
  ["other-shape", "invalid-checkpoint", /shape is \[1, /],
  ["no-weights", "not-found", /model\.safetensors: not found at http/],
  ["bad-tokenizer", "invalid-tokenizer", /^tokenizer\.json: /],
  ["bad-config", "invalid-config", /^config\.json: /],
  ["other-model", "unsupported", /bert/],
];

for (const worker of [true, false]) {
  test(`a server's faults, ${worker ? "in a worker" : "in the page's thread"}`, async () => {
    const visit = async (page) => {
      // A few at a time, because most of them wait between attempts.
      for (let at = 0; at < SERVERS.length; at += 6) {
        const group = SERVERS.slice(at, at + 6).map(async ([fault, code, message]) => {
          const failed = await loading(page, "f32-odd", { endpoint: `/fault/${fault}`, token: "hf_secret", worker });
          assertFails(failed, code, message);
          assert.doesNotMatch(failed.message, /hf_secret/);
        });
        await Promise.all(group);
      }
      assertFails(await loading(page, "no/such-model", { worker }), "not-found", /config\.json: not found at http/);
      const html = await loading(page, "no/such-model", { endpoint: "/fault/html", worker });
      assertFails(html, "not-found", /config\.json: not found at http/);
      await allEnded(page);
    };
    await browser.visit("/blank.html", visit, [LOST_TRANSFER]);
  });
}

test("arguments of load that are not allowed are named", async () => {
  await browser.visit("/blank.html", async (page) => {
    const cases = [
      [{ device: "tpu" }, "invalid-argument", /^device: "tpu"/],
      [{ weights: "q9" }, "invalid-argument", /^weights: "q9", allowed are auto, f32, f16, q8, q4/],
      [{ weights: "f64" }, "invalid-argument", /^weights: "f64", allowed are auto, f32/],
      [{ cache: "opfs" }, "invalid-argument", /^cache: "opfs", allowed is true, false or/],
      [{ cache: { name: "../x" } }, "invalid-argument", /^name: "\.\.\/x", allowed is 1 to 64/],
      [{ cache: { dir: "x" } }, "invalid-argument", /^cache: "dir", allowed is name/],
      [{ revision: "a/../b" }, "invalid-argument", /^revision: /],
      [{ revision: 5 }, "invalid-argument", /^revision: 5, allowed is a string/],
      [{ endpoint: "http://user:hunter2@localhost/" }, "invalid-argument", /^endpoint: has credentials/],
      [{ endpoint: "https://" }, "invalid-argument", /^endpoint: /],
      [{ token: "two\nlines" }, "invalid-argument", /^token: /],
      [{ worker: "yes" }, "invalid-argument", /^worker: "yes"/],
      [{ signal: {} }, "invalid-argument", /^signal: /],
      [{ onProgress: 1 }, "invalid-argument", /^onProgress: 1/],
      [{ dtype: "int8" }, "invalid-argument", /^options: "dtype", allowed is device, /],
    ];
    for (const [options, code, message] of cases) {
      const failed = await loading(page, "f32-odd", options);
      assertFails(failed, code, message);
      assert.doesNotMatch(failed.message, /hunter2|two\nlines/);
    }
    for (const id of ["", "..", "a/../b", "a/b/c", "https://host/a", "a?b", 7, null]) {
      assertFails(await loading(page, id), "invalid-argument", /^id: /);
    }
    const asWorker = await page.evaluate(async () => {
      const { load, failure } = await import("/page.js");
      return failure(load("f32-odd", { fetch: (...a) => fetch(...a), worker: true }));
    });
    assertFails(asWorker, "invalid-argument", /^worker: true/);
    await allEnded(page);
  });
});

test("a fetch of one's own that misbehaves", async () => {
  await browser.visit("/blank.html", async (page) => {
    const got = await page.evaluate(async () => {
      const { load, failure } = await import("/page.js");
      const config = await (await fetch("/fixtures/f32-odd/resolve/main/config.json")).text();
      const used = async (url) => {
        const response = await fetch(url);
        await response.arrayBuffer();
        return response;
      };
      const fetches = {
        throws: () => {
          throw new Error("no net today");
        },
        noResponse: async () => ({ ok: true }),
        used,
        announcesMore: async () => new Response(config, { headers: { "Content-Length": "99999" } }),
        notBytes: async () => {
          const body = new ReadableStream({ start: (c) => (c.enqueue("text"), c.close()) });
          return Object.defineProperty(new Response(), "body", { value: body });
        },
      };
      const failed = {};
      const noApi = (fetch) => async (url, init) =>
        url.includes("/api/") ? new Response("", { status: 404 }) : fetch(url, init);
      await Promise.all(Object.entries(fetches).map(async ([name, fetch]) => {
        failed[name] = await failure(load("f32-odd", { endpoint: "/fixtures", fetch: noApi(fetch) }));
      }));
      return failed;
    });
    assertFails(got.throws, "network", /no net today/);
    assertFails(got.noResponse, "network", /did not give a Response/);
    assertFails(got.used, "io", /^config\.json: /);
    assertFails(got.announcesMore, "io", /config\.json: broke off after \d+ of 99999 bytes/);
    assertFails(got.notBytes, "io", /config\.json: its body does not consist of bytes/);
  });
});

test("arguments of embed that are not allowed are named, and the model stays usable", async () => {
  await browser.visit("/blank.html", async (page) => {
    const got = await page.evaluate(async () => {
      const { load, failure, plain } = await import("/page.js");
      const model = await load("f32-odd", { endpoint: "/fixtures" });
      const before = plain(await model.embed("still here"));
      const cases = [
        [["a", 5]], [["a", , "b"]], [5], [undefined], [new Set(["a"])],
        [["a", "b", "c", "lone \ud800 surrogate"]], ["\udc00"],
        ["a", { dtype: "int4" }], ["a", { dtype: 8 }], ["a", { dimensions: 0 }], ["a", { dimensions: 53 }],
        ["a", { dimensions: 1.5 }], ["a", { dimensions: "8" }], ["a", { normalize: 1 }],
        ["a", { normalize: true, dtype: "int8" }], ["a", { signal: 1 }], ["a", { dimension: 8 }], ["a", null],
      ];
      const failed = [];
      for (const c of cases) failed.push(await failure(model.embed(...c)));
      // A pair is no lone surrogate, and U+FFFD itself is allowed.
      const allowed = (await model.embed(["\u{1f600}", "\ufffd"])).shape;
      const after = plain(await model.embed("still here"));
      const row = await failure((async () => (await model.embed("a")).row(1))());
      await model.dispose();
      return { before, after, failed, allowed, row };
    });
    const messages = [
      /^texts\[1\]: 5, allowed is/, /^texts\[1\]: undefined/, /^texts: 5/, /^texts: undefined/, /^texts: .*Set/,
      /^texts\[3\]: has a lone surrogate at index 5/, /^texts\[0\]: has a lone surrogate at index 0/,
      /^dtype: "int4", allowed are int8/, /^dtype: 8/, /^dimensions: 0, allowed is 1 to 52/, /^dimensions: 53/,
      /^dimensions: 1\.5, allowed is a whole number/, /^dimensions: "8"/, /^normalize: 1/, /^normalize: true/,
      /^signal: 1/, /^options: "dimension", allowed is dtype, /, /^options: null/,
    ];
    assert.equal(got.failed.length, messages.length);
    for (const [i, failed] of got.failed.entries()) assertFails(failed, "invalid-argument", messages[i]);
    assertFails(got.row, "invalid-argument", /^index: 1, allowed is 0 to 0/);
    assert.deepEqual(got.allowed, [2, 52]);
    assert.deepEqual(got.after, got.before);
  });
});

for (const worker of [true, false]) {
  test(`cancelling a load, ${worker ? "in a worker" : "in the page's thread"}`, async () => {
    await browser.visit("/blank.html", async (page) => {
      const got = await page.evaluate(async (worker) => {
        const { load, failure, sleep } = await import("/page.js");
        const before = await failure(load("f32-odd", { endpoint: "/fixtures", worker, signal: AbortSignal.abort() }));
        const stop = new AbortController();
        const slow = load("f16-mha", { endpoint: "/fault/slow", worker, signal: stop.signal });
        sleep(1500).then(() => stop.abort(new TypeError("the user went away")));
        const failed = await failure(slow);
        return { before, failed, cause: String(await slow.catch((error) => error.cause)) };
      }, worker);
      assertFails(got.before, "aborted", /cancelled/);
      assertFails(got.failed, "aborted", /cancelled/);
      assert.ok(got.failed.ms < 2500, `took ${got.failed.ms} ms`);
      assert.equal(got.cause, "TypeError: the user went away");
      await allEnded(page);
    });
  });

  test(`cancelling an embed, and disposing, ${worker ? "in a worker" : "in the page's thread"}`, async () => {
    await browser.visit("/blank.html", async (page) => {
      const got = await page.evaluate(async (worker) => {
        const { load, failure, plain } = await import("/page.js");
        const model = await load("f16-mha", { endpoint: "/fixtures", worker });
        const many = Array.from({ length: 40 }, () => "of ".repeat(1000));
        const want = plain(await model.embed("a text"));

        const stop = new AbortController();
        const running = failure(model.embed(many, { signal: stop.signal, onProgress: () => stop.abort() }));
        const waiting = failure(model.embed(many, { signal: stop.signal }));
        const next = model.embed("a text");
        const result = { want, running: await running, waiting: await waiting, next: plain(await next) };
        result.already = await failure(model.embed("a text", { signal: stop.signal }));

        const first = failure(model.embed(many));
        const second = failure(model.embed("a text"));
        const ended = Promise.all([model.dispose(), model.dispose()]);
        Object.assign(result, { first: await first, second: await second });
        await ended;
        await model[Symbol.asyncDispose]();
        result.after = await failure(model.embed("a text"));
        // Another model takes its place.
        const other = await load("f16-mha", { endpoint: "/fixtures", worker });
        result.other = plain(await other.embed("a text"));
        await other.dispose();
        return result;
      }, worker);
      for (const name of ["running", "waiting", "already"]) assertFails(got[name], "aborted", /cancelled/);
      for (const name of ["first", "second", "after"]) assertFails(got[name], "disposed", /disposed/);
      assert.deepEqual(got.next, got.want);
      assert.deepEqual(got.other, got.want);
      await allEnded(page);
    });
  });
}

test("every GPU device is destroyed, and the module's memory does not grow", async () => {
  const visit = async (page) => {
    const got = await page.evaluate(async () => {
      const { load, failure, sleep } = await import("/page.js");
      const wasm = await import("/dist/wasm/pplx_embed.js");
      const devices = [];
      const { requestDevice } = GPUAdapter.prototype;
      GPUAdapter.prototype.requestDevice = async function (...options) {
        const device = await requestDevice.apply(this, options);
        devices.push("alive");
        const index = devices.length - 1;
        device.lost.then(({ reason }) => (devices[index] = reason));
        return device;
      };
      const memory = async () => (await wasm.default()).memory.buffer.byteLength;
      const sizes = [];
      for (let round = 0; round < 4; round++) {
        const model = await load("f32-gqa2", { endpoint: "/fixtures", device: "webgpu", worker: false });
        await model.embed(["a text", "of ".repeat(200)]);
        await model.dispose();
        await failure(load("f32-odd", { endpoint: "/fault/short-chunked", device: "webgpu", worker: false }));
        const stop = new AbortController();
        const onProgress = (p) => p.stage === "download" && stop.abort();
        await failure(load("f32-gqa2", { endpoint: "/fixtures", device: "webgpu", worker: false, signal: stop.signal, onProgress }));
        sizes.push(await memory());
      }
      for (let i = 0; i < 100 && devices.includes("alive"); i++) await sleep(50);
      return { devices, sizes };
    });
    assert.deepEqual(got.devices, Array(12).fill("destroyed"));
    assert.deepEqual(got.sizes.slice(1), Array(3).fill(got.sizes[1]));
  };
  await browser.visit("/blank.html", visit, [LOST_TRANSFER]);
});

test("without WebGPU or an adapter, \"webgpu\" is refused and \"auto\" takes the processor and says so", async () => {
  await browser.visit("/blank.html", async (page) => {
    // A worker has a navigator of its own.
    await page.route("**/dist/worker.js", async (route) => {
      const response = await route.fetch();
      const hide = "Object.defineProperty(WorkerNavigator.prototype, 'gpu', { get: () => undefined });";
      await route.fulfill({ response, body: `${hide}\n${await response.text()}` });
    });
    const got = await page.evaluate(async () => {
      const { createIndex, failure, load, maxsim } = await import("/page.js");
      const options = { endpoint: "/fixtures", worker: false, device: "webgpu" };
      GPU.prototype.requestAdapter = async () => null;
      const noAdapter = await failure(load("f32-odd", options));
      Object.defineProperty(Navigator.prototype, "gpu", { get: () => undefined });
      const noWebGpu = await failure(load("f32-odd", options));
      const inWorker = await failure(load("f32-odd", { endpoint: "/fixtures", device: "webgpu" }));
      const notices = [];
      const hear = (who) => (p) => p.stage === "notice" && notices.push(`${who}: ${p.message}`);
      const model = await load("f32-odd", { ...options, device: undefined, onProgress: hear("load") });
      const { device } = model.info;
      await model.dispose();
      // What needs no model says it as well.
      await (await createIndex({ dimensions: 2, worker: false, onProgress: hear("index") })).dispose();
      const one = { data: new Float32Array([1, 2]), dim: 2 };
      const scores = [...(await maxsim(one, one, { worker: false, onProgress: hear("maxsim") }))];
      return { failed: { noAdapter, noWebGpu, inWorker }, device, notices, scores };
    });
    assert.equal(got.device, "cpu");
    for (const who of ["load", "index", "maxsim"]) {
      const told = new RegExp(`^${who}: runs on the processor.*no GPU adapter`);
      assert.ok(got.notices.some((notice) => told.test(notice)), `${who} in ${got.notices.join("; ")}`);
    }
    assert.deepEqual(got.scores, [5]);
    for (const failed of Object.values(got.failed)) assertFails(failed, "no-adapter", /^no GPU adapter: /);
  });
});

test("a worker or a module that cannot be had", async () => {
  const visit = async (page) => {
    for (const worker of [true, false]) {
      const failed = await loading(page, "f32-odd", { wasmUrl: "/nowhere.wasm", worker });
      assertFails(failed, "start", /wasm module could not be started from http.*nowhere\.wasm/);
    }
    const noWorker = await page.evaluate(async () => {
      const { failure } = await import("/page.js");
      const { load } = await import("/noworker/index.js");
      return failure(load("f32-odd", { endpoint: "/fixtures" }));
    });
    assertFails(noWorker, "start", /worker\.js could not be loaded/);
    // A load that failed for such a reason does not spoil the next.
    const wasmUrl = "/dist/wasm/pplx_embed_bg.wasm";
    for (const worker of [true, false]) {
      assert.match((await loading(page, "f32-odd", { wasmUrl, worker })).code, /^none/);
    }
  };
  await browser.visit("/blank.html", visit, [/nowhere\.wasm/, /WebAssembly\.instantiateStreaming/]);
});

test("a panic and an unforeseen exception in the module reach the caller", async () => {
  for (const [method, type] of [["createBuffer", "GPUDevice"], ["submit", "GPUQueue"]]) {
    const visit = async (page) => {
      const got = await page.evaluate(
        async ([method, type]) => {
          const { load, failure } = await import("/page.js");
          const model = await load("f32-odd", { device: "webgpu", endpoint: "/fixtures", worker: false });
          globalThis[type].prototype[method] = () => {
            throw new Error("boom");
          };
          const failed = await failure(model.embed("of ".repeat(1000)));
          const later = await failure(model.embed("a text"));
          await model.dispose();
          return { failed, later };
        },
        [method, type],
      );
      assertFails(got.failed, "internal", /boom/);
      assertFails(got.later, "internal", /boom/);
    };
    await browser.visit("/blank.html", visit, [/boom/, /unreachable/]);
  }
});
