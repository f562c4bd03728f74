// Scores in a browser at the edges of the kernels' tiles, against f64 in the page.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { start } from "./browser.mjs";

let browser;
before(async () => (browser = await start()));
after(() => browser.stop());

/** In the page: the largest difference of the scores of documents of `lengths` (or so many of one token) from f64, in parts of what is allowed. */
const worst = (page, given) =>
  page.evaluate(async ({ dim, rows, lengths, below }) => {
    const { maxsim } = await import("/page.js");
    let state = 7;
    const numbers = (count) =>
      Float32Array.from({ length: count }, () => {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        return (below ? state / 2 ** 32 + 0.01 : state / 2 ** 31 - 1) / Math.sqrt(dim);
      });
    const offsetsOf = (counts) => counts.reduce((ends, n) => [...ends, ends.at(-1) + n], [0]);
    const counts = Array.isArray(lengths) ? lengths : new Array(lengths).fill(1);
    const offsets = counts.length > 1000 ? Array.from({ length: counts.length + 1 }, (_, i) => i) : offsetsOf(counts);
    const queries = { data: numbers(rows.reduce((a, b) => a + b) * dim), offsets: offsetsOf(rows), dim };
    const documents = { data: numbers(offsets.at(-1) * dim).map((x) => (below ? -x : x)), offsets, dim };
    const scores = await maxsim(queries, documents);
    const tokens = counts.reduce((a, b) => a + b);
    let [part, infinite] = [0, 0];
    for (const [q, count] of rows.entries()) {
      for (let d = 0; d < counts.length; d++) {
        const score = scores[q * counts.length + d];
        if (counts[d] === 0) {
          infinite += score === -Infinity ? 1 : NaN;
          continue;
        }
        let sum = 0;
        for (let i = queries.offsets[q]; i < queries.offsets[q + 1]; i++) {
          let best = -Infinity;
          for (let t = offsets[d]; t < offsets[d + 1]; t++) {
            let dot = 0;
            for (let k = 0; k < dim; k++) dot += queries.data[i * dim + k] * documents.data[t * dim + k];
            best = Math.max(best, dot);
          }
          sum += best;
        }
        const difference = Math.abs(score - sum) / (1e-4 * count);
        part = Number.isFinite(difference) ? Math.max(part, difference) : Infinity;
      }
    }
    return { part, infinite, scores: scores.length, tokens };
  }, given);

for (const dim of [1, 3, 4, 96, 128, 1024, 2560]) {
  test(`${dim} dimensions, all lengths about the tile's`, async () => {
    await browser.visit("/blank.html", async (page) => {
      const lengths = [0, 1, 63, 64, 65, 0, 3, 4, 5, 129];
      const rows = [1, 7, 8, 9, 31, 32, 33];
      for (const below of [false, true]) {
        const { part, infinite } = await worst(page, { dim, rows, lengths, below });
        assert.equal(infinite, 2 * rows.length, "empty documents");
        assert.ok(part <= 1, `${part} times what is allowed`);
      }
    });
  });
}

test("a million tokens in one document, and a hundred thousand documents of one", async () => {
  await browser.visit("/blank.html", async (page) => {
    for (const lengths of [[1_000_000], 100_000]) {
      const { part, scores } = await worst(page, { dim: 4, rows: [2, 3], lengths });
      assert.equal(scores, Array.isArray(lengths) ? 2 : 200_000);
      assert.ok(part <= 1, `${part} times what is allowed`);
    }
  });
});
