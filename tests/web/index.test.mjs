// Search indexes in a browser under a strict CSP: what they find equals brute force here, in f64.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { start } from "./browser.mjs";
import { chunks, cosine } from "./fixtures.mjs";

let browser;
before(async () => (browser = await start()));
after(() => browser.stop());

const noGpu = (page) =>
  page.addInitScript(() => Object.defineProperty(Navigator.prototype, "gpu", { get: () => undefined }));

/** Numbers that are the same in every run: -1 to 1, or whole ones up to `most`. */
function numbers(count, seed, most) {
  let state = seed;
  return Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const x = state / 2 ** 31 - 1;
    return most ? Math.round(x * most) : Math.fround(x);
  });
}

const DIM = 48;
const QUERIES = 3;

/** Items of 1 to 3 rows, and queries of `lq` rows. */
function corpus({ items, most, lq = 1, rows = (i) => 1 + (i % 3) }) {
  const all = Array.from({ length: items }, (_, i) => numbers(rows(i) * DIM, 1000 + i, most));
  // Several are the same, and must come in the order they were added; one is zeros.
  if (items > 20) [all[17], all[9], all[12]] = [all[3], all[3], all[12].map(() => 0)];
  return { items: all, queries: Array.from({ length: QUERIES }, (_, q) => numbers(lq * DIM, 77 + q, most)) };
}

/** The order of scores, highest first, equal ones in their own order. */
const ranked = (scores) => [...scores.keys()].sort((a, b) => scores[b] - scores[a] || a - b);

/** Hits are those of `scores`, one for each item; those that differ by less than `error` may change places. */
function sameHits(hits, scores, k, error) {
  const order = ranked(scores);
  assert.equal(hits.length, Math.min(k, scores.length));
  for (const [rank, { id, score }] of hits.entries()) {
    const want = scores[order[rank]];
    const own = scores[Number(id.slice(1))];
    assert.ok(Math.abs(score - own) <= error, `${id} has ${score}, expected ${own}`);
    assert.ok(Math.abs(own - want) <= 2 * error, `hit ${rank} is ${id} of ${own}, expected one of ${want}`);
  }
  const sorted = [...hits].sort((a, b) => b.score - a.score || Number(a.id.slice(1)) - Number(b.id.slice(1)));
  assert.deepEqual(hits.map((hit) => hit.id), sorted.map((hit) => hit.id));
}

/** A cosine as it is defined: 0 with zeros. */
const cosineOf = (a, b) => (a.some(Boolean) && b.some(Boolean) ? cosine(a, b) : 0);
const best = (query, item) => Math.max(...chunks(item, DIM).map((row) => cosineOf(query, row)));

/** Builds an index of vectors in the page and searches it. */
const searchVectors = (page, given) =>
  page.evaluate(async ({ type, create, items, queries, scales, options, more }) => {
    const { createIndex } = await import("/page.js");
    const array = (row) => globalThis[type].from(row);
    const index = await createIndex(create);
    const factors = (row) => scales && { scales: new Float32Array(row.length / create.dimensions).fill(scales) };
    const wrapped = (row) => ({ vector: array(row), ...factors(row) });
    const added = await index.add(items.map((row, i) => ({ id: `i${i}`, data: { at: i }, ...wrapped(row) })));
    const asked = queries.map((row) => (scales ? wrapped(row) : array(row)));
    const hits = await index.search(asked, options);
    const alone = await index.search(asked[1], options);
    const result = { info: index.info, size: index.size, hits, alone, added };
    if (more) {
      // Half of them go and come back: the order is another, the scores are not.
      await index.remove(items.map((_, i) => `i${i}`).filter((_, i) => i % 2));
      await index.upsert(items.flatMap((row, i) => (i % 2 ? [{ id: `i${i}`, ...wrapped(row) }] : [])));
      result.again = await index.search(asked, { ...options, k: items.length });
    }
    await index.dispose();
    return result;
  }, given);

