// Every argument of every public function, given what it cannot be. For pages and for Node.js: it imports nothing.

const thrower = () => {
  throw new RangeError("says the test");
};
const traps = Object.fromEntries(Object.getOwnPropertyNames(Reflect).map((name) => [name, thrower]));

/** A view of memory that was transferred elsewhere. */
function detached(Type) {
  const array = new Type(4);
  structuredClone(array.buffer, { transfer: [array.buffer] });
  return array;
}

function revoked(target) {
  const { proxy, revoke } = Proxy.revocable(target, {});
  revoke();
  return proxy;
}

class Odd extends Float32Array {
  get buffer() {
    return thrower();
  }
}

/** What no argument is. A few of them are something to some arguments, which say so. */
export const ODD = {
  "symbol": Symbol("odd"),
  "bigint": 5n,
  "NaN": NaN,
  "1e400": 1e400,
  "negative": -1,
  "half": 0.5,
  "null": null,
  "true": true,
  "function": () => {},
  "object": {},
  "object without a prototype": Object.create(null),
  "date": new Date(NaN),
  "frozen": Object.freeze({ odd: 1 }),
  "getter": Object.defineProperty({}, "odd", { get: thrower, enumerable: true }),
  "constructor": { get constructor() { return thrower(); } },
  "named by a symbol": { constructor: { name: Symbol("odd") } },
  "without text": { toString: thrower, valueOf: thrower, [Symbol.toPrimitive]: thrower },
  "proxy": new Proxy({}, traps),
  "proxy of an array": new Proxy([], { ...traps, getPrototypeOf: undefined }),
  "proxy of a function": new Proxy(() => {}, {}),
  "revoked": revoked({}),
  "revoked array": revoked([]),
  "hole": [, "a"],
  "holes": new Array(2 ** 32 - 1),
  "frozen array": Object.freeze([Symbol("odd")]),
  "array of a getter": Object.defineProperty([0], 0, { get: thrower }),
  "array of proxies": [new Proxy({}, traps)],
  "array of revoked": [revoked([])],
  "detached array": detached(Float32Array),
  "detached bytes": detached(Int8Array),
  "detached buffer": detached(Uint8Array).buffer,
  "proxy of a typed array": new Proxy(new Float32Array(4), {}),
  "subclass": new Odd(4),
  "bigints": new BigInt64Array(4),
  "view": new DataView(new ArrayBuffer(4)),
  "long": { length: 2 ** 53 - 1, 0: 0 },
  "false Blob": { [Symbol.toStringTag]: "Blob", size: 4, slice: () => {}, arrayBuffer: thrower },
  "false array": { [Symbol.toStringTag]: "Float32Array", length: 4, buffer: new ArrayBuffer(16) },
  "false signal": { aborted: false, addEventListener: 5 },
  "angry signal": { aborted: false, addEventListener: thrower, removeEventListener: thrower },
  "false URL": { get href() { return thrower(); } },
  "false stream": { locked: false, getWriter: () => ({}) },
  "angry stream": { locked: false, getWriter: thrower },
};

const OBJECTS = [
  "object", "object without a prototype", "date", "constructor", "named by a symbol", "without text", "detached buffer",
];
const FUNCTIONS = ["function", "proxy of a function"];

/** The value does not matter. */
const ONCE = [];

