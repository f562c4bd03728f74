// Late-interaction scores in a browser under a strict CSP, without a model: those of sentence-transformers, in a worker
// and in the page, and what is refused.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";

import { start, until } from "./browser.mjs";

const ARRAYS = { F32: Float32Array, F16: Uint16Array, I8: Int8Array, U8: Uint8Array, I64: BigInt64Array };
const file = readFileSync(new URL("../fixtures/expected/maxsim.safetensors", import.meta.url));
const length = Number(file.readBigUInt64LE(0));
const header = JSON.parse(file.subarray(8, 8 + length).toString());

/** A tensor of the fixture: its type, its shape, and its numbers as a plain array, which can be handed to a page. */
function tensor(name) {
  const { dtype, shape, data_offsets: [from, to] } = header[name];
  const bytes = Uint8Array.from(file.subarray(8 + length + from, 8 + length + to));
  return { type: ARRAYS[dtype].name, shape, numbers: Array.from(new ARRAYS[dtype](bytes.buffer), Number) };
}

/** A case of the fixture, in plain arrays. */
function fixture(form) {
  const side = (name) => {
    const { type, numbers } = tensor(`${form}.${name}.data`);
    const scales = header[`${form}.${name}.scales`] && tensor(`${form}.${name}.scales`).numbers;
    return { type, numbers, offsets: tensor(`${form}.${name}.offsets`).numbers, scales };
  };
  const dim = tensor(`${form}.queries.data`).shape[1];
  const pairs = tensor(`${form}.pairs`).numbers;
  return {
    dim, queries: side("queries"), documents: side("documents"), scores: tensor(`${form}.scores`).numbers,
    pairs: pairs.filter((_, i) => i % 2 === 0).map((q, i) => [q, pairs[2 * i + 1]]),
    pairScores: tensor(`${form}.pair_scores`).numbers,
  };
}

function near(got, expected, rows) {
  assert.equal(got.length, expected.length);
  for (const [i, value] of got.entries()) {
    assert.ok(Math.abs(value - expected[i]) <= 1e-4 * rows(i), `score ${i} is ${value}, expected ${expected[i]}`);
  }
}

const rank = (row) => [...row.keys()].sort((a, b) => row[b] - row[a]);

let browser;
before(async () => (browser = await start()));
after(() => browser.stop());

for (const [worker, form] of [[true, "f32"], [true, "f16"], [true, "i8"], [true, "b1"], [false, "i8"]]) {
  test(`${form} scores equal sentence-transformers ${worker ? "in a worker" : "in the page's thread"}`, async () => {
    const { scores, pairScores, ...given } = fixture(form);
    await browser.visit("/blank.html", async (page) => {
      const got = await page.evaluate(
        async ([{ dim, queries, documents, pairs }, worker]) => {
          const { explainMaxsim, maxsim } = await import("/page.js");
          const side = ({ type, numbers, offsets, scales }) => ({
            data: globalThis[type].from(numbers), offsets, dim, scales: scales && Float32Array.from(scales),
          });
          const [q, d] = [side(queries), side(documents)];
          const all = await maxsim(q, d, { worker });
          const some = await maxsim(q, d, { worker, pairs });
          const { tokens, similarities } = await explainMaxsim(q, d, [3, 5], { worker });
          // Each document by itself in an array, and offsets of another type.
          const width = d.data.length / offsets(d).at(-1);
          const items = offsets(d).slice(1).map((end, i) => ({
            data: d.data.subarray(offsets(d)[i] * width, end * width), dim,
            scales: d.scales?.subarray(offsets(d)[i], end),
          }));
          const apart = await maxsim({ ...q, offsets: BigInt64Array.from(q.offsets, BigInt) }, items, { worker });
          function offsets(v) {
            return v.offsets;
          }
          return {
            type: all.constructor.name, all: [...all], some: [...some], apart: [...apart],
            tokens: [...tokens], similarities: [...similarities], intact: d.data.length === documents.numbers.length,
          };
        },
        [given, worker],
      );
      assert.equal(got.type, "Float32Array");
      assert.equal(got.intact, true);
      const { offsets } = given.queries;
      const items = given.documents.offsets.length - 1;
      const rows = (q) => offsets[q + 1] - offsets[q];
      near(got.all, scores, (i) => rows(Math.floor(i / items)));
      for (let q = 0; q < offsets.length - 1; q++) {
        const row = (from) => from.slice(q * items, (q + 1) * items);
        assert.deepEqual(rank(row(got.all)), rank(row(scores)), `query ${q}`);
      }
      near(got.some, pairScores, (i) => rows(given.pairs[i][0]));
      assert.deepEqual(got.some, given.pairs.map(([q, d]) => got.all[q * items + d]));
      assert.deepEqual(got.apart, got.all);
      const sum = got.similarities.reduce((sum, s) => Math.fround(sum + s), 0);
      assert.equal(sum, got.all[3 * items + 5]);
      assert.ok(got.tokens.length === 33 && got.tokens.every((t) => t >= 0 && t < 128), String(got.tokens));
    });
  });
}

