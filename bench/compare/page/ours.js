// This package, in a page and in Node, through its public API. Options: those of `load`, `model` (a folder of the server),
// and in Node `origin` (the server's) and `dist` (an address).
const IN_PAGE = typeof document !== "undefined";

/** `load` of the package, with what is to be measured loaded from the server and nothing kept. */
async function opened({ model, origin = location.origin, dist = "/dist/index.js", ...options }) {
  const { load } = await import(dist);
  return load(model, { endpoint: `${origin}/hub`, cache: false, ...options });
}

export async function load({ options }) {
  const model = await opened(options);
  return {
    info: model.info,
    async embed({ texts }) {
      const vectors = await model.embed(texts, { dtype: "float32", normalize: false });
      return texts.map((_, i) => vectors.row(i));
    },
    dispose: () => model.dispose(),
  };
}

/** Milliseconds of each of a few runs after one to warm up. */
async function times(run, { ms, most }) {
  await run();
  const all = [];
  for (let spent = 0; all.length < most && (all.length === 0 || spent < ms);) {
    const start = performance.now();
    await run();
    all.push(performance.now() - start);
    spent += all.at(-1);
  }
  return all;
}

/** Repeatable numbers in -1..1: a search over zeros would say little. */
function numbers(count) {
  let state = 1;
  return Float32Array.from({ length: count }, () => (state = (Math.imul(state, 1664525) + 1013904223) | 0) / 2 ** 31);
}

/** MaxSim of one query with documents of 300 tokens, in float32. */
export async function maxsim({ options: { dist = "/dist/index.js" }, settings }) {
  const { maxsim } = await import(dist);
  const tokens = (items, length, dim) => ({
    data: numbers(items * length * dim), offsets: Array.from({ length: items + 1 }, (_, i) => i * length), dim,
  });
  const [query, documents] = [tokens(1, 32, 128), tokens(1000, 300, 128)];
  return { times: await times(() => maxsim(query, documents), settings) };
}

/** One query among 100,000 int8 vectors of 1,024 dimensions. */
export async function search({ options: { dist = "/dist/index.js" }, settings }) {
  const { createIndex } = await import(dist);
  const [dim, part] = [1024, 10_000];
  const index = await createIndex({ dimensions: dim });
  const vector = (i) => codes.subarray(i * dim, (i + 1) * dim);
  const codes = Int8Array.from(numbers(part * dim), (v) => 127 * v ** 3);
  for (let at = 0; at < 100_000; at += part) {
    await index.add(Array.from({ length: part }, (_, i) => ({ id: `${at + i}`, vector: vector(i) })));
  }
  const all = await times(() => index.search(vector(5)), settings);
  const { device } = index.info;
  await index.dispose();
  return { times: all, info: { device } };
}

/** Indexing this package's documentation with the model that comes with it, and one search. */
export async function docs({ options: { dist = "/dist/index.js", mini = "/dist/mini.js", origin = "", ...options } }) {
  const [{ load, createIndex }] = await Promise.all([import(dist), import(mini)]);
  const response = await fetch(`${origin}/www/docs.jsonl`);
  if (!response.ok) throw new Error("www/docs.jsonl is missing: make web makes it");
  const text = await response.text();
  const items = text.trim().split("\n").map((line) => JSON.parse(line)).map(({ id, text }) => ({ id, text }));
  let start = performance.now();
  const since = () => performance.now() - start;
  const model = await load("mini", { device: "cpu", ...options });
  const load_ms = since();
  const index = await createIndex({ model });
  start = performance.now();
  const { usage } = (await index.add(items)) ?? {};
  const times = [since()];
  start = performance.now();
  await index.search("How do I cancel a download?");
  const search_ms = since();
  const { info } = model;
  await model.dispose();
  return { times, load_ms, search_ms, items: items.length, tokens: usage?.tokens, info };
}
