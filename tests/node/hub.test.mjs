// Models from a Hub, kept in a folder: what was loaded is not asked for again, whatever happened in between.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";

import { CACHE, failure, ROOT, run, until } from "./support.mjs";
import { serveHub } from "../hub/server.mjs";
import { cache, load } from "pplx-embed-web";

const MODELS = join(ROOT, "models");
const LOAD = join(ROOT, "tests/node/load.mjs");
const bytes = readFileSync(join(MODELS, "demo/model.safetensors"));
const weights = { size: bytes.length, oid: createHash("sha256").update(bytes).digest("hex") };

let hub;
/** What the model gives without a cache. */
let want;
before(async () => {
  hub = await serveHub({ root: MODELS });
  want = (await loading({ cache: false })).codes;
});
beforeEach(async () => {
  hub.control({ log: [], faults: [], private: {} });
  for (const name of ["models", "other"]) await cache.clear({ name });
});
after(() => hub.close());

/** What was asked for since the last call, but for the list of the model's files. */
function asked() {
  const files = hub.log().requests.filter(({ path }) => !path.startsWith("/api/models/"));
  hub.control({ log: [] });
  return files.map(({ path, headers }) => ({ path, range: headers.range }));
}

/** Loads, embeds a text, and disposes: its codes, and what was said. */
async function loading(options) {
  const notices = [];
  const onProgress = (p) => p.stage === "notice" && notices.push(p.message);
  const model = await load("demo", { endpoint: hub.hub, device: "cpu", onProgress, ...options });
  const codes = [...(await model.embed("a red bicycle")).data];
  await model.dispose();
  return { codes, notices };
}

const files = (name = "models") => readdirSync(join(CACHE, name, "blobs")).sort();
const locks = (name = "models") => {
  const folder = join(CACHE, name, "locks");
  return existsSync(folder) ? readdirSync(folder) : [];
};

for (const worker of [true, false]) {
  test(`the second load downloads nothing, ${worker ? "in a worker" : "in this thread"}`, async () => {
    const first = await loading({ worker });
    assert.deepEqual(first, { codes: want, notices: [] });
    assert.ok(asked().some(({ path }) => path.includes(weights.oid)));
    assert.deepEqual(await loading({ worker }), { codes: want, notices: [] });
    assert.deepEqual(asked(), []);

    const [model, ...more] = await cache.list();
    assert.equal(more.length, 0);
    assert.deepEqual([model.id, model.names, model.complete, model.endpoint], ["demo", ["main"], true, hub.hub]);
    assert.ok(model.bytes > weights.size && Date.now() - model.used < 60_000);
    assert.ok(files().includes(weights.oid) && files().every((name) => !name.endsWith(".part")), files().join());
    assert.equal(statSync(join(CACHE, "models/blobs", weights.oid)).size, weights.size);
    const { bytes, quota, persisted } = await cache.estimate();
    assert.ok(bytes >= model.bytes && quota > bytes && persisted);
    await until(() => locks().length === 0, "no lock is left");
  });
}

test("another process reads what this one has kept, without a network too", async () => {
  await loading();
  hub.control({ faults: [{ kind: "status", status: 503, always: true }] });
  const other = await run([LOAD, "demo", JSON.stringify({ endpoint: hub.hub })]);
  assert.deepEqual(other.code, 0, other.err);
  assert.deepEqual(JSON.parse(other.out).codes, want);
});

test("two processes that load at once download each file once", async () => {
  hub.control({ faults: [{ kind: "slow", path: weights.oid, ms: 20, bytes: 50_000, always: true }] });
  const both = await Promise.all([1, 2].map(() => run([LOAD, "demo", JSON.stringify({ endpoint: hub.hub })])));
  for (const { code, out, err } of both) {
    assert.equal(code, 0, err);
    assert.deepEqual(JSON.parse(out).codes, want);
  }
  assert.equal(asked().filter(({ path }) => path.includes(weights.oid)).length, 1);
  assert.ok(both.some(({ out }) => JSON.parse(out).notices.some((n) => /another tab or process/.test(n))), "one waited");
});

test("a process that is killed leaves no lock, and what it has downloaded is used", async () => {
  hub.control({ faults: [{ kind: "slow", path: weights.oid, ms: 50, bytes: 50_000, always: true }] });
  const part = join(CACHE, "models/blobs", `${weights.oid}.part`);
  let child;
  const killed = run([LOAD, "demo", JSON.stringify({ endpoint: hub.hub })], { onStart: (c) => (child = c) });
  await until(() => existsSync(part) && statSync(part).size > 200_000, "some of the weights are here");
  child.kill("SIGKILL");
  assert.equal((await killed).code, "SIGKILL");
  assert.ok(locks().length > 0, "its locks are still there");
  hub.control({ faults: [], log: [] });
  const began = performance.now();
  assert.deepEqual((await loading()).codes, want);
  assert.ok(performance.now() - began < 60_000, "nobody waited until the dead had been silent for long enough");
  const [{ range }] = asked().filter(({ path }) => path.includes(weights.oid));
  assert.match(range, /^bytes=[2-9]\d{5,}-$/);
  await until(() => locks().length === 0, "no lock is left");
});

