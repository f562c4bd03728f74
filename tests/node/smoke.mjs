// What has to work in every runtime, in one process: a folder, the model of the package, a Hub and its cache, an index.
// Prints "ok" at the end, and ends by itself.
//   smoke.mjs HUB    the address of a Hub that has models/demo
import assert from "node:assert/strict";
import { join } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";

import { cache, createIndex, deleteIndex, listIndexes, load, maxsim, openIndex, PplxEmbedError } from "pplx-embed-web";
import "pplx-embed-web/mini";
import { CHECKPOINTS, failure, FOLDER } from "./support.mjs";
import { fixture, sameCodes, sameVectors } from "../web/fixtures.mjs";

const endpoint = process.argv[2];
const checkpoint = join(CHECKPOINTS, "f32-odd");

for (const worker of [true, false]) {
  const { texts, rows } = fixture("f32-odd", { short: true });
  const model = await load(pathToFileURL(checkpoint), { worker, device: "cpu" });
  assert.equal(model.info.device, "cpu");
  sameVectors((await model.embed(texts, { dtype: "float32" })).toArray(), rows("pooled"));
  sameCodes((await model.embed(texts)).toArray(), rows("int8"));
  const controller = new AbortController();
  const cancelled = failure(model.embed(texts, { signal: controller.signal }));
  controller.abort();
  assert.equal((await cancelled).code, "aborted");

  const index = await createIndex({ model });
  await index.add([{ id: "a", text: "a red bicycle" }, { id: "b", text: "a blue car" }]);
  const hits = await index.search("a blue car");
  assert.equal(hits[0].id, "b");
  const path = join(FOLDER, "smoke.index");
  await index.save("smoke");
  await index.save(path);
  for (const source of ["smoke", path, await index.toBlob()]) {
    const again = await openIndex(source, { model });
    assert.deepEqual(await again.search("a blue car"), hits);
    await again.dispose();
  }
  assert.deepEqual((await listIndexes()).map(({ name }) => name), ["smoke"]);
  assert.ok((await deleteIndex("smoke")) > 0);
  await model.dispose();
  assert.equal((await failure(model.embed("gone"))).code, "disposed");

  if (!worker) continue;
  for (const [id, kind] of [["mini", "embed"], ["mini-context", "context"], ["mini-late", "late"]]) {
    const mini = await load(id, { device: "cpu" });
    assert.equal(mini.info.kind, kind);
    if (kind === "embed") assert.deepEqual((await mini.embed("listen to music")).shape, [1, 256]);
    if (kind === "context") assert.equal((await mini.embedContext([["a", "b"]]))[0].shape[0], 2);
    if (kind === "late") {
      const [q, d] = [await mini.encodeQuery("music"), await mini.encodeDocument(["a song", "a soup"])];
      assert.equal((await maxsim(q, d)).length, 2);
    }
    await mini.dispose();
  }

  const demo = async () => {
    const asked = [];
    const model = await load("demo", { endpoint, token: "hf_secret", device: "cpu", onProgress: (p) => asked.push(p) });
    const codes = [...(await model.embed("a red bicycle")).data];
    await model.dispose();
    return { codes, cached: asked.filter(({ stage }) => stage === "download").map(({ cached }) => cached) };
  };
  const first = await demo();
  const second = await demo();
  assert.deepEqual(second.codes, first.codes);
  assert.ok(first.cached.length > 0 && first.cached.includes(false));
  assert.ok(second.cached.length > 0 && second.cached.every(Boolean), "the second load reads what was kept");
  const [kept] = await cache.list();
  assert.deepEqual([kept.id, kept.complete], ["demo", true]);
  assert.ok((await cache.estimate()).bytes >= kept.bytes);
  assert.ok((await cache.delete("demo")) > 0);
  assert.deepEqual(await cache.list(), []);
}

const missing = await failure(load("./no-such-folder"));
assert.deepEqual([missing.name, missing.code], [PplxEmbedError.name, "not-found"]);
// Where there is WebGPU, gpu.mjs uses it.
if (!globalThis.navigator?.gpu) {
  assert.equal((await failure(load(checkpoint, { device: "webgpu" }))).code, "no-adapter");
}
const own = await load("mini");
assert.deepEqual([own.info.device, own.info.why], ["cpu", '"auto" is the processor outside of pages']);
await own.dispose();
// Not disposed of: it must not keep the process alive.
await (await load("mini", { device: "cpu" })).embed("a");
console.log("ok");