/** `[argument, call with it, what it may be of ODD]`. The error begins with the argument's name. */
function table({ lib, model, late, context, index, lateIndex, blob, worker }) {
  const { cache, cosineSimilarity, createIndex, deleteIndex, explainMaxsim, hamming, load, maxsim, openIndex } = lib;
  const rows = [];
  const of = (name, argument, call, fine = []) => rows.push({ name, argument, call, fine });
  /** Each of the options, and the object of them. */
  const options = (name, call, each, fine = []) => {
    of(name, "options", (value) => call(value), [...OBJECTS, ...fine]);
    for (const [option, may = []] of Object.entries(each)) {
      of(name, option, (value) => call({ [option]: value }), may);
      // As a getter that throws, and through a proxy.
      of(`${name}, from a getter`, option, (value) => call(Object.defineProperty({}, option, { get: () => thrower(value), enumerable: true })), ONCE);
    }
  };
  const common = { signal: [], onProgress: FUNCTIONS };
  const good = { data: new Float32Array(4), dim: 2 };
  const item = (fields) => [{ id: "odd", text: "a", ...fields }];

  of("load", "id", (value) => load(value, { worker }));
  options("load", (o) => load("mini", o), {
    device: [], threads: [], weights: [], precision: [], revision: [], endpoint: [], token: [], cache: ["true", ...OBJECTS],
    worker: ["true"], wasmUrl: [], ...common,
  });
  of("load", "fetch", (value) => load("mini", { fetch: value }), FUNCTIONS);

  const vectors = { dtype: [], dimensions: [], normalize: ["true"] };
  of("embed", "texts", (value) => model.embed(value));
  of("embed", "texts[0]", (value) => model.embed([value]));
  options("embed", (o) => model.embed("a", o), { ...vectors, prompt: [], promptName: [], ...common });
  of("embedContext", "documents", (value) => context.embedContext(value));
  of("embedContext", "documents[0]", (value) => context.embedContext([value]));
  of("embedContext", "documents[0][1]", (value) => context.embedContext([["a", value]]));
  options("embedContext", (o) => context.embedContext([["a"]], o), { ...vectors, longDocuments: [], ...common });
  for (const [name, more] of [["encodeQuery", {}], ["encodeDocument", { poolFactor: [] }]]) {
    of(name, "texts", (value) => late[name](value));
    options(name, (o) => late[name]("a", o), { dtype: [], markerPosition: [], ...more, ...common });
    options(`${name}, dense`, (o) => model[name]("a", o), { ...vectors, prompt: [], promptName: [], ...common });
  }
  of("splitText", "text", (value) => model.splitText(value));
  options("splitText", (o) => model.splitText("a", o), { maxTokens: [], overlap: [], signal: [] });

  of("createIndex", "memory", (value) => createIndex({ dimensions: 2, memory: value, worker }));
  of("openIndex", "memory", (value) => openIndex(blob, { memory: value, worker }));
  options("createIndex", (o) => createIndex(o), {
    model: [], device: [], worker: ["true"], wasmUrl: [], kind: [], dtype: [], dimensions: [], firstPass: ["true"], ...common,
  });
  of("openIndex", "source", (value) => openIndex(value, { worker }));
  options("openIndex", (o) => openIndex("none", o), {
    model: [], device: [], worker: ["true"], wasmUrl: [], recover: ["true"], ...common,
  });
  for (const name of ["add", "upsert"]) {
    of(name, "items", (value) => index[name](value), []);
    of(name, "items[0]", (value) => index[name]([value]));
    of(name, "items[0].id", (value) => index[name](item({ id: value })));
    of(name, "items[0].text", (value) => index[name](item({ text: value })));
    of(name, "items[0].chunks", (value) => index[name](item({ text: undefined, chunks: value })));
    of(name, "items[0].chunks[0]", (value) => index[name](item({ text: undefined, chunks: [value] })));
    of(name, "items[0].vector", (value) => index[name](item({ text: undefined, vector: value })));
    of(name, "items[0].scales", (value) => lateIndex[name](item({ text: undefined, vector: new Int8Array(128), scales: value })), ["null"]);
    options(name, (o) => index[name]([], o), common);
  }
  of("add", "items[0].data", (value) => index.upsert(item({ data: value })), [
    "NaN", "1e400", "negative", "half", "null", "true", "object", "object without a prototype", "date", "frozen", "constructor",
    "named by a symbol", "without text", "hole", "frozen array", "detached array", "detached bytes", "detached buffer",
    "proxy of a typed array", "subclass", "view", "long", "false Blob", "false array", "false signal", "angry signal", "false stream",
    "angry stream",
  ]);
  of("remove", "ids", (value) => index.remove(value));
  of("remove", "ids[0]", (value) => index.remove([value]));
  of("search", "queries", (value) => index.search(value), []);
  of("search", "queries[0]", (value) => index.search([value]));
  of("search", "queries[0].vector", (value) => index.search({ vector: value }));
  of("search", "queries[0].scales", (value) => lateIndex.search({ vector: new Int8Array(128), scales: value }), ["null"]);
  options("search", (o) => index.search("a", o), { k: [], filter: FUNCTIONS, rescore: [], candidates: [], ...common });
  of("explain", "query", (value) => lateIndex.explain(value, "a"));
  of("explain", "id", (value) => lateIndex.explain("a", value));
  options("explain", (o) => lateIndex.explain("a", "a", o), { text: [], ...common });
  of("save", "target", (value) => index.save(value));
  options("save", (o) => index.save("odd", o), common);
  options("toBlob", (o) => index.toBlob(o), common);

  for (const [name, call] of [["queries", (odd) => maxsim(odd, good, { worker })], ["documents", (odd) => maxsim(good, odd, { worker })]]) {
    of("maxsim", name, call);
    of("maxsim", `${name}[0]`, (value) => call([value]));
    for (const field of ["data", "offsets", "dim", "dtype", "scales"]) {
      const whole = field === "scales" ? { data: new Int8Array(4), dim: 2 } : good;
      of("maxsim", `${name}.${field}`, (value) => call({ ...whole, [field]: value }), { offsets: ["null"], scales: ["null"], dtype: ["null"], dim: ["bigint"] }[field] ?? []);
    }
  }
  const pairs = (odd) => maxsim(good, good, { pairs: odd, worker });
  of("maxsim", "pairs", pairs);
  of("maxsim", "pairs[0]", (value) => pairs([value]));
  of("maxsim", "pairs[0][1]", (value) => pairs([[0, value]]), ["bigint"]);
  options("maxsim", (o) => maxsim(good, good, o), { normalize: ["true"], worker: ["true"], wasmUrl: [], pairs: [], ...common });
  of("explainMaxsim", "pair", (value) => explainMaxsim(good, good, value, { worker }));
  options("explainMaxsim", (o) => explainMaxsim(good, good, [0, 0], o), { normalize: ["true"], worker: ["true"], wasmUrl: [], signal: [] });

  for (const name of ["list", "clear", "estimate"]) options(`cache.${name}`, (o) => cache[name](o), { name: [] });
  of("cache.delete", "id", (value) => cache.delete(value));
  options("cache.delete", (o) => cache.delete("odd", o), { name: [], revision: [], endpoint: [] });
  of("deleteIndex", "name", (value) => deleteIndex(value));
  of("cosineSimilarity", "a", (value) => cosineSimilarity(value, [1, 2]), ["subclass"]);
  of("cosineSimilarity", "b", (value) => cosineSimilarity([1, 2], value));
  of("cosineSimilarity", "b[1]", (value) => cosineSimilarity([1, 2], [1, value]), ["negative", "half"]);
  of("hamming", "a", (value) => hamming(value, [1, -1]), ["subclass"]);
  of("hamming", "b", (value) => hamming(new Uint8Array(4), value));
  of("hamming", "b[1]", (value) => hamming([1, -1], [1, value]), ["negative"]);
  return rows;
}