for (const worker of [true, false]) {
  test(`a load that is cancelled, ${worker ? "in a worker" : "in this thread"}, is continued by the next one`, async () => {
    hub.control({ faults: [{ kind: "slow", path: weights.oid, ms: 50, bytes: 50_000, always: true }] });
    const controller = new AbortController();
    const onProgress = (p) => p.file === "model.safetensors" && p.loaded > 200_000 && controller.abort();
    const failed = await failure(loading({ worker, signal: controller.signal, onProgress }));
    assert.equal(failed.code, "aborted");
    await until(() => hub.log().open === 0, "the download has ended");
    hub.control({ faults: [], log: [] });
    assert.deepEqual((await loading({ worker })).codes, want);
    assert.match(asked().find(({ path }) => path.includes(weights.oid)).range, /^bytes=[2-9]\d{5,}-$/);
    assert.equal((await failure(loading({ worker, signal: AbortSignal.abort() }))).code, "aborted");
    await until(() => locks().length === 0, "no lock is left");
  });
}

test("what is being loaded is not deleted, and what is deleted is gone", async () => {
  hub.control({ faults: [{ kind: "slow", path: weights.oid, ms: 50, bytes: 50_000, always: true }] });
  let began;
  const started = new Promise((resolve) => (began = resolve));
  const busy = loading({ onProgress: (p) => p.stage === "download" && began() });
  await started;
  assert.equal((await failure(cache.delete("demo"))).code, "in-use");
  hub.control({ faults: [] });
  await busy;
  assert.equal(await cache.delete("no-such-model"), 0);
  assert.ok((await cache.delete("demo")) > weights.size);
  assert.deepEqual([await cache.list(), files()], [[], []]);
  assert.match((await failure(cache.delete(5))).message, /^id: 5, allowed is a string/);
  assert.match((await failure(cache.list({ name: "../x" }))).message, /^name: "\.\.\/x"/);
});

test("caches of other names are apart, and none is none", async () => {
  await loading({ cache: { name: "other" } });
  assert.deepEqual([(await cache.list()).length, (await cache.list({ name: "other" })).length], [0, 1]);
  asked();
  await loading({ cache: false });
  assert.ok(asked().some(({ path }) => path.includes(weights.oid)));
  assert.deepEqual(await cache.list(), []);
});

test("bytes that are not the model's are an error, and are not kept", async () => {
  hub.control({ faults: [{ kind: "corrupt", at: 200_000, path: weights.oid, always: true }] });
  assert.equal((await failure(loading())).code, "integrity");
  assert.ok(!files().some((name) => name.startsWith(weights.oid)), files().join());
  hub.control({ faults: [{ kind: "cut", at: 300_000, path: weights.oid }] });
  assert.deepEqual((await loading()).codes, want);
});

test("a token goes to the endpoint, and no further", async () => {
  hub.control({ private: { demo: "hf_secret" } });
  const refused = await failure(loading({ token: "hf_other" }));
  assert.equal(refused.code, "network");
  assert.match(refused.message, /401 .*private/);
  assert.doesNotMatch(refused.message, /hf_other/);
  hub.control({ log: [] });
  assert.deepEqual((await loading({ token: "hf_secret" })).codes, want);
  const { requests } = hub.log();
  assert.ok(requests.some(({ origin }) => origin === "cdn"));
  for (const { origin, headers } of requests) {
    assert.equal(headers.authorization, origin === "hub" ? "Bearer hf_secret" : undefined);
  }
});

test("a fetch of one's own runs in this thread", async () => {
  const urls = [];
  const fetch = (url, init) => (urls.push(url), globalThis.fetch(url, init));
  assert.deepEqual((await loading({ fetch, cache: false })).codes, want);
  assert.ok(urls.every((url) => url.startsWith(hub.hub)) && urls.length > 3, urls.join());
  assert.match((await failure(loading({ fetch, worker: true }))).message, /^worker: true/);
});

test("a server that is not there is a network error that says why", async () => {
  const away = await failure(load("demo", { endpoint: "http://127.0.0.1:9", device: "cpu", signal: AbortSignal.timeout(20_000) }));
  assert.equal(away.code, "network");
  assert.match(away.message, /ECONNREFUSED|bad port|connect/i);
  const nothing = await failure(load("no-such-model", { endpoint: hub.hub, device: "cpu" }));
  assert.match(nothing.code, /^(not-found|network)$/);
});

test("a damaged entry of the cache is passed over", async () => {
  await loading();
  const [ref] = readdirSync(join(CACHE, "models/refs"));
  writeFileSync(join(CACHE, "models/refs", ref), "{");
  assert.deepEqual(await cache.list(), []);
  assert.deepEqual((await loading()).codes, want);
  assert.equal((await cache.list()).length, 1);
});

test("a cache that cannot be read is an error of this package", async () => {
  const folder = join(CACHE, "unreadable");
  mkdirSync(folder, { recursive: true });
  // A link to itself: the permissions of a folder do not stop root.
  symlinkSync("blobs", join(folder, "blobs"));
  for (const call of [cache.list, cache.estimate, cache.clear]) {
    const error = await failure(call({ name: "unreadable" }));
    assert.deepEqual([error.name, error.code], ["PplxEmbedError", "io"], error.message);
  }
});
