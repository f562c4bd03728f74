// Search indexes in a browser under a strict CSP: what they find equals brute force here, in f64; whatever fails or is
// cancelled leaves them as they were; and what is saved comes back.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { start, until } from "./browser.mjs";
import { chunks, cosine } from "./fixtures.mjs";

let browser;
before(async () => (browser = await start()));
after(() => browser.stop());

const noGpu = (page) =>
  page.addInitScript(() => Object.defineProperty(Navigator.prototype, "gpu", { get: () => undefined }));

const noOpfs = (page) =>
  page.addInitScript(() => Object.defineProperty(StorageManager.prototype, "getDirectory", { value: undefined }));

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
        const create = { dtype, dimensions: DIM, worker };
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
      const farthest = [...distances].sort((a, b) => a - b)[99];
      for (const { id, score } of got.hits[q]) {
        const i = Number(id.slice(1));
        assert.ok(distances[i] <= farthest, `${id} differs in ${distances[i]} bits, the 100th in ${farthest}`);
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
      const create = { kind: "late", dtype, dimensions: DIM };
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
          const embed = async (texts) => (await model.embed(texts, options)).toArray();
          const result = { usage, hits, info: index.info, heard, id: model.info.id };
          result.texts = await embed(texts);
          result.asked = await embed(asked);
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
      const model = await load("late-st", { endpoint: "/fixtures" });
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

test("filters, replacing and removing, in the order of adding", async () => {
  await browser.visit("/blank.html", async (page) => {
    const got = await page.evaluate(async () => {
      const { createIndex, failure } = await import("/page.js");
      const index = await createIndex({ dimensions: 2 });
      const one = (id, x, y, data) => ({ id, vector: Int8Array.of(x, y), data });
      // All as good as each other.
      await index.add(["a", "b", "c", "d", "e"].map((id, i) => one(id, 1 + i, 0, { even: i % 2 === 0, tags: [id] })));
      const ids = async (options) => (await index.search(Int8Array.of(1, 0), options)).map((hit) => hit.id).join("");
      const result = { first: await ids(), three: await ids({ k: 3 }) };
      const asked = [];
      const filter = (id, data) => asked.push([id, data.tags[0]]) && data.even;
      result.filtered = await ids({ filter, k: 2 });
      result.asked = asked;
      result.none = await ids({ filter: () => false });
      result.thrown = await index.search(Int8Array.of(1, 0), { filter: () => { throw new RangeError("no"); } }).catch(String);
      await index.upsert([one("b", 9, 0, null), one("f", 9, 0)]);
      result.upserted = [index.ids().join(""), await ids(), index.size];
      result.data = (await index.search(Int8Array.of(1, 0))).map((hit) => hit.data);
      // Changing what a hit gave changes nothing.
      (await index.search(Int8Array.of(1, 0)))[0].data.tags.push("changed");
      result.intact = (await index.search(Int8Array.of(1, 0)))[0].data;
      result.removed = [await index.remove(["c", "c", "nobody"]), await index.remove("e"), await index.remove([])];
      result.left = [index.ids().join(""), await ids(), index.has("c"), index.has("d")];
      const again = await failure(index.add([one("z", 1, 0), one("d", 1, 0)]));
      const twice = await failure(index.upsert([one("z", 1, 0), one("z", 1, 0)]));
      result.refused = [again, twice].map(({ code, message }) => [code, message]);
      result.same = [index.ids().join(""), await ids(), index.has("z")];
      result.empty = [await index.add([]), await index.search([])];
      // Calls take turns: what is looked for after an add that nobody waited for is found.
      const adding = index.add([one("g", 0, 1)]);
      const found = index.search(Int8Array.of(0, 1), { k: 1, filter: (id) => id === "g" });
      result.turns = [(await found)[0].id, (await adding).tokens];
      await index.dispose();
      return result;
    });
    assert.deepEqual([got.first, got.three, got.filtered, got.none], ["abcde", "abc", "ac", ""]);
    assert.deepEqual(got.asked, ["a", "b", "c", "d", "e"].map((id) => [id, id]));
    assert.equal(got.thrown, "RangeError: no");
    assert.deepEqual(got.upserted, ["acdebf", "acdebf", 6]);
    assert.deepEqual(got.data.slice(0, 1), [{ even: true, tags: ["a"] }]);
    assert.deepEqual(got.data.slice(4), [null, undefined]);
    assert.deepEqual(got.intact, { even: true, tags: ["a"] });
    assert.deepEqual([got.removed, got.left], [[1, 1, 0], ["adbf", "adbf", false, true]]);
    assert.deepEqual(got.refused.map(([code]) => code), ["invalid-argument", "invalid-argument"]);
    assert.match(got.refused[0][1], /^items\[1\]\.id: "d" .*upsert/);
    assert.match(got.refused[1][1], /^items\[1\]\.id: "z" .*twice/);
    assert.deepEqual(got.same, ["adbf", "adbf", false]);
    assert.deepEqual(got.empty, [{ tokens: 0, truncated: [] }, []]);
    assert.deepEqual(got.turns, ["g", 0]);
  });
});

for (const worker of [true, false]) {
  test(`cancelling ${worker ? "in a worker" : "in the page's thread"} leaves the index as it was`, async () => {
    await browser.visit("/blank.html", async (page) => {
      const got = await page.evaluate(async (worker) => {
        const { createIndex, failure, load } = await import("/page.js");
        const model = await load("f32-odd", { endpoint: "/fixtures", worker });
        const index = await createIndex({ model });
        await index.add([{ id: "a", text: "a red bicycle" }, { id: "b", text: "a blue car" }]);
        const state = async () => [index.ids(), await index.search("bicycle"), index.info.bytes];
        const before = await state();
        const many = Array.from({ length: 300 }, (_, i) => ({ id: `n${i}`, text: `number ${i}: ${"text ".repeat(40)}` }));
        const result = { codes: [] };
        for (const call of ["add", "upsert"]) {
          const stop = new AbortController();
          const heard = [];
          const onProgress = (p) => {
            heard.push(p.stage);
            if (heard.length === 2) stop.abort("enough");
          };
          const failed = await failure(index[call](many, { signal: stop.signal, onProgress }));
          result.codes.push(failed.code);
          result.heard = heard.length;
        }
        result.codes.push((await failure(index.add(many, { signal: AbortSignal.abort() }))).code);
        // One that waits for its turn is answered at once.
        const first = index.add([{ id: "c", text: "text ".repeat(400) }]);
        const stop = new AbortController();
        const waiting = failure(index.add([{ id: "d", text: "d" }], { signal: stop.signal }));
        stop.abort();
        result.codes.push((await Promise.race([waiting, first.then(() => ({ code: "too late" }))])).code);
        await first;
        result.after = [await index.remove("c"), index.has("d")];
        const looking = new AbortController();
        const searching = failure(index.search("text ".repeat(400), { signal: looking.signal }));
        looking.abort();
        result.codes.push((await searching).code);
        result.codes.push((await failure(createIndex({ model, signal: AbortSignal.abort() }))).code);
        const saving = new AbortController();
        const saved = failure(index.toBlob({ signal: saving.signal }));
        saving.abort();
        result.codes.push((await saved).code);
        result.states = [before, await state()].map(([ids, hits]) => [ids, hits]);
        await model.dispose();
        return result;
      }, worker);
      assert.deepEqual(got.codes, Array(7).fill("aborted"));
      assert.ok(got.heard >= 2);
      assert.deepEqual(got.after, [1, false]);
      assert.deepEqual(got.states[1], got.states[0]);
      assert.deepEqual(got.states[0][0], ["a", "b"]);
    });
  });
}

/** In the page: an index of `count` items of 64 dimensions, some of them with data. */
const MAKE = `
  globalThis.make = async (count, options) => {
    const { createIndex } = await import("/page.js");
    const index = await createIndex({ dimensions: 64, ...options });
    const row = (i) => Int8Array.from({ length: 64 }, (_, j) => ((i * 31 + j * 17 + i * j) % 255) - 127);
    await index.add(Array.from({ length: count }, (_, i) => ({ id: "i" + i, vector: row(i), ...(i % 3 && { data: { i } }) })));
    return index;
  };
  globalThis.query = Int8Array.from({ length: 64 }, (_, j) => (j * 37) % 100 - 50);
`;

for (const [place, worker, prepare] of [
  ["OPFS, in a worker", true], ["OPFS, in the page's thread", false], ["the Cache API", false, noOpfs],
]) {
  test(`${place}: saved, and the same after the page was reloaded`, async () => {
    await browser.visit("/blank.html", async (page) => {
      await page.addInitScript(MAKE);
      await prepare?.(page);
      await page.reload();
      const before = await page.evaluate(async (worker) => {
        const { listIndexes, failure, openIndex } = await import("/page.js");
        const index = await make(500, { worker });
        await index.remove(["i3", "i499"]);
        await index.upsert([{ id: "i7", vector: query, data: "moved" }]);
        await index.save("notes.v1");
        await index.save("notes");
        await index.save("notes");
        const hits = await index.search(query, { k: 20 });
        const missing = await failure(openIndex("nothing", { worker }));
        return { hits, ids: index.ids(), saved: await listIndexes(), missing };
      }, worker);
      assert.deepEqual([before.hits[0].id, before.ids.length, before.ids.at(-1)], ["i7", 498, "i7"]);
      assert.deepEqual(before.saved.map(({ name }) => name), ["notes", "notes.v1"]);
      assert.ok(before.saved[0].bytes > 498 * 64 && before.saved[0].bytes === before.saved[1].bytes);
      assert.equal(before.missing.code, "not-found");
      assert.match(before.missing.message, /^index "nothing"/);

      await page.reload();
      const got = await page.evaluate(async (worker) => {
        const { deleteIndex, listIndexes, openIndex } = await import("/page.js");
        const index = await openIndex("notes", { worker });
        const result = { hits: await index.search(query, { k: 20 }), ids: index.ids(), info: index.info };
        const blob = await index.toBlob();
        const fromBlob = await openIndex(new File([blob], "x.index"), { worker });
        result.fromBlob = await fromBlob.search(query, { k: 20 });
        const parts = [];
        const stream = new WritableStream({ write: (bytes) => void parts.push(bytes), close: () => parts.push("closed") });
        await fromBlob.save(stream);
        result.closed = parts.pop();
        const written = new Uint8Array(await new Blob(parts).arrayBuffer());
        const whole = new Uint8Array(await blob.arrayBuffer());
        result.bytes = [blob.size, written.length, written.every((b, i) => b === whole[i])];
        result.freed = [await deleteIndex("notes"), await deleteIndex("notes")];
        result.left = await listIndexes();
        // What was opened stays as it is.
        result.after = await index.search(query, { k: 20 });
        await index.dispose();
        await fromBlob.dispose();
        return result;
      }, worker);
      assert.deepEqual([got.hits, got.ids], [before.hits, before.ids]);
      assert.deepEqual([got.fromBlob, got.after], [before.hits, before.hits]);
      assert.equal(got.closed, "closed");
      assert.deepEqual(got.bytes, [before.saved[0].bytes, before.saved[0].bytes, true]);
      assert.deepEqual(got.freed, [before.saved[0].bytes, 0]);
      assert.deepEqual(got.left, [before.saved[1]]);
    });
  });
}

test("a model's index is opened with it, and not with another", async () => {
  await browser.visit("/blank.html", async (page) => {
    const got = await page.evaluate(async () => {
      const { createIndex, failure, load, openIndex } = await import("/page.js");
      const model = await load("f32-odd", { endpoint: "/fixtures" });
      const index = await createIndex({ model });
      await index.add([{ id: "a", text: "a red bicycle" }, { id: "b", text: "a blue car" }]);
      await index.save("models");
      const hits = await index.search("car");
      await index.dispose();
      const again = await openIndex("models", { model });
      await again.add([{ id: "c", text: "a blue car" }]);
      const both = await again.search("car");
      const bare = await openIndex("models");
      const vector = (await model.embed("car")).row(0);
      const result = {
        hits, both, bare: await bare.search(vector), model: bare.info.model,
        text: await failure(bare.search("car")), add: await failure(bare.add([{ id: "x", text: "x" }])),
      };
      const other = await load("f32-gqa2", { endpoint: "/fixtures" });
      result.other = await failure(openIndex("models", { model: other }));
      await Promise.all([model.dispose(), other.dispose(), bare.dispose()]);
      return result;
    });
    assert.deepEqual(got.bare, got.hits);
    const [b, c] = ["b", "c"].map((id) => got.both.findIndex((hit) => hit.id === id));
    assert.deepEqual([got.both.length, c - b], [3, 1]);
    assert.equal(got.both[b].score, got.both[c].score);
    assert.equal(got.model, "f32-odd");
    for (const [name, at] of [["text", "queries[0]: "], ["add", "items[0].text: "], ["other", "model: "]]) {
      assert.equal(got[name].code, "invalid-argument", name);
      assert.ok(got[name].message.startsWith(at), got[name].message);
    }
  });
});

test("files that are cut or changed are refused, and what is whole of them can be had", async () => {
  await browser.visit("/blank.html", async (page) => {
    await page.addInitScript(MAKE);
    await page.reload();
    const got = await page.evaluate(async () => {
      const { failure, openIndex } = await import("/page.js");
      // Two blocks: more than 4 MiB of data.
      const index = await make(2);
      const big = Array.from({ length: 100 }, (_, i) => ({ id: "b" + i, vector: query, data: "x".repeat(60_000) }));
      await index.add(big);
      const whole = new Uint8Array(await (await index.toBlob()).arrayBuffer());
      const open = (bytes, options) => openIndex(new Blob([bytes]), { worker: false, ...options });
      const result = { codes: [], recovered: [] };
      const changed = whole.slice();
      changed[changed.length - 1000] ^= 1;
      const version = whole.slice();
      version[7] = 9;
      const cuts = [0, 5, 20, 300, 5_000_000, whole.length - 1].map((at) => whole.subarray(0, at));
      for (const bytes of [...cuts, changed]) result.codes.push((await failure(open(bytes))).code);
      result.codes.push((await failure(open(version))).code, (await failure(open(new Uint8Array(100)))).code);
      result.message = (await failure(open(cuts[4]))).message;
      for (const bytes of [cuts[4], changed, cuts[5]]) {
        const notices = [];
        const onProgress = (p) => p.stage === "notice" && notices.push(p.message);
        const some = await open(bytes, { recover: true, onProgress });
        const hits = await some.search(query, { k: 1000 });
        result.recovered.push([some.size, hits.length, some.ids()[0], notices.length]);
        await some.dispose();
      }
      await index.dispose();
      return result;
    });
    assert.deepEqual(got.codes.slice(0, -2), Array(7).fill("integrity"));
    assert.deepEqual(got.codes.slice(-2), ["unsupported", "integrity"]);
    assert.match(got.message, /of 102 items are whole.*recover/);
    const [[size], [same]] = got.recovered;
    assert.ok(size > 2 && size < 102, String(size));
    assert.deepEqual(got.recovered, [[size, size, "i0", 1], [same, same, "i0", 1], [102, 102, "i0", 1]]);
  });
});

/** What there is of saved indexes, and of what is being written. */
const files = (page) =>
  page.evaluate(async () => {
    const found = await (await import("/dist/cache/files.js")).everyFiles(".indexes");
    return (await Promise.all(found.map((place) => place.list()))).flat().map(([name]) => name);
  });

test("without room a save is refused, and what was saved before stays", async () => {
  await browser.visit("/blank.html", async (page) => {
    await page.addInitScript(MAKE);
    await page.reload();
    const { origin } = new URL(browser.server.url);
    const session = await page.context().newCDPSession(page);
    await session.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: 400_000 });
    for (const worker of [true, false]) {
      const got = await page.evaluate(async (worker) => {
        const { failure, openIndex } = await import("/page.js");
        const index = await make(100, { worker });
        await index.save("notes");
        const hits = await index.search(query);
        const big = Array.from({ length: 40 }, (_, i) => ({ id: "b" + i, vector: query, data: "x".repeat(60_000) }));
        await index.add(big);
        const refused = await failure(index.save("notes"));
        const old = await openIndex("notes", { worker });
        const result = { refused, same: JSON.stringify(await old.search(query)) === JSON.stringify(hits), size: old.size };
        await Promise.all([index.dispose(), old.dispose()]);
        return result;
      }, worker);
      assert.equal(got.refused.code, "storage-full");
      assert.match(got.refused.message, /^index "notes" /);
      assert.deepEqual([got.same, got.size], [true, 100]);
      assert.deepEqual(await files(page), ["saved/notes.index"]);
    }
  });
});

