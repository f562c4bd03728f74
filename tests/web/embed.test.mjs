// The package in a browser under a strict CSP: its vectors are those of transformers, in every form.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { start, until } from "./browser.mjs";
import { chunks, cosine, fixture, sameCodes, sameSigns, sameVectors } from "./fixtures.mjs";

let browser;
before(async () => (browser = await start()));
after(() => browser.stop());

for (const worker of [true, false]) {
  test(`vectors equal transformers ${worker ? "in a worker" : "in the page's thread"}`, async () => {
    const { texts, tokens, rows } = fixture("f32-odd");
    await browser.visit("/blank.html", async (page) => {
      const got = await page.evaluate(
        async ([texts, worker]) => {
          const { load, plain } = await import("/page.js");
          const model = await load("f32-odd", { device: "webgpu", endpoint: "/fixtures", worker });
          const int8 = plain(await model.embed(texts));
          const float32 = plain(await model.embed(texts, { dtype: "float32" }));
          const { info } = model;
          await model.dispose();
          return { int8, float32, info };
        },
        [texts, worker],
      );
      const { type, data, ...rest } = got.int8;
      assert.equal(type, "Int8Array");
      const usage = { tokens, truncated: [] };
      assert.deepEqual(rest, { shape: [texts.length, 52], dtype: "int8", dimensions: 52, usage });
      sameCodes(chunks(data, 52), rows("int8"));
      assert.equal(got.float32.type, "Float32Array");
      sameVectors(chunks(got.float32.data, 52), rows("pooled"));

      const { adapter, kernels, bytes, ...info } = got.info;
      assert.deepEqual(info, {
        id: "f32-odd", revision: "main", kind: "embed", dimensions: 52, maxTokens: 2048, layers: 1, pooling: "mean",
        defaultDtype: "int8", defaultNormalize: false, defaultDimensions: 52, prompts: { document: "", query: "" }, device: "webgpu", why: "asked for", threads: 0, weights: "f32", precision: "exact",
      });
      assert.deepEqual(adapter, { name: "google swiftshader", backend: "webgpu", software: true });
      assert.ok(kernels.includes("attention.range.64"), String(kernels));
      assert.ok(bytes.host === 1009 * 52 * 4 && bytes.device > 0, JSON.stringify(bytes));
      await until(() => page.workers().length === 0, "the worker has ended");
    });
  });
}

test("a dense model has prompts by name and by role, and says which", async () => {
  await browser.visit("/blank.html", async (page) => {
    const got = await page.evaluate(async () => {
      const { load } = await import("/page.js");
      const model = await load("causal-last-f32", { endpoint: new URL("/fixtures/", location.href), device: "cpu" });
      const query = model.info.prompts.query;
      const bits = ({ data, usage }) => [[...data], usage.tokens];
      const codes = [];
      for (const options of [{ prompt: 5 }, { promptName: "title" }, { prompt: "a", promptName: "query" }, { role: "query" }]) {
        codes.push(await model.embed("a", options).catch((error) => `${error.code}: ${error.message}`));
      }
      const out = {
        query,
        plain: bits(await model.embed("a bicycle")),
        document: bits(await model.encodeDocument("a bicycle")),
        by: [
          bits(await model.encodeQuery(["a bicycle"])),
          bits(await model.embed("a bicycle", { promptName: "query" })),
          bits(await model.embed("a bicycle", { prompt: query })),
          bits(await model.embed(query + "a bicycle")),
        ],
        other: bits(await model.encodeQuery("a bicycle", { prompt: "" })),
        default: model.info.defaultPromptName,
        codes,
      };
      await model.dispose();
      return out;
    });
    assert.match(got.query, /^Instruct: Given a web search query/);
    for (const by of got.by.slice(1)) assert.deepEqual(by, got.by[0]);
    assert.deepEqual([got.document, got.other], [got.plain, got.plain]);
    assert.ok(got.by[0][1] > got.plain[1], "the prompt's tokens are counted");
    assert.equal(got.default, undefined);
    for (const [i, words] of ["prompt", "\"query\"", "promptName", "role"].entries()) {
      assert.ok(got.codes[i].startsWith("invalid-argument") && got.codes[i].includes(words), got.codes[i]);
    }
  });
});

test("the processor gives transformers' vectors too, also where there is no WebGPU", async () => {
  const { texts, rows } = fixture("f32-odd", { short: true });
  await browser.visit("/blank.html", async (page) => {
    const got = await page.evaluate(async (texts) => {
      const { load, plain } = await import("/page.js");
      Object.defineProperty(navigator, "gpu", { value: undefined });
      const model = await load("f32-odd", { endpoint: new URL("/fixtures/", location.href), device: "cpu", worker: false });
      const float32 = plain(await model.embed(texts, { dtype: "float32" }));
      const { device, kernels, adapter } = model.info;
      await model.dispose();
      return { float32, device, kernels, adapter };
    }, texts);
    sameVectors(chunks(got.float32.data, 52), rows("pooled"));
    assert.equal(got.device, "cpu");
    assert.equal(got.adapter.backend, "cpu");
    assert.ok(got.kernels.includes("matmul.simd128.f32"), String(got.kernels));
  });
});