const DENSE = [
  ["int8", "Int8Array", { most: 127 }, 1e-6],
  ["float32", "Float32Array", {}, 2e-6],
];
for (const [place, worker, prepare] of [["a worker", true], ["the page's thread", false], ["no GPU", false, noGpu]]) {
  for (const [dtype, type, form, error] of DENSE) {
    test(`dense ${dtype} rows, ${place}: the highest cosines`, async () => {
      const { items, queries } = corpus({ items: 200, ...form });
      await browser.visit("/blank.html", async (page) => {
        await prepare?.(page);
        await page.reload();
        const create = { dtype, dimensions: DIM, worker, ...(!prepare && { device: "webgpu" }) };
        const given = { type, create, items, queries, options: { k: 25 }, more: worker };
        const got = await searchVectors(page, given);
        const { device, bytes, ...info } = got.info;
        assert.deepEqual(info, { kind: "dense", dtype, dimensions: DIM, model: undefined, firstPass: false });
        assert.equal(device, prepare ? "cpu" : "webgpu");
        assert.ok(prepare ? bytes.device === 0 && bytes.host > 200 * DIM : bytes.device > 0, JSON.stringify(bytes));
        assert.deepEqual([got.size, got.added], [200, { tokens: 0, truncated: [] }]);
        for (const [q, query] of queries.entries()) {
          const scores = items.map((item) => best(query, item));
          sameHits(got.hits[q], scores, 25, error);
          for (const { id, chunk, data, score } of got.hits[q]) {
            const i = Number(id.slice(1));
            assert.deepEqual(data, { at: i });
            const row = chunks(items[i], DIM)[chunk];
            assert.ok(Math.abs(cosineOf(query, row) - score) <= error, `${id} has ${score} from chunk ${chunk}`);
          }
        }
        assert.deepEqual(got.alone, got.hits[1]);
        if (worker) {
          const scoreOf = new Map(got.again[0].map((hit) => [hit.id, hit.score]));
          for (const { id, score } of got.hits[0]) assert.equal(scoreOf.get(id), score);
          assert.equal(got.again[0].length, 200);
        }
        // Rows that stay in main memory give the same bits.
        if (place === "a worker" && dtype === "int8") {
          const paged = await searchVectors(page, { ...given, create: { ...create, memory: 0 } });
          assert.equal(paged.info.bytes.device, 0);
          assert.deepEqual(paged.hits, got.hits);
        }
      });
    });
  }
}

test("dense binary rows: candidates by Hamming distance, scored by int8 cosines", async () => {
  const { items, queries } = corpus({ items: 400, most: 127, rows: () => 1 });
  await browser.visit("/blank.html", async (page) => {
    const create = { dtype: "binary", dimensions: DIM };
    const k = 10;
    const got = await searchVectors(page, { type: "Int8Array", create, items, queries, options: { k } });
    // 1,000 candidates are all there are.
    const whole = await searchVectors(page, { type: "Int8Array", create, items, queries, options: { k, rescore: 100 } });
    for (const [q, query] of queries.entries()) {
      const scores = items.map((item) => best(query, item));
      sameHits(whole.hits[q], scores, k, 1e-6);
      const distance = (item) => item.filter((code, j) => code >= 0 !== query[j] >= 0).length;
      const distances = items.map(distance);
      const farthest = [...distances].sort((a, b) => a - b)[255];
      for (const { id, score } of got.hits[q]) {
        const i = Number(id.slice(1));
        assert.ok(distances[i] <= farthest, `${id} differs in ${distances[i]} bits, the 256th in ${farthest}`);
        assert.ok(Math.abs(score - scores[i]) <= 1e-6);
      }
      const sure = ranked(scores).filter((i) => distances[i] < farthest).slice(0, k);
      const last = got.hits[q].at(-1).score;
      for (const i of sure.filter((i) => scores[i] > last + 1e-6)) {
        assert.ok(got.hits[q].some(({ id }) => id === `i${i}`), `i${i} of ${scores[i]} is missing`);
      }
    }
  });
});

const bits = (row) => row.map((x) => (x >= 0 ? 1 : -1));
/** What is kept of a row in each form. */
const LATE = [
  ["float32", "Float32Array", {}, (row) => row],
  ["float16", "Float32Array", {}, (row) => row, 3e-3],
  ["int8", "Int8Array", { most: 100 }, (row) => row.map((c) => c * 0.01), 0, 0.01],
  ["binary", "Float32Array", {}, (row) => chunks(row, DIM).flatMap(bits)],
];
for (const [dtype, type, form, kept, rounding = 0, scales] of LATE) {
  test(`late ${dtype} rows: the sum of each query token's best match`, async () => {
    const { items, queries } = corpus({ items: 60, lq: 5, rows: (i) => i % 7, ...form });
    const dot = (a, b) => a.reduce((sum, x, j) => sum + x * b[j], 0);
    const maxsim = (query, item) =>
      chunks(query, DIM).reduce((sum, q) => sum + Math.max(...chunks(kept(item), DIM).map((d) => dot(q, d))), 0);
    await browser.visit("/blank.html", async (page) => {
      const create = { kind: "late", dtype, dimensions: DIM, device: "webgpu" };
      const given = { type, create, items, queries, scales, options: { k: 60 } };
      const got = await searchVectors(page, given);
      const asked = (query) => (scales ? query.map((c) => c * scales) : query);
      const error = 5 * DIM * (rounding + 2e-6);
      for (const [q, query] of queries.entries()) {
        const scores = items.map((item) => maxsim(asked(query), item));
        // Items without tokens are never found.
        const some = scores.filter(Number.isFinite);
        assert.equal(some.length, items.filter((item) => item.length > 0).length);
        assert.equal(got.hits[q].length, some.length);
        for (const { id, score } of got.hits[q]) {
          const want = scores[Number(id.slice(1))];
          assert.ok(Math.abs(score - want) <= error, `${id} has ${score}, expected ${want}`);
        }
        const sorted = got.hits[q].map((hit) => hit.score).sort((a, b) => b - a);
        assert.deepEqual(got.hits[q].map((hit) => hit.score), sorted);
        assert.equal(got.hits[q][0].chunk, undefined);
      }
      if (dtype === "binary") return;
      const passes = { ...given, create: { ...create, firstPass: true } };
      const all = await searchVectors(page, { ...passes, options: { k: 60, candidates: 60 } });
      assert.deepEqual(all.hits, got.hits);
      const few = await searchVectors(page, { ...passes, options: { k: 3, candidates: 8 } });
      const scoreOf = new Map(got.hits[0].map(({ id, score }) => [id, score]));
      assert.equal(few.hits[0].length, 3);
      for (const { id, score } of few.hits[0]) assert.equal(score, scoreOf.get(id));
    });
  });
}