test("a save that is cancelled or breaks off leaves the old version; the next one clears up", async () => {
  await browser.visit("/blank.html", async (page) => {
    await page.addInitScript(MAKE);
    await page.reload();
    const got = await page.evaluate(async () => {
      const { failure, openIndex } = await import("/page.js");
      // In this thread, so that the abort comes before the next block.
      const index = await make(100, { worker: false });
      await index.save("notes");
      await index.add(Array.from({ length: 200 }, (_, i) => ({ id: "b" + i, vector: query, data: "x".repeat(60_000) })));
      const stop = new AbortController();
      const cancelled = await failure(index.save("notes", { signal: stop.signal, onProgress: () => stop.abort() }));
      const kept = (await openIndex("notes")).size;
      // A stream that fails, and one that is cancelled.
      let why;
      const broken = new WritableStream({ write: () => { throw new TypeError("it broke"); } });
      const failing = await failure(index.save(broken));
      const stopped = new AbortController();
      const stuck = new WritableStream({ write: () => new Promise(() => stopped.abort()), abort: (e) => void (why = e.code) });
      const stopping = await failure(index.save(stuck, { signal: stopped.signal }));
      return { cancelled: cancelled.code, kept, failing, stopping: stopping.code, size: index.size };
    });
    assert.deepEqual([got.cancelled, got.kept, got.stopping], ["aborted", 100, "aborted"]);
    assert.deepEqual([got.failing.code, got.size], ["io", 300]);
    assert.match(got.failing.message, /it broke/);
    assert.deepEqual(await files(page), ["saved/notes.index"]);

    // A tab that was closed while it saved.
    await page.evaluate(async () => {
      const [files] = await (await import("/dist/cache/files.js")).everyFiles(".indexes");
      const part = await files.append(`saved/notes.${crypto.randomUUID()}.part`);
      await part.append(new Uint8Array(1000));
      await part.close();
      await (await files.append(`saved/notes.b.${crypto.randomUUID()}.part`)).close();
    });
    assert.equal((await files(page)).length, 3);
    const left = await page.evaluate(async () => {
      const { deleteIndex, listIndexes } = await import("/page.js");
      const listed = (await listIndexes()).map(({ name }) => name);
      const index = await make(10);
      await index.save("notes");
      await index.dispose();
      return [listed, (await deleteIndex("notes")) > 0, await deleteIndex("notes.b")];
    });
    assert.deepEqual(left, [["notes"], true, 0]);
    assert.deepEqual(await files(page), []);
  });
});