/** Calls everything with everything. Gives how many calls there were, and those that did not end as they should. */
export async function tryAll(given, step) {
  const wrong = [];
  let [count, nth] = [0, 0];
  for (const { name, argument, call, fine } of table(given)) {
    for (const [odd, value] of Object.entries(ODD)) {
      if (fine === ONCE && odd !== "symbol") continue;
      if (nth++ % step !== 0) continue;
      count++;
      let outcome;
      try {
        const result = await call(value);
        await (result?.dispose?.() ?? result?.[0]?.dispose?.());
        if (fine.includes(odd)) continue;
        outcome = "succeeded";
      } catch (error) {
        const typed = error instanceof given.lib.PplxEmbedError && error.code === "invalid-argument";
        if (typed && error.message.startsWith(argument.replace(/\[0\]$/, ""))) continue;
        if (fine.includes(odd) && error instanceof given.lib.PplxEmbedError && error.code !== "internal") continue;
        outcome = `${error?.name} ${error?.code}: ${error?.message}`;
      }
      wrong.push(`${name}(${argument}: ${odd}): ${outcome}`);
    }
  }
  return { count, wrong };
}

/** What `given` has of models and indexes, on one engine. */
export async function opened(lib, options) {
  const load = (id) => lib.load(id, { device: "cpu", ...options });
  const [model, late, context] = [await load("mini"), await load("mini-late"), await load("mini-context")];
  const [index, lateIndex] = [await lib.createIndex({ model }), await lib.createIndex({ model: late, dtype: "int8" })];
  await lateIndex.add([{ id: "a", text: "a" }]);
  const blob = await index.toBlob();
  const dispose = () => Promise.all([model, late, context].map((each) => each.dispose()));
  return { lib, model, late, context, index, lateIndex, blob, ...options, dispose };
}