const TEXTS = [
  "Water the tomatoes every morning before the sun is high.",
  "Größere Straßen führen über die Hügel.",
  "The train to the coast leaves at seven.",
  "图书馆早上九点开门",
  "",
  "Bread from the market, still warm 👩🏽‍💻.",
  "The library opens at nine on Sunday.",
];
const ASKED = ["When does the library open?", "bread and tomatoes", "Straßen"];

test("texts and chunks, with a model: the cosines of its vectors", async () => {
  const long = { id: "long", chunks: TEXTS };
  await browser.visit("/blank.html", async (page) => {
    for (const [name, dtype, create] of [
      ["f32-odd", "int8", {}], ["f32-odd", "float32", { dtype: "float32", dimensions: 20 }],
      ["context", "int8", {}], ["causal-last-f32", "float32", {}],
    ]) {
      const got = await page.evaluate(
        async ([name, texts, asked, long, create]) => {
          const { createIndex, load } = await import("/page.js");
          const model = await load(name, { endpoint: "/fixtures" });
          const index = await createIndex({ model, ...create });
          const heard = [];
          const items = [...texts.map((text, i) => ({ id: `t${i}`, text, data: text })), long];
          const usage = await index.add(items, { onProgress: (p) => heard.push(p) });
          const hits = await index.search(asked, { k: 100 });
          const { dtype, dimensions } = index.info;
          const options = { dtype, dimensions };
          // A model with prompts puts one before queries and another before documents.
          const embed = async (texts, role) => (await model[role](texts, options)).toArray();
          const result = { usage, hits, info: index.info, heard, id: model.info.id };
          result.texts = await embed(texts, "encodeDocument");
          result.asked = await embed(asked, "encodeQuery");
          const context = model.info.kind === "context";
          result.chunks = context ? (await model.embedContext([long.chunks], options))[0].toArray() : result.texts;
          const cost = (await model.embed([...texts, ...texts])).usage.tokens;
          result.cost = context ? undefined : cost;
          await model.dispose();
          return result;
        },
        [name, TEXTS, ASKED, long, create],
      );
      assert.deepEqual([got.info.dtype, got.info.model, got.info.kind], [dtype, name, "dense"]);
      if (got.cost) assert.deepEqual(got.usage, { tokens: got.cost, truncated: [] });
      assert.deepEqual([...new Set(got.heard.map((p) => p.stage))].sort(), ["embed", "index"]);
      for (const [q, query] of got.asked.entries()) {
        const scores = got.texts.map((row) => cosineOf(query, row));
        assert.equal(got.hits[q].length, TEXTS.length + 1);
        const of = new Map(got.hits[q].map((hit) => [hit.id, hit]));
        for (const [i, score] of scores.entries()) {
          assert.ok(Math.abs(of.get(`t${i}`).score - score) < 2e-6, `${name}: ${of.get(`t${i}`).score}, not ${score}`);
          assert.equal(of.get(`t${i}`).data, TEXTS[i]);
        }
        const rows = got.chunks.map((row) => cosineOf(query, row));
        assert.ok(Math.abs(of.get("long").score - Math.max(...rows)) < 2e-6);
        assert.ok(Math.abs(rows[of.get("long").chunk] - Math.max(...rows)) < 2e-6);
        assert.equal(of.get("long").data, undefined);
      }
      // A causal model puts a token behind the empty text.
      if (name !== "causal-last-f32") assert.equal(got.hits[0].find((hit) => hit.id === "t4").score, 0);
    }
  });
});