test("two tabs wait for each other", async () => {
  await browser.visit("/blank.html", async (page) => {
    const other = await page.context().newPage();
    for (const tab of [page, other]) {
      await tab.addInitScript(MAKE);
      await tab.goto(new URL("/blank.html", browser.server.url).href);
    }
    // One is writing as long as it holds the lock.
    await other.evaluate(async () => {
      await new Promise((held) => {
        const hold = () => new Promise((release) => {
          globalThis.release = release;
          held();
        });
        navigator.locks.request("pplx-embed-web/.indexes/saved/notes.index", hold);
      });
    });
    const waiting = await page.evaluate(async () => {
      const { deleteIndex, failure, listIndexes, sleep } = await import("/page.js");
      globalThis.index = await make(100);
      globalThis.saving = index.save("notes");
      await sleep(300);
      const stop = new AbortController();
      const tired = failure(index.save("notes", { signal: stop.signal }));
      stop.abort();
      return [(await failure(deleteIndex("notes"))).code, await listIndexes(), (await tired).code];
    });
    assert.deepEqual(waiting, ["in-use", [], "aborted"]);
    await other.evaluate(() => release());
    const sizes = await Promise.all([
      page.evaluate(async () => {
        await saving;
        await index.save("notes");
        return index.size;
      }),
      other.evaluate(async () => {
        const index = await make(200);
        for (let i = 0; i < 3; i++) await index.save("notes");
        return index.size;
      }),
    ]);
    assert.deepEqual(sizes, [100, 200]);
    const opened = await page.evaluate(async () => (await (await import("/page.js")).openIndex("notes")).size);
    assert.ok(sizes.includes(opened), String(opened));
    assert.deepEqual(await files(page), ["saved/notes.index"]);
    await other.close();
  });
});

