// What can be seen without a browser: importing has no effect, comparing vectors, what is published.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { test } from "node:test";

import { cosineSimilarity, hamming, load, maxsim, PplxEmbedError } from "pplx-embed-web";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const node = (script, ...flags) =>
  execFileSync(process.execPath, [...flags, "--input-type=module", "-e", script], { cwd: ROOT, encoding: "utf8" });

const throws = (call, message) =>
  assert.throws(call, (error) => {
    assert.ok(error instanceof PplxEmbedError && error.code === "invalid-argument", String(error));
    assert.match(error.message, message);
    return true;
  });

test("importing on a server has no side effects", () => {
  const script = `
    const watched = ["fetch", "Worker", "navigator", "document", "WebAssembly"];
    const get = () => { throw new Error("looked at a global"); };
    for (const name of watched) Object.defineProperty(globalThis, name, { get, configurable: true });
    const keys = Reflect.ownKeys(globalThis).length;
    const library = await import("pplx-embed-web");
    await import("./dist/worker.js");
    await import("./dist/worker-node.js");
    await import("./dist/hosts/web/writer-worker.js");
    await import("pplx-embed-web/mini");
    if (Reflect.ownKeys(globalThis).length !== keys) throw new Error("globals changed");
    console.log(Object.keys(library).sort().join());
  `;
  assert.equal(node(script), [
    "PplxEmbedError", "cache", "cosineSimilarity", "createIndex", "deleteIndex", "explainMaxsim", "hamming", "listIndexes",
    "load", "maxsim", "openIndex\n",
  ].join());
});

test("arguments of a wrong type get a typed error", async () => {
  await assert.rejects(load("m", { endpoint: Symbol("here") }), { code: "invalid-argument", message: /^endpoint: a symbol/ });
  await assert.rejects(load("m", { endpoint: null }), { code: "invalid-argument", message: /^endpoint: null/ });
  const data = new Float32Array(2);
  const scales = new Float32Array(0);
  const good = { data: new Float32Array(2), dim: 2 };
  structuredClone([data, scales], { transfer: [data.buffer, scales.buffer] });
  const detached = (call, name) =>
    assert.rejects(call, { code: "invalid-argument", message: new RegExp(`^${name}: a detached array`) });
  await detached(maxsim({ data, dim: 2 }, good), "queries.data");
  await detached(maxsim(good, [good, { data, dim: 2 }]), "documents\\[1\\].data");
  await detached(maxsim({ data: new Int8Array(0), scales, dim: 2 }, good), "queries.scales");
});

test("what was neither disposed of nor is referred to is freed", () => {
  const script = `
    const registered = new Map();
    globalThis.FinalizationRegistry = class {
      constructor(free) { this.free = free; }
      register(target, held, token) { registered.set(token, () => this.free(held)); }
      unregister(token) { registered.delete(token); }
    };
    const { Model } = await import("./dist/model/model.js");
    const { SearchIndex } = await import("./dist/search/search-index.js");
    const log = [];
    const engine = (name) => ({
      close: () => log.push("close " + name),
      call: async (call, request) => log.push(call + " " + request.index + " of " + name),
    });
    const opened = { info: {}, ids: [], data: [] };
    const shared = engine("a");
    const model = new Model(shared, {});
    const index = new SearchIndex(shared, 7, opened, Model.partsOf(model).calls);
    const alone = new SearchIndex(engine("b"), 8, opened, undefined);
    const disposed = new Model(engine("c"), {});
    await disposed.dispose();
    if (registered.has(disposed)) log.push("a second time");
    for (const owner of [index, model, alone]) registered.get(owner)();
    console.log(log.join());
  `;
  assert.equal(node(script), "close c,freeIndex 7 of a,close a,close b\n");
});

test("nothing but a call under way keeps a model from being collected", () => {
  const script = `
    const { Model } = await import("./dist/model/model.js");
    let closed = 0;
    let end;
    const engine = { close: () => closed++, call: () => new Promise((resolve) => (end = resolve)) };
    const collect = async () => {
      for (let i = 0; i < 20; i++) {
        gc();
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      return closed;
    };
    void new Model(engine, {}).embed("a").catch(() => {});
    console.log(await collect());
    end({ truncated: [] });
    console.log(await collect());
  `;
  assert.equal(node(script, "--expose-gc"), "0\n1\n");
});

