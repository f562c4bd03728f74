// Context and late interaction models in a browser: the vectors are those of transformers and sentence-transformers.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { start } from "./browser.mjs";
import { chunks, expected, sameCodes, sameVectors } from "./fixtures.mjs";

let browser;
before(async () => (browser = await start()));
after(() => browser.stop());

for (const worker of [true, false]) {
  test(`chunks in their documents equal transformers ${worker ? "in a worker" : "in the page's thread"}`, async () => {
    const { texts, tensor } = expected("context");
    const documents = texts.map((t) => t.chunks);
    await browser.visit("/blank.html", async (page) => {
      const got = await page.evaluate(
        async ([documents, worker]) => {
          const { load, plain, failure } = await import("/page.js");
          const model = await load("context", { device: "webgpu", endpoint: "/fixtures", worker });
          const progress = [];
          const onProgress = (p) => progress.push(p.texts);
          const float32 = (await model.embedContext(documents, { dtype: "float32", onProgress })).map(plain);
          const int8 = (await model.embedContext(documents)).map(plain);
          const alone = plain((await model.embedContext([documents[7]], { dtype: "float32" }))[0]);
          const query = plain(await model.embed(documents[3][0], { dtype: "float32" }));
          const long = [Array.from({ length: 400 }, (_, i) => `Chunk ${i}.`)];
          const refused = await failure(model.embedContext(long));
          const windows = (await model.embedContext(long, { longDocuments: "window" }))[0].shape;
          const failures = [];
          for (const [value, options] of [["a"], [[["a", 5]]], [["a"]], [[["a"]], { longDocuments: "cut" }]]) {
            failures.push((await failure(model.embedContext(value, options))).message);
          }
          const asQuery = plain(await model.encodeQuery(documents[3][0], { dtype: "float32" }));
          const signal = AbortSignal.abort();
          const aborted = await failure(model.embedContext(documents, { signal }));
          const { info } = model;
          await model.dispose();
          return { float32, int8, alone, query, refused, windows, failures, asQuery, aborted, progress, info };
        },
        [documents, worker],
      );
      assert.deepEqual([got.info.kind, got.info.separator], ["context", { token: "<|endoftext|>", id: 995 }]);
      for (const [i, { chunks: of, ids }] of texts.entries()) {
        assert.deepEqual([got.float32[i].shape, got.float32[i].usage.tokens], [[of.length, 32], ids.length]);
      }
      sameVectors(chunks(got.float32.flatMap((e) => e.data), 32), chunks(tensor("pooled"), 32));
      sameCodes(chunks(got.int8.flatMap((e) => e.data), 32), chunks(tensor("int8"), 32));
      assert.deepEqual(got.alone, got.float32[7]);
      assert.deepEqual(got.query.data, got.float32[3].data);
      assert.equal(got.refused.code, "invalid-argument");
      assert.match(got.refused.message, /documents\[0\].*1024.*longDocuments/);
      assert.deepEqual(got.windows, [400, 32]);
      for (const [i, word] of ["documents: ", "documents[0][1]: 5", "documents[0]: ", "longDocuments: "].entries()) {
        assert.ok(got.failures[i].startsWith(word), got.failures[i]);
      }
      assert.deepEqual([got.asQuery.data, got.aborted.code], [got.query.data, "aborted"]);
      assert.equal(got.progress.at(-1), documents.length);
    });
  });
}