test("what was disposed of rejects, and takes nothing else with it", async () => {
  await browser.visit("/blank.html", async (page) => {
    const got = await page.evaluate(async () => {
      const { createIndex, failure, load, openIndex } = await import("/page.js");
      const model = await load("f32-odd", { endpoint: "/fixtures" });
      const [one, two] = [await createIndex({ model }), await createIndex({ model })];
      await two.add([{ id: "a", text: "a" }]);
      const running = failure(one.add([{ id: "a", text: "text ".repeat(400) }]));
      const waiting = failure(one.search("a"));
      await one.dispose();
      await one.dispose();
      const errors = [await running, await waiting, await failure(one.search("a")), await failure(one.toBlob())];
      const alive = [(await two.search("a"))[0].id, (await model.embed("a")).shape[0]];
      await two[Symbol.asyncDispose]();
      const three = await createIndex({ model });
      const last = failure(three.add([{ id: "a", text: "text ".repeat(400) }]));
      await model.dispose();
      errors.push(await last, await failure(three.save("x")), await failure(createIndex({ model })));
      errors.push(await failure(openIndex("x", { model })));
      await three.dispose();
      const own = await createIndex({ dimensions: 4 });
      await own.add([{ id: "a", vector: new Float32Array(4) }]);
      const end = own.dispose();
      errors.push(await failure(own.search(new Float32Array(4))));
      await end;
      return { errors: errors.map(({ code, message }) => [code, message]), alive };
    });
    for (const [i, [code, message]] of got.errors.entries()) {
      assert.equal(code, "disposed", `${i}: ${message}`);
      assert.match(message, i < 4 || i === 8 ? /^the index was/ : /^the model was/, String(i));
    }
    assert.deepEqual(got.alive, ["a", 1]);
    await until(() => page.workers().length === 0, "no worker is left");
  });
});

