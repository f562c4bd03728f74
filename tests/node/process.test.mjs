// What the package does to the process it runs in: it ends by itself, threads and locks end with their work, and errors
// have a code.
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, utimesSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { CHECKPOINTS, failure, FOLDER, ROOT, runModule } from "./support.mjs";
import { createIndex, load, maxsim } from "pplx-embed-web";

const MODEL = JSON.stringify(join(CHECKPOINTS, "f32-odd"));
const unit = "{ data: new Float32Array([1, 0]), dim: 2 }";

/**
 * A script that ends without being told to, and has nothing left then that keeps a process alive. How long V8 goes on with
 * compiling the wasm module is its own affair.
 */
async function ends(script) {
  const whole = `
    import { createIndex, load, maxsim } from "pplx-embed-web";
    ${script}
    // A helper that is being started keeps the process until it has.
    const kept = () => process.getActiveResourcesInfo().filter((name) => /Timeout|Worker|Message/.test(name)).join();
    for (let left = 50; left > 0 && kept(); left--) await new Promise((resolve) => setTimeout(resolve, 200));
    console.log("left:", kept());
  `;
  const { out, err, code } = await runModule(whole);
  assert.deepEqual([out.trim(), code], ["left:", 0], err);
}

test("a process ends after dispose", async () => {
  await ends(`
    for (const worker of [true, false]) {
      const model = await load(${MODEL}, { worker });
      await model.embed("a river");
      await model.dispose();
    }
  `);
});

test("a process ends although nothing was disposed of", async () => {
  await ends(`
    for (const worker of [true, false]) {
      await (await load(${MODEL}, { worker })).embed("a river");
      await createIndex({ dimensions: 4, worker });
      await maxsim(${unit}, ${unit}, { worker });
    }
  `);
});

test("a process ends after a load that failed or was cancelled", async () => {
  await ends(`
    for (const worker of [true, false]) {
      await load("./nothing", { worker }).catch(() => {});
      await load(${MODEL}, { worker, weights: "q3" }).catch(() => {});
      const controller = new AbortController();
      const loading = load(${MODEL}, { worker, signal: controller.signal, onProgress: () => controller.abort() });
      await loading.then(() => console.log("not cancelled"), () => {});
    }
  `);
});

test("a call under way is rejected by dispose, and cancelled by its signal", async () => {
  for (const worker of [true, false]) {
    const model = await load(join(CHECKPOINTS, "f32-gqa2"), { device: "cpu", worker });
    const many = Array.from({ length: 60 }, (_, i) => `the river runs under bridge number ${i}`);
    const controller = new AbortController();
    const onProgress = () => controller.abort();
    assert.equal((await failure(model.embed(many, { signal: controller.signal, onProgress }))).code, "aborted");
    assert.equal((await model.embed("still there")).shape[0], 1);
    const running = failure(model.embed(many));
    await model.dispose();
    assert.equal((await running).code, "disposed");
    assert.equal((await failure(model.embed("gone"))).code, "disposed");
  }
});

test("calls tell how far they are, and an error of the listener stops nothing", async () => {
  const model = await load(join(CHECKPOINTS, "f32-odd"), { device: "cpu" });
  const heard = [];
  await model.embed(["a", "b"], { onProgress: (p) => heard.push(p) });
  assert.deepEqual([heard.at(-1).stage, heard.at(-1).texts], ["embed", 2]);
  const { error } = console;
  const reported = [];
  console.error = (thrown) => reported.push(thrown.message);
  try {
    await model.embed("a", { onProgress: () => { throw new Error("of the listener"); } });
  } finally {
    console.error = error;
  }
  assert.ok(reported.length > 0 && reported.every((message) => message === "of the listener"));
  await model.dispose();
});

test("WebGPU that is not there is an error, and auto is the processor", async () => {
  for (const worker of [true, false]) {
    const refused = await failure(load(join(CHECKPOINTS, "f32-odd"), { device: "webgpu", worker }));
    assert.deepEqual([refused.name, refused.code], ["PplxEmbedError", "no-adapter"]);
    assert.match(refused.message, /"webgpu".*"cpu"/);
  }
  const index = await createIndex({ dimensions: 4 });
  assert.equal(index.info.device, "cpu");
  await index.dispose();
});