test("token vectors equal sentence-transformers, with the place of each token in JavaScript's own count", async () => {
  const { texts, tensor } = expected("late-st");
  await browser.visit("/blank.html", async (page) => {
    const got = await page.evaluate(async (texts) => {
      const { load, failure } = await import("/page.js");
      const model = await load("late-st", { device: "webgpu", endpoint: "/fixtures" });
      const plain = (e) => ({
        data: [...e.data], type: e.data.constructor.name, offsets: [...e.offsets], dim: e.dim, dtype: e.dtype,
        tokens: [...e.tokens], usage: e.usage, scales: e.scales && [...e.scales],
        ranges: Array.from(e.tokens, (_, row) => e.range(row)), last: [...e.item(e.length - 1)], length: e.length,
      });
      const result = { info: model.info };
      for (const role of ["encodeQuery", "encodeDocument"]) {
        result[role] = plain(await model[role](texts));
        result[`${role}Int8`] = plain(await model[role](texts, { dtype: "int8" }));
      }
      result.half = plain(await model.encodeDocument(texts[3], { dtype: "float16" }));
      result.bits = plain(await model.encodeDocument(texts[3], { dtype: "binary" }));
      result.pooled = plain(await model.encodeDocument(texts, { poolFactor: 2 }));
      result.shifted = plain(await model.encodeQuery(texts[3], { markerPosition: 1 }));
const none = await model.encodeQuery([]);
      result.none = { length: none.length, offsets: [...none.offsets], data: [...none.data] };
      result.failures = [
        await failure(model.embed("a")),
        await failure(model.encodeQuery("a", { poolFactor: 2 })),
        await failure(model.encodeDocument("a", { poolFactor: 0 })),
        await failure(model.encodeQuery("a", { markerPosition: 2 })),
        await failure(model.encodeQuery("a", { dtype: "ubinary" })),
        await failure(model.encodeQuery("\ud800")),
      ];
      await model.dispose();
      return result;
    }, texts.map((t) => t.text));

    assert.deepEqual([got.info.kind, got.info.dimensions, got.info.late.queryLength], ["late", 24, 32]);
    assert.deepEqual(got.info.late.queryExpansion, { token: 994, length: 32, attend: true });
    for (const [call, role] of [["encodeQuery", "query"], ["encodeDocument", "document"]]) {
      const e = got[call];
      assert.deepEqual([e.type, e.dim, e.dtype, e.length], ["Float32Array", 24, "float32", texts.length]);
      const want = texts.flatMap((t) => chunks(tensor(`${t.name}.${role}`), 24));
      sameVectors(chunks(e.data, 24), want);
      assert.deepEqual(e.tokens, texts.flatMap((t) => t[role].scored.map((at) => t[role].ids[at])));
      // From code points, in which Python counts, to code units.
      const places = texts.flatMap((t) => {
        const units = [0];
        for (const c of t.text) units.push(units.at(-1) + c.length);
        return t[role].places.map((p) => p && [units[p[0]], units[p[1]]]);
      });
      assert.deepEqual(e.ranges, places);
      assert.equal(e.last.length, (e.offsets.at(-1) - e.offsets.at(-2)) * 24);
      const int8 = got[`${call}Int8`];
      assert.equal(int8.type, "Int8Array");
      for (const [i, code] of int8.data.entries()) {
        const scale = int8.scales[Math.floor(i / 24)];
        assert.ok(Math.abs(code * scale - e.data[i]) <= scale * 0.5001);
      }
    }
    const whole = got.encodeDocument;
    const [from, to] = [whole.offsets[3], whole.offsets[4]];
    const own = whole.data.slice(from * 24, to * 24);
    assert.deepEqual([got.half.type, got.bits.type], ["Uint16Array", "Uint8Array"]);
    assert.equal(got.half.data.length, own.length);
    // The sign is the highest bit of a half.
    for (const [i, v] of own.entries()) {
      assert.equal(got.half.data[i] >> 15, Number(v < 0));
      assert.equal((got.bits.data[3 * Math.floor(i / 24) + ((i % 24) >> 3)] >> (7 - (i & 7))) & 1, Number(v >= 0));
    }
    const kept = (n) => (n > 2 ? 1 + Math.max(1, (n - 1) >> 1) : n);
    const counts = (e) => e.offsets.slice(1).map((end, i) => end - e.offsets[i]);
    assert.deepEqual(counts(got.pooled), counts(whole).map(kept));
    assert.deepEqual(got.shifted.tokens.slice(0, 2), [got.encodeQuery.tokens[got.encodeQuery.offsets[3] + 1], 1000]);
    assert.deepEqual(got.none, { length: 0, offsets: [0], data: [] });
    const codes = got.failures.map((f) => [f.code, f.message.split(/[:[ ]/)[0]]);
    assert.deepEqual(codes, [
      ["unsupported", "embed"], ["invalid-argument", "options"], ["invalid-argument", "poolFactor"],
      ["invalid-argument", "markerPosition"], ["invalid-argument", "dtype"], ["invalid-argument", "texts"],
    ]);
  });
});

test("a text is split in JavaScript's own count, and any model can do it", async () => {
  const text = "Größere Straßen 👩🏽‍💻 führen über die Hügel. 图书馆早上九点开门,请问火车站在哪里?\n\nNeuer Absatz. ".repeat(6);
  await browser.visit("/blank.html", async (page) => {
    const got = await page.evaluate(async (text) => {
      const { load, failure } = await import("/page.js");
      const model = await load("f32-odd", { endpoint: "/fixtures" });
      const whole = await model.splitText(text, { maxTokens: 60 });
      const overlapping = await model.splitText(text, { maxTokens: 60, overlap: 20 });
      const tokens = [];
      for (const chunk of whole) tokens.push((await model.embed(chunk.text)).usage.tokens);
      const failures = [
        await failure(model.splitText(5)),
        await failure(model.splitText("a", { maxTokens: 0 })),
        await failure(model.splitText("a", { maxTokens: 4, overlap: 4 })),
        await failure(model.splitText("a", { size: 4 })),
        await failure(model.embedContext([["a"]])),
      ];
      const empty = await model.splitText("");
      await model.dispose();
      return { whole, overlapping, tokens, failures, empty };
    }, text);
    assert.equal(got.whole.map((c) => c.text).join(""), text);
    assert.ok(got.whole.length > 5);
    assert.deepEqual(got.whole.map((c) => c.tokens), got.tokens);
    assert.ok(got.tokens.every((n) => n <= 60), String(got.tokens));
    let covered = 0;
    for (const { start, end, text: part } of got.overlapping) {
      assert.equal(text.slice(start, end), part);
      assert.ok(start <= covered && end > covered);
      covered = end;
    }
    assert.equal(covered, text.length);
    assert.ok(got.overlapping.some((c, i) => i > 0 && c.start < got.overlapping[i - 1].end));
    assert.deepEqual(got.empty, []);
    const words = got.failures.map((f) => f.message.split(/[:[ ]/)[0]);
    assert.deepEqual(words, ["text", "maxTokens", "overlap", "options", "embedContext"]);
  });
});