test("the examples of the documentation, empty documents and cosines", async () => {
  await browser.visit("/blank.html", async (page) => {
    const got = await page.evaluate(async () => {
      const { explainMaxsim, maxsim } = await import("/page.js");
      const queries = { data: new Float32Array([1, 0, 0, 1]), offsets: [0, 2], dim: 2 };
      const documents = { data: new Float32Array([1, 0, 0.5, 0.5, -1, -2]), offsets: [0, 2, 3, 3], dim: 2 };
      const scores = [...(await maxsim(queries, documents))];
      const query = { data: new Float32Array([1, 0, 0, 1]), dim: 2 };
      const document = { data: new Float32Array([1, 0, 0.5, 0.5]), dim: 2 };
      const { tokens, similarities } = await explainMaxsim(query, document);
      const codes = { data: new Int8Array([30, 40, -3, 4]), offsets: [0, 1, 2], dim: 2 };
      const cosines = [...(await maxsim({ data: new Int8Array([3, 4]), dim: 2 }, codes, { normalize: true }))];
      const none = { data: new Float32Array(), offsets: [0], dim: 2 };
      const nothing = [(await maxsim(queries, none)).length, (await maxsim(queries, documents, { pairs: [] })).length];
      const empty = await explainMaxsim(queries, documents, [0, 2]);
      return { scores, tokens: [...tokens], similarities: [...similarities], cosines, nothing, empty: empty.tokens.length };
    });
    assert.deepEqual(got.scores, [1.5, -3, -Infinity]);
    assert.deepEqual([got.tokens, got.similarities], [[0, 1], [1, 0.5]]);
    assert.ok(Math.abs(got.cosines[0] - 1) < 1e-6 && Math.abs(got.cosines[1] - 0.28) < 1e-6, String(got.cosines));
    assert.deepEqual([got.nothing, got.empty], [[0, 0], 0]);
  });
});

test("what cannot be scored is refused by argument and index", async () => {
  await browser.visit("/blank.html", async (page) => {
    const got = await page.evaluate(async () => {
      const { failure, maxsim } = await import("/page.js");
      const good = { data: new Float32Array(12), offsets: [0, 2, 3], dim: 4 };
      const wrong = {
        "documents.offsets[1]": { ...good, offsets: [0, -1, 3] },
        "documents.offsets[2]": { ...good, offsets: [0, 2, 4] },
        "documents.offsets[2] ": { ...good, offsets: [0, 3, 2, 3] },
        "documents.data": { ...good, data: new Float32Array(13) },
        "documents.data ": { ...good, data: [1, 2, 3, 4] },
        "documents.dim": { ...good, dim: 6, offsets: [0, 1, 2] },
        "documents.dim ": { ...good, dim: 1.5 },
        "documents.dtype": { ...good, dtype: "int4" },
        "documents[1]": { ...good, data: new Float32Array(12).fill(NaN, 8) },
        "documents[1].dim": [good, { data: new Float32Array(9), dim: 3 }],
        "documents[1].dtype": [good, { ...good, data: new Int8Array(12) }],
        "documents[2]": [good, good, null],
        "documents": [],
        "documents.scales": { ...good, data: new Int8Array(12), scales: new Float32Array(2) },
      };
      const errors = [];
      for (const [argument, documents] of Object.entries(wrong)) {
        errors.push([argument.trim(), await failure(maxsim(good, documents))]);
      }
      errors.push(["queries[1]", await failure(maxsim({ ...good, offsets: [0, 3, 3] }, good))]);
      errors.push(["pairs[1]", await failure(maxsim(good, good, { pairs: [[0, 0], [0, 2]] }))]);
      errors.push(["pairs[0][1]", await failure(maxsim(good, good, { pairs: [[0, "1"]] }))]);
      errors.push(["pairs[0]", await failure(maxsim(good, good, { pairs: [0] }))]);
      errors.push(["normalize", await failure(maxsim(good, good, { normalize: 1 }))]);
      errors.push(["options", await failure(maxsim(good, good, { k: 1 }))]);
      return errors;
    });
    for (const [argument, { code, message }] of got) {
      assert.equal(code, "invalid-argument", message);
      assert.ok(message.startsWith(`${argument}: `), `${message} does not name ${argument}`);
    }
  });
});

test("progress, cancelling, and a worker that ends when it is idle", async () => {
  await browser.visit("/blank.html", async (page) => {
    const got = await page.evaluate(async () => {
      const { failure, maxsim } = await import("/page.js");
      const many = (tokens) => ({ data: Float32Array.from({ length: tokens * 64 }, (_, i) => Math.sin(i)), dim: 64 });
      const [query, corpus] = [many(32), { ...many(40_000), offsets: [0, 39_999, 40_000] }];
      const early = new AbortController();
      early.abort("no");
      const before = await failure(maxsim(query, corpus, { signal: early.signal }));
      const late = new AbortController();
      const during = maxsim(query, corpus, { signal: late.signal });
      setTimeout(() => late.abort(), 50);
      const cancelled = await failure(during);
      const heard = [];
      const scores = await maxsim(query, corpus, { onProgress: (p) => heard.push(p) });
      return { before: before.code, cancelled: cancelled.code, heard, finite: scores.every(Number.isFinite) };
    });
    assert.deepEqual([got.before, got.cancelled, got.finite], ["aborted", "aborted", true]);
    assert.deepEqual(got.heard.at(-1), { stage: "score", done: 32 * 40_000, total: 32 * 40_000 });
    await until(() => page.workers().length === 0, "the worker has ended");
  });
});