test("options that are not allowed are named", async () => {
  const of = async (options, id = "x") => (await failure(load(id, options))).message;
  assert.match(await of({ device: "gpu" }), /^device: "gpu", allowed is auto, webgpu, cpu/);
  assert.match(await of({ color: 1 }), /^options: "color", allowed is /);
  assert.match(await of({ worker: "yes" }), /^worker: "yes", allowed is a boolean/);
  assert.match(await of({ endpoint: "/models" }), /^endpoint: "\/models", allowed is an address/);
  assert.match(await of({ cache: "x" }), /^cache: "x", allowed is true, false or \{ name \}/);
  assert.match(await of({}, 5), /^id: 5, allowed is a string/);
  assert.match(await of({}, "a b"), /^id: /);
  assert.match(await of({ weights: "q3", device: "cpu" }, join(CHECKPOINTS, "f32-odd")), /^weights: /);
  const wasm = await failure(load("x", { wasmUrl: `file://${FOLDER}/none.wasm`, cache: false }));
  assert.equal(wasm.code, "start");
  assert.match(wasm.message, /none\.wasm/);
});

test("MaxSim's worker serves many calls at once", async () => {
  const side = (x) => ({ data: new Float32Array([x, 1]), dim: 2 });
  const scores = await Promise.all([1, 2, 3].map((x) => maxsim(side(x), side(x))));
  assert.deepEqual(scores.map(([score]) => score), [2, 5, 10]);
});

test("locks of the dead, of other machines that are silent, and of threads that ended are passed over", async () => {
  const { lockFolder, Locks, releaseAll } = await import("../../dist/hosts/node/locks.js");
  const lock = lockFolder(FOLDER, "a-cache", "refs/all");
  const ask = (locks, wait = false, exclusive = true) => locks.take(lock, { exclusive, wait });
  const [a, b] = [new Locks("aa"), new Locks("bb")];
  const first = await ask(a);
  assert.equal(await ask(b), undefined);
  assert.equal(await ask(a), undefined, "not even by the same thread");
  const waiting = ask(b, true);
  assert.equal(await ask(b), undefined, "whoever waits comes first");
  first();
  first();
  const second = await waiting;
  second();
  assert.ok(!existsSync(lock), "nothing is left");

  const shared = await Promise.all([ask(a, false, false), ask(b, false, false)]);
  assert.equal(await ask(b), undefined);
  for (const release of shared) release();

  // A claim of this machine whose process is gone; this file's own name says what machine it is.
  await ask(a);
  const [own] = readdirSync(lock);
  releaseAll("aa", FOLDER);
  const dead = own.replace(`-${process.pid}-`, "-999999999-");
  const elsewhere = own.replace(/-([xs])-[0-9a-f]{8}-/, "-$1-00000000-");
  for (const [name, age, free] of [[dead, 0, true], [elsewhere, 0, false], [elsewhere, 600, true]]) {
    mkdirSync(lock, { recursive: true });
    writeFileSync(join(lock, name), "");
    const then = new Date(Date.now() - age * 1000);
    utimesSync(join(lock, name), then, then);
    const taken = await ask(b);
    assert.equal(taken !== undefined, free, `${name} of ${hostname()}, ${age} seconds old`);
    taken?.();
  }
  const held = await ask(b);
  const cancelled = await failure(a.take(lock, { exclusive: true, wait: true, signal: AbortSignal.timeout(50) }));
  assert.equal(cancelled.name, "AbortError");
  held();
  assert.ok(!existsSync(lock));
});

test("importing looks at no file and starts nothing", async () => {
  const { out, err, code } = await runModule(`
    import fs from "node:fs";
    for (const name of Object.keys(fs)) if (/Sync$/.test(name) && typeof fs[name] === "function") {
      fs[name] = () => { throw new Error(name); };
    }
    await import("pplx-embed-web");
    await import("pplx-embed-web/mini");
    await import("./dist/worker-node.js");
    console.log(process.getActiveResourcesInfo().filter((name) => /Worker|Timeout|Message/.test(name)).length);
  `, { cwd: ROOT });
  assert.deepEqual([out, code], ["0\n", 0], err);
});