test("wrong arguments are refused by name", async () => {
  await browser.visit("/blank.html", async (page) => {
    const got = await page.evaluate(async () => {
      const { createIndex, deleteIndex, failure, load, openIndex } = await import("/page.js");
      const model = await load("late-st", { endpoint: "/fixtures" });
      const index = await createIndex({ dimensions: 4, worker: false });
      const late = await createIndex({ dimensions: 4, kind: "late", worker: false });
      const own = await createIndex({ model });
      const vector = new Int8Array(4);
      const f32 = Float32Array.of(1, 2, 3, 4);
      await index.add([{ id: "a", vector }]);
      await own.add([{ id: "x", text: "x" }]);
      const item = (more) => [{ id: "x", vector }, { id: "y", vector, ...more }];
      const cyclic = {};
      cyclic.self = cyclic;
      const calls = [
        ["options", () => createIndex({ dimension: 4 })],
        ["dimensions", () => createIndex()],
        ["dimensions", () => createIndex({ dimensions: 0, worker: false })],
        ["dimensions", () => createIndex({ dimensions: 65_537, worker: false })],
        ["dimensions", () => createIndex({ dimensions: "4" })],
        ["kind", () => createIndex({ dimensions: 4, kind: "sparse", worker: false })],
        ["dtype", () => createIndex({ dimensions: 4, dtype: "int4", worker: false })],
        ["dtype", () => createIndex({ dimensions: 4, dtype: "float16", worker: false })],
        ["firstPass", () => createIndex({ dimensions: 4, firstPass: true, worker: false })],
        ["memory", () => createIndex({ dimensions: 4, memory: -1, worker: false })],
        ["model", () => createIndex({ model: { info: model.info } })],
        ["worker", () => createIndex({ model, worker: true })],
        ["wasmUrl", () => createIndex({ model, wasmUrl: "/x.wasm" })],
        ["signal", () => createIndex({ dimensions: 4, signal: 5 })],
        ["items", () => index.add("text")],
        ["items[1]", () => index.add([{ id: "x", vector }, null])],
        ["items[1]", () => index.add(item({ title: "lost" }))],
        ["items[1]", () => index.add(item({ text: "both" }))],
        ["items[1]", () => index.add([{ id: "x", vector }, { id: "y" }])],
        ["items[0].text", () => index.add([{ id: "x", text: "no model" }])],
        ["items[1].id", () => index.add(item({ id: 5 }))],
        ["items[1].id", () => index.add(item({ id: "" }))],
        ["items[1].id", () => index.add(item({ id: "é".repeat(513) }))],
        ["items[1].id", () => index.add(item({ id: "\udc00" }))],
        ["items[1].data", () => index.add(item({ data: () => {} }))],
        ["items[1].data", () => index.add(item({ data: 5n }))],
        ["items[1].data", () => index.add(item({ data: cyclic }))],
        ["items[1].data", () => index.add(item({ data: "x".repeat(65_536) }))],
        ["items[1].vector", () => index.add(item({ vector: [1, 2, 3, 4] }))],
        ["items[1].vector", () => index.add(item({ vector: new Int8Array(5) }))],
        ["items[1].vector", () => index.add(item({ vector: f32 }))],
        ["items[1].vector", () => index.add([{ id: "x", vector: f32 }, { id: "y", vector: Float32Array.of(0, NaN, 0, 0) }])],
        ["items[1].scales", () => index.add(item({ scales: new Float32Array(1) }))],
        ["items[0].scales", () => late.add([{ id: "x", vector, scales: new Float32Array(2) }])],
        ["items[0].text", () => own.add([{ id: "x", text: 5 }])],
        ["items[1].text", () => own.add([{ id: "x", text: "a" }, { id: "y", text: "\ud800" }])],
        ["items[0].chunks", () => own.add([{ id: "x", chunks: ["a"] }])],
        ["items[1]", () => own.add([{ id: "x", text: "a" }, { id: "y", vector: new Float32Array(24) }])],
        ["options", () => index.add([], { onprogress: () => {} })],
        ["ids[1]", () => index.remove(["a", 5])],
        ["ids", () => index.remove(5)],
        ["queries[0]", () => index.search("no model")],
        ["queries[0]", () => index.search(new Int8Array(8))],
        ["queries[1]", () => index.search([vector, new Int8Array()])],
        ["queries[1]", () => index.search([vector, f32])],
        ["queries[0]", () => index.search(null)],
        ["queries[0]", () => index.search([[1, 2, 3, 4]])],
        ["queries[0].scales", () => index.search({ vector, scales: new Float32Array(1) })],
        ["queries[0]", () => late.search(new Float32Array())],
        ["queries[1]", () => own.search(["a", "\ud800"])],
        ["queries[1]", () => own.search(["a", new Float32Array(24)])],
        ["queries[0]", () => own.search(Float32Array.from({ length: 24 }, () => Infinity))],
        ["k", () => index.search(vector, { k: 0 })],
        ["k", () => index.search(vector, { k: 1.5 })],
        ["k", () => index.search(vector, { k: "10" })],
        ["rescore", () => index.search(vector, { rescore: -1 })],
        ["candidates", () => index.search(vector, { candidates: {} })],
        ["filter", () => index.search(vector, { filter: "a" })],
        ["options", () => index.search(vector, { limit: 5 })],
        ["query", () => own.explain("\ud800", "x")],
        ["id", () => own.explain("a", 5)],
        ["text", () => own.explain("a", "x", { text: 5 })],
        ["target", () => index.save("")],
        ["target", () => index.save("../x")],
        ["target", () => index.save(".hidden")],
        ["target", () => index.save("a".repeat(65))],
        ["target", () => index.save({})],
        ["target", () => index.save(locked())],
        ["source", () => openIndex("a/b")],
        ["source", () => openIndex(undefined)],
        ["recover", () => openIndex("a", { recover: 1 })],
        ["options", () => openIndex("a", { kind: "dense" })],
        ["name", () => deleteIndex("a b")],
      ];
      function locked() {
        const stream = new WritableStream();
        stream.getWriter();
        return stream;
      }
      const errors = [];
      for (const [argument, call] of calls) errors.push([argument, await failure(call())]);
      const dense = await failure(index.explain(vector, "a"));
      const sizes = [index.size, late.size, own.size];
      await model.dispose();
      return { errors, dense, sizes };
    });
    for (const [argument, { code, message }] of got.errors) {
      assert.equal(code, "invalid-argument", `${argument}: ${message}`);
      assert.ok(message.startsWith(`${argument}: `), `${message} does not name ${argument}`);
    }
    assert.equal(got.dense.code, "unsupported");
    assert.deepEqual(got.sizes, [1, 0, 1]);
  });
});