/**
 * Arguments that look odd and are right, with those of `other`, the globals of another frame: what they give, as pairs that
 * are to be equal.
 */
export async function tryRight({ lib, model, context, index, worker }, other) {
  const shared = (array) => {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
    const view = new array.constructor(memory.buffer, 64, array.length);
    view.set(array);
    return view;
  };
  const foreign = (value) => {
    if (ArrayBuffer.isView(value)) return new other[value.constructor.name](value);
    if (Array.isArray(value)) return other.Array.from(value, foreign);
    if (typeof value !== "object" || value === null) return value;
    return Object.assign(new other.Object(), Object.fromEntries(Object.entries(value).map(([key, one]) => [key, foreign(one)])));
  };
  const proxied = (value) => new Proxy(value, {});
  const texts = ["a red bicycle", "soup"];
  const options = { dtype: "float32", dimensions: 16 };
  const rows = async (...args) => (await model.embed(...args)).toArray();
  const want = await rows(texts, options);
  const pairs = [];
  for (const make of [foreign, proxied, Object.freeze, (value) => (Array.isArray(value) ? value : Object.create(value))]) {
    pairs.push([await rows(make(texts), make(options)), want]);
  }
  const extra = Object.assign([...texts], { method: () => {} });
  pairs.push([await rows(extra, { ...options, signal: new other.AbortController().signal }), want]);
  const chunks = async (documents) => (await context.embedContext(documents)).map((e) => e.toArray());
  const documents = [["a", "b"], ["c"]];
  for (const make of [foreign, (value) => proxied(value.map(proxied))]) pairs.push([await chunks(make(documents)), await chunks(documents)]);

  const vector = new Int8Array(256).map((_, i) => i - 128);
  const found = async (query) => (await index.search(query)).map(({ id, score }) => [id, score]);
  await index.upsert([{ id: "plain", vector }, { id: "foreign", vector: foreign(vector) }, { id: "shared", vector: shared(vector) }]);
  await index.upsert(foreign([{ id: "item", vector }]));
  await index.upsert([proxied({ id: "proxy", vector })]);
  const hits = await found(vector);
  for (const make of [foreign, shared, (value) => ({ vector: value }), (value) => foreign({ vector: value })]) pairs.push([await found(make(vector)), hits]);
  pairs.push([hits.filter(([, score]) => score === hits[0][1]).map(([id]) => id), ["plain", "foreign", "shared", "item", "proxy"]]);
  await index.remove(foreign(["plain", "foreign"]));
  await index.remove(proxied(["shared", "item", "proxy"]));

  const tokens = { data: new Float32Array([1, 2, 3, 4]), offsets: new Uint32Array([0, 1, 2]), dim: 2 };
  const scores = async (given, o) => [...(await lib.maxsim(given, given, { worker, ...o }))];
  const plain = await scores(tokens);
  for (const given of [foreign(tokens), { ...tokens, data: shared(tokens.data), offsets: shared(tokens.offsets) }, proxied(tokens), [tokens], foreign([tokens])]) {
    pairs.push([await scores(given), plain]);
  }
  const codes = { data: new Int8Array([1, 2]), scales: new Float32Array([2]), dim: 2 };
  for (const given of [foreign(codes), { ...codes, scales: shared(codes.scales) }]) pairs.push([await scores(given), await scores(codes)]);
  pairs.push([await scores(tokens, { pairs: foreign([[0, 1]]) }), [plain[1]]]);

  const { cosineSimilarity, hamming } = lib;
  for (const make of [foreign, proxied, Object.freeze]) pairs.push([cosineSimilarity(make([3, 4]), make([4, 3])), 0.96]);
  pairs.push([cosineSimilarity(shared(new Float32Array([3, 4])), foreign(new Int8Array([4, 3]))), 0.96]);
  pairs.push([hamming(foreign(new Int8Array([1, -1])), shared(new Int8Array([1, 1]))), 1]);
  pairs.push([hamming(foreign(new Uint8Array([3])), foreign([1])), 1]);
  pairs.push([await model.embed(texts, { ...options, dimensions: 16 }).then((e) => e.row(-0).length), 16]);
  return pairs;
}