test("forms, dimensions and normalize of a sharded bf16 model", async () => {
  const { texts, rows } = fixture("bf16-gqa4-sharded", { short: true });
  const pooled = rows("pooled");
  await browser.visit("/blank.html", async (page) => {
    const got = await page.evaluate(async (texts) => {
      const { load, plain } = await import("/page.js");
      const model = await load("bf16-gqa4-sharded", { device: "webgpu", endpoint: new URL("/fixtures/", location.href) });
      const options = {
        binary: { dtype: "binary" },
        ubinary: { dtype: "ubinary" },
        bits13: { dtype: "ubinary", dimensions: 13 },
        first10: { dtype: "float32", dimensions: 10 },
        unit10: { dtype: "float32", dimensions: 10, normalize: true },
        codes10: { dimensions: 10, normalize: false },
      };
      const result = {};
      for (const [name, o] of Object.entries(options)) result[name] = plain(await model.embed(texts, o));
      const e = await model.embed(texts.slice(0, 3));
      result.rows = [0, 1, 2].map((i) => [...e.row(i)]);
      result.array = e.toArray();
      result.view = e.row(1).buffer === e.data.buffer;
      await model.dispose();
      return result;
    }, texts);

    sameSigns(chunks(got.binary.data, 96), pooled, false);
    assert.deepEqual(got.ubinary.shape, [texts.length, 12]);
    sameSigns(chunks(got.ubinary.data, 12), pooled, true);
    assert.deepEqual([got.bits13.shape, got.bits13.dimensions], [[texts.length, 2], 13]);
    const cut = pooled.map((row) => row.slice(0, 10));
    sameSigns(chunks(got.bits13.data, 2), pooled.map((row) => row.slice(0, 13)), true);
    assert.ok(chunks(got.bits13.data, 2).every((row) => (row[1] & 0b111) === 0), "padding bits are zero");
    sameVectors(chunks(got.first10.data, 10), cut);
    for (const [i, row] of chunks(got.unit10.data, 10).entries()) {
      const zero = cut[i].every((x) => x === 0);
      assert.ok(Math.abs(Math.hypot(...row) - (zero ? 0 : 1)) < 1e-5);
      assert.ok(cosine(row, cut[i]) >= 0.99999);
    }
    sameCodes(chunks(got.codes10.data, 10), rows("int8").map((row) => row.slice(0, 10)));
    assert.deepEqual(got.rows, got.array);
    assert.equal(got.view, true);
  });
});

test("a causal model with its own defaults", async () => {
  const { texts, rows } = fixture("causal-last-f32", { short: true });
  await browser.visit("/blank.html", async (page) => {
    const got = await page.evaluate(async (texts) => {
      const { load, plain, failure } = await import("/page.js");
      const model = await load("causal-last-f32", { device: "webgpu", endpoint: "/fixtures" });
      const own = plain(await model.embed(texts));
      const refused = await failure(model.embed(texts, { dtype: "int8" }));
      await model.dispose();
      return { own, refused };
    }, texts);
    assert.equal(got.own.dtype, "float32");
    sameVectors(chunks(got.own.data, 48), rows("normalized"));
    assert.equal(got.refused.code, "invalid-argument");
    assert.match(got.refused.message, /^dtype: /);
  });
});

test("a text's bits do not depend on its neighbours, and calls keep their order", async () => {
  const { texts } = fixture("f32-odd", { short: true });
  await browser.visit("/blank.html", async (page) => {
    const got = await page.evaluate(async (texts) => {
      const { load } = await import("/page.js");
      const model = await load("f32-odd", { device: "webgpu", endpoint: "/fixtures" });
      const float32 = { dtype: "float32" };
      const bits = (e) => [...new Uint32Array(e.data.buffer.slice(0))];
      const batch = bits(await model.embed(texts, float32));
      // All at once, in the opposite order, one of them as several texts.
      const order = [];
      const calls = texts.map((text, i) => model.embed(text, float32).then((e) => (order.push(i), bits(e))));
      const twice = model.embed([...texts].reverse(), float32).then(bits);
      const alone = (await Promise.all(calls)).flat();
      const reversed = await twice;
      const none = await model.embed([]);
      await model.dispose();
      return { batch, alone, reversed, order, none: [none.shape, none.data.length, none.usage.tokens] };
    }, texts);
    assert.deepEqual(got.alone, got.batch);
    assert.deepEqual(chunks(got.reversed, 52).reverse().flat(), got.batch);
    assert.deepEqual(got.order, texts.map((_, i) => i));
    assert.deepEqual(got.none, [[0, 52], 0, 0]);
  });
});