test("cosine of any two arrays of numbers", () => {
  const close = (a, b) => assert.ok(Math.abs(a - b) < 1e-12, `${a} is not ${b}`);
  close(cosineSimilarity(new Int8Array([3, 4]), new Float32Array([4, 3])), 0.96);
  close(cosineSimilarity(new Int8Array([1, -1]), new Int8Array([-1, 1])), -1);
  close(cosineSimilarity(new Float32Array([1e38, 0]), new Float32Array([3e38, 0])), 1);
  close(cosineSimilarity(new Int8Array(3), new Int8Array([1, 2, 3])), 0);
  assert.equal(cosineSimilarity(new Float32Array(), new Float32Array()), 0);
  throws(() => cosineSimilarity(new Int8Array(3), new Int8Array(4)), /^b: has 4 numbers, .* 3$/);
  close(cosineSimilarity([3, 4], [4, 3]), 0.96);
  close(cosineSimilarity([3, 4], new Int8Array([4, 3])), 0.96);
  // Squares that are more or less than a number can be.
  close(cosineSimilarity([3e200, 4e200], [4e250, 3e250]), 0.96);
  close(cosineSimilarity([3e-200, 4e-200], [4, 3]), 0.96);
  assert.equal(cosineSimilarity([0, 0], [1e200, 0]), 0);
  throws(() => cosineSimilarity([1, NaN], [1, 2]), /^a\[1\]: NaN, allowed is a finite number$/);
  throws(() => cosineSimilarity([1, 2], new Float32Array([1, Infinity])), /^b\[1\]: Infinity, allowed is a finite number$/);
  throws(() => cosineSimilarity([1, "2"], new Int8Array(2)), /^a\[1\]: "2", allowed is a number$/);
  throws(() => cosineSimilarity([1, 2], [1, , ]), /^b\[1\]: undefined/);
  throws(() => cosineSimilarity("ab", [1, 2]), /^a: "ab", allowed is an array of numbers$/);
  throws(() => cosineSimilarity(new Int8Array(2), new BigInt64Array(2)), /^b: /);
  throws(() => cosineSimilarity(new Int8Array(2), new DataView(new ArrayBuffer(2))), /^b: /);
  throws(() => cosineSimilarity(new Int8Array(2)), /^b: undefined/);
});

test("Hamming distance of signs and of packed bits", () => {
  assert.equal(hamming(new Int8Array([1, -1, 1]), new Int8Array([1, 1, -1])), 2);
  const all = Uint8Array.from({ length: 256 }, (_, i) => i);
  assert.equal(hamming(all, new Uint8Array(256)), 1024);
  for (const byte of all) {
    const ones = byte.toString(2).replaceAll("0", "").length;
    assert.equal(hamming(Uint8Array.of(byte), Uint8Array.of(0)), ones);
  }
  assert.equal(hamming([1, -1, 1], [1, 1, -1]), 2);
  assert.equal(hamming([1, -1], new Int8Array([1, 1])), 1);
  assert.equal(hamming([0b10100000, 1], [0b11000000, 1]), 2);
  assert.equal(hamming([1, 1], new Uint8Array([1, 3])), 1);
  assert.equal(hamming([1, 1], [1, 1]), 0);
  throws(() => hamming([1, -1], [1, 3]), /^b\[1\]: 3, allowed is \+1 or -1/);
  throws(() => hamming([1, 256], [1, 3]), /^a\[1\]: 256, allowed is a byte, 0 to 255/);
  throws(() => hamming([1, -1], new Uint8Array([1, 1])), /^a\[1\]: -1, allowed is a byte/);
  throws(() => hamming(new Int8Array([1, 5]), new Int8Array([1, 1])), /^a\[1\]: 5, allowed is \+1 or -1/);
  throws(() => hamming(new Int8Array([1]), new Int8Array([0])), /^b\[0\]: 0/);
  throws(() => hamming(new Int8Array([1]), new Uint8Array([1])), /two Int8Array/);
  throws(() => hamming(new Float32Array([1]), new Float32Array([1])), /two Int8Array/);
  throws(() => hamming(new Uint8Array(1), new Uint8Array(2)), /^b: has 2 numbers/);
});

test("the package has what it needs, and nothing that runs code from strings or from elsewhere", () => {
  const pack = ["pack", "--dry-run", "--json", "--ignore-scripts"];
  const [{ files }] = JSON.parse(execFileSync("npm", pack, { cwd: ROOT, stdio: ["ignore", "pipe", "ignore"] }));
  const paths = files.map((file) => file.path);
  const needed = [
    "dist/index.js", "dist/index.d.ts", "dist/worker.js", "dist/worker-node.js", "dist/hosts/node/host.js",
    "dist/wasm/pplx_embed_bg.wasm", "dist/mini.js",
  ];
  for (const path of needed) assert.ok(paths.includes(path), path);
  assert.ok(paths.every((path) => /^(dist\/|package\.json|README|LICENSE|CHANGELOG)/.test(path)), paths.join());
  const scripts = paths.filter((path) => path.endsWith(".js")).map((path) => `${ROOT}/${path}`);
  const foreign = "^(?!\\s*(//|\\*)).*https?://(?!huggingface\\.co)[a-z]"; // but for comments
  for (const pattern of ["\\beval\\(", "new Function", "blob:", foreign]) {
    const found = execFileSync("sh", ["-c", 'grep -nP "$0" "$@" || true', pattern, ...scripts], { encoding: "utf8" });
    assert.equal(found, "", pattern);
  }
});