test("late texts: the scores of token vectors, and an explanation that points at words", async () => {
  await browser.visit("/blank.html", async (page) => {
    const got = await page.evaluate(async ([texts, asked]) => {
      const { createIndex, failure, load } = await import("/page.js");
      const model = await load("late-st", { device: "webgpu", endpoint: "/fixtures" });
      const index = await createIndex({ model });
      await index.add(texts.map((text, i) => ({ id: `t${i}`, text })));
      const hits = await index.search(asked);
      const plain = (e) => ({
        data: [...e.data], offsets: [...e.offsets], tokens: [...e.tokens],
        ranges: Array.from(e.tokens, (_, row) => e.range(row)),
      });
      const result = { info: index.info, hits };
      result.documents = plain(await model.encodeDocument(texts));
      result.queries = plain(await model.encodeQuery(asked));
      result.explained = await index.explain(asked[2], "t1", { text: texts[1] });
      result.bare = await index.explain(asked[2], "t1");
      const { data } = await model.encodeQuery(asked[2]);
      result.vector = await index.explain(data, "t1", { text: texts[1] });
      result.vectorHits = await index.search(data);
      const reopened = await openAgain(index);
      result.reopened = await reopened.explain(asked[2], "t1", { text: texts[1] });
      result.failures = [
        await failure(index.explain(asked[0], "t1", { text: "short" })),
        await failure(index.explain(asked[0], "nobody")),
        await failure(index.explain(asked[0], "t1", { text: "\ud800" })),
      ];
      await model.dispose();
      return result;
      async function openAgain(index) {
        const { openIndex } = await import("/page.js");
        return openIndex(await index.toBlob(), { model });
      }
    }, [TEXTS, ASKED]);
    assert.deepEqual([got.info.kind, got.info.dtype, got.info.dimensions], ["late", "float16", 24]);
    const rows = ({ data, offsets }, i) => chunks(data.slice(offsets[i] * 24, offsets[i + 1] * 24), 24);
    const dot = (a, b) => a.reduce((sum, x, j) => sum + x * b[j], 0);
    for (const [q, hits] of got.hits.entries()) {
      assert.equal(hits.length, TEXTS.length);
      for (const { id, score } of hits) {
        const document = rows(got.documents, Number(id.slice(1)));
        const want = rows(got.queries, q).reduce((sum, a) => sum + Math.max(...document.map((b) => dot(a, b))), 0);
        assert.ok(Math.abs(score - want) < 1e-2, `${id}: ${score}, not ${want}`);
      }
    }
    const { score } = got.hits[2].find((hit) => hit.id === "t1");
    assert.equal(got.explained.reduce((sum, m) => Math.fround(sum + m.similarity), 0), score);
    const [query, document] = [rows(got.queries, 2), rows(got.documents, 1)];
    const [fromQuery, fromDocument] = [got.queries.offsets[2], got.documents.offsets[1]];
    assert.equal(got.explained.length, query.length);
    const words = new Set();
    for (const [i, match] of got.explained.entries()) {
      const similarities = document.map((row) => dot(query[i], row));
      assert.ok(Math.abs(match.similarity - Math.max(...similarities)) < 1e-3);
      assert.ok(Math.abs(similarities[match.document.token] - Math.max(...similarities)) < 1e-3);
      const place = (text, range) => (range ? { text: text.slice(...range), start: range[0], end: range[1] } : {});
      const id = got.queries.tokens[fromQuery + i];
      assert.deepEqual(match.query, { token: i, id, ...place(ASKED[2], got.queries.ranges[fromQuery + i]) });
      const row = match.document.token;
      assert.deepEqual(match.document, { token: row, ...place(TEXTS[1], got.documents.ranges[fromDocument + row]) });
      if (match.document.text) words.add(match.document.text);
    }
    assert.ok(words.size > 0 && [...words].some((word) => /[ßöü]|[a-z]{2}/.test(word)), [...words].join("|"));
    assert.deepEqual(got.bare.map((m) => m.document), got.explained.map((m) => ({ token: m.document.token })));
    assert.deepEqual(got.vector.map((m) => m.document), got.explained.map((m) => m.document));
    assert.deepEqual(got.vector.map((m) => m.query), query.map((_, token) => ({ token })));
    assert.deepEqual(got.vectorHits, got.hits[2]);
    assert.deepEqual(got.reopened, got.explained);
    const words2 = got.failures.map(({ code, message }) => [code, message.split(":")[0]]);
    assert.deepEqual(words2, [["invalid-argument", "text"], ["invalid-argument", "id"], ["invalid-argument", "text"]]);
  });
});