test("the empty text is the zero vector, and an over-long one is cut", async () => {
  await browser.visit("/blank.html", async (page) => {
    const got = await page.evaluate(async () => {
      const { load, plain } = await import("/page.js");
      const model = await load("f32-odd", { device: "webgpu", endpoint: "/fixtures" });
      const empty = plain(await model.embed(""));
      const long = plain(await model.embed(["short", "of ".repeat(3000)]));
      await model.dispose();
      return { empty, long };
    });
    assert.deepEqual(got.empty.data, Array(52).fill(0));
    assert.deepEqual(got.empty.usage, { tokens: 0, truncated: [] });
    assert.deepEqual(got.long.usage.truncated, [1]);
    assert.ok(got.long.usage.tokens > 2048 && got.long.usage.tokens < 2060, String(got.long.usage.tokens));
  });
});

test("progress only goes forward, and a listener's fault stops nothing", async () => {
  const visit = async (page) => {
    const { loading, embedding } = await page.evaluate(async () => {
      const { load } = await import("/page.js");
      const loading = [], embedding = [];
      const model = await load("bf16-gqa4-sharded", { device: "webgpu", endpoint: "/fixtures", onProgress: (p) => loading.push(p) });
      const texts = Array.from({ length: 700 }, (_, i) => `text ${i}`);
      await model.embed(texts, { onProgress: (p) => embedding.push(p) });
      await model.dispose();
      const onProgress = () => {
        throw new Error("the listener's fault");
      };
      for (const worker of [true, false]) {
        const model = await load("f32-odd", { device: "webgpu", endpoint: "/fixtures", worker, onProgress });
        await model.embed("x", { onProgress });
        await model.embed("x");
        await model.dispose();
      }
      return { loading, embedding };
    });
    // Kernels are chosen before there is room for weights, so that "compile" comes before the downloads.
    const compile = loading.findIndex((p) => p.stage === "compile");
    assert.deepEqual(loading.splice(compile, 1), [{ stage: "compile" }]);
    // The host gives no digests, so that nothing is cached, which is said once.
    assert.equal(loading.shift().stage, "notice");
    const files = new Set(loading.map((p) => p.file));
    assert.equal(files.size, 3);
    for (const file of files) {
      const events = loading.filter((p) => p.file === file);
      onlyForward(events.map((p) => p.loaded));
      assert.equal(events.at(-1).loaded, events.at(-1).total, file);
    }
    for (const key of ["tokens", "texts"]) onlyForward(embedding.map((p) => p[key]));
    assert.deepEqual(embedding.at(-1), { ...embedding.at(-1), stage: "embed", texts: 700, tokens: embedding[0].total });
  };
  await browser.visit("/blank.html", visit, [/the listener's fault/]);
});

function onlyForward(counts) {
  assert.deepEqual(counts, [...counts].sort((a, b) => a - b));
}

test("a server may compress, redirect, and answer with a page where there is no file", async () => {
  const { texts, rows } = fixture("f32-odd", { short: true });
  for (const fault of ["gzip", "redirect", "html"]) {
    await browser.visit("/blank.html", async (page) => {
      const got = await page.evaluate(
        async ([texts, fault]) => {
          const { load, plain } = await import("/page.js");
          const model = await load("f32-odd", { endpoint: `/fault/${fault}` });
          const e = plain(await model.embed(texts));
          await model.dispose();
          return e;
        },
        [texts, fault],
      );
      sameCodes(chunks(got.data, 52), rows("int8"));
    });
  }
});

test("a fetch of one's own is used, with the token as a header", async () => {
  await browser.visit("/blank.html", async (page) => {
    const got = await page.evaluate(async () => {
      const { load } = await import("/page.js");
      const calls = [];
      const fetch = (url, init) => {
        calls.push([url, init.headers.Authorization]);
        // As one chunk, and without headers that tell the size.
        return globalThis.fetch(url, init).then(async (r) => new Response(await r.arrayBuffer(), { status: r.status }));
      };
      const model = await load("f32-odd", { device: "webgpu", endpoint: "/fixtures", revision: "refs/pr/1", token: "hf_x", fetch });
      const e = await model.embed("a text");
      await model.dispose();
      return { calls, shape: e.shape };
    });
    assert.deepEqual(got.shape, [1, 52]);
    const { origin } = new URL(browser.server.url);
    assert.equal(got.calls[0][0], `${origin}/fixtures/api/models/f32-odd/revision/refs%2Fpr%2F1`);
    assert.deepEqual(got.calls[1], [`${origin}/fixtures/f32-odd/resolve/refs%2Fpr%2F1/config.json`, "Bearer hf_x"]);
    assert.equal(page.workers().length, 0);
  });
  const asked = browser.server.log.filter(({ path }) => path.includes("refs%2Fpr%2F1"));
  assert.ok(asked.length > 3 && asked.every(({ authorization }) => authorization === "Bearer hf_x"));
  const others = browser.server.log.filter(({ path }) => !path.includes("refs%2Fpr%2F1"));
  assert.ok(others.every(({ authorization }) => authorization === undefined));
});
