// Search indexes: what is opened is what was saved, by name or as a file, here and in another process.
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";

import { CACHE, CHECKPOINTS, failure, FOLDER, runModule } from "./support.mjs";
import { cosine } from "../web/fixtures.mjs";
import { createIndex, deleteIndex, listIndexes, load, openIndex } from "pplx-embed-web";

const DIM = 64;
const row = (i) => Int8Array.from({ length: DIM }, (_, j) => ((i * 31 + j * 17 + i * j) % 255) - 127);
const query = Int8Array.from({ length: DIM }, (_, j) => ((j * 37) % 100) - 50);
const COUNT = 300;

async function make(options) {
  const index = await createIndex({ dimensions: DIM, ...options });
  await index.add(Array.from({ length: COUNT }, (_, i) => ({ id: `i${i}`, vector: row(i), ...(i % 3 && { data: { i } }) })));
  return index;
}

for (const worker of [true, false]) {
  test(`saved by name and opened again, ${worker ? "in a worker" : "in this thread"}`, async () => {
    const index = await make({ worker });
    assert.equal(index.info.device, "cpu");
    const hits = await index.search(query, { k: 5 });
    const scores = Array.from({ length: COUNT }, (_, i) => cosine([...query], [...row(i)]));
    assert.ok(Math.abs(hits[0].score - Math.max(...scores)) < 1e-5);
    await index.save("notes.v1");
    await index.save("notes");
    await index.save("notes");
    const saved = await listIndexes();
    assert.deepEqual(saved.map(({ name }) => name), ["notes", "notes.v1"]);
    assert.deepEqual(readdirSync(join(CACHE, ".indexes/saved")).sort(), ["notes.index", "notes.v1.index"]);

    const again = await openIndex("notes", { worker });
    assert.deepEqual([await again.search(query, { k: 5 }), again.ids()], [hits, index.ids()]);
    const blob = await again.toBlob();
    assert.equal(blob.size, saved[0].bytes);
    const fromBlob = await openIndex(blob, { worker });
    assert.deepEqual(await fromBlob.search(query, { k: 5 }), hits);
    const parts = [];
    await again.save(new WritableStream({ write: (bytes) => void parts.push(bytes) }));
    assert.deepEqual(Buffer.concat(parts), Buffer.from(await blob.arrayBuffer()));

    assert.deepEqual([await deleteIndex("notes"), await deleteIndex("notes")], [saved[0].bytes, 0]);
    assert.deepEqual((await listIndexes()).map(({ name }) => name), ["notes.v1"]);
    await deleteIndex("notes.v1");
    for (const each of [index, again, fromBlob]) await each.dispose();
    const missing = await failure(openIndex("notes", { worker }));
    assert.deepEqual([missing.code, missing.message.startsWith('index "notes"')], ["not-found", true]);
  });

  test(`saved as a file, ${worker ? "in a worker" : "in this thread"}`, async () => {
    const index = await make({ worker });
    const hits = await index.search(query, { k: 5 });
    const path = join(FOLDER, `my notes ${worker}.index`);
    for (const target of [path, pathToFileURL(path)]) {
      writeFileSync(path, "something else");
      await index.save(target);
      for (const source of [path, pathToFileURL(path), pathToFileURL(path).href]) {
        const again = await openIndex(source, { worker });
        assert.deepEqual(await again.search(query, { k: 5 }), hits);
        await again.dispose();
      }
    }
    // A save that is cancelled, or has no place, leaves what was there, and nothing else.
    const before = readFileSync(path);
    const large = await createIndex({ dimensions: 4096, worker });
    for (let i = 0; i < 8; i++) await large.add([{ id: `i${i}`, vector: new Int8Array(4096 * 1024).fill(i + 1) }]);
    const controller = new AbortController();
    const onProgress = () => controller.abort();
    assert.equal((await failure(large.save(path, { signal: controller.signal, onProgress }))).code, "aborted");
    await large.dispose();
    assert.deepEqual(readFileSync(path), before);
    const nowhere = await failure(index.save(join(path, "below.index")));
    assert.equal(nowhere.code, "io");
    assert.deepEqual(readdirSync(FOLDER).filter((name) => name.includes(".part")), []);
    await index.dispose();

    const missing = await failure(openIndex(join(FOLDER, "none.index"), { worker }));
    assert.equal(missing.code, "not-found");
    assert.match(missing.message, /none\.index is not there/);
    truncateSync(path, statSync(path).size - 10);
    assert.equal((await failure(openIndex(path, { worker }))).code, "integrity");
    const whole = await openIndex(path, { worker, recover: true });
    assert.ok(whole.size <= COUNT);
    await whole.dispose();
    assert.match((await failure(openIndex("../x", { worker }))).code, /not-found/);
    assert.match((await failure(openIndex("a/b", { worker }))).message, /^source: "a\/b"/);
  });
}

test("a model's index takes texts, and is opened with the same model", async () => {
  const id = join(CHECKPOINTS, "f32-odd");
  const model = await load(id, { device: "cpu" });
  const index = await createIndex({ model });
  await index.add([{ id: "a", text: "a red bicycle" }, { id: "b", text: "a blue car" }]);
  const hits = await index.search("car");
  const path = join(FOLDER, "texts.index");
  await index.save(path);
  const again = await openIndex(path, { model });
  assert.deepEqual(await again.search("car"), hits);
  assert.equal(again.info.model, id);
  const other = await load(join(CHECKPOINTS, "f32-gqa2"), { device: "cpu", worker: false });
  assert.match((await failure(openIndex(path, { model: other }))).message, /^model: /);
  await other.dispose();
  await model.dispose();
  assert.equal((await failure(again.search("car"))).code, "disposed");
});

test("processes that save under one name wait for each other", async () => {
  const script = (from) => `
    import { createIndex } from "pplx-embed-web";
    const index = await createIndex({ dimensions: 8, worker: false });
    for (let i = 0; i < 5; i++) {
      await index.add([{ id: "${from}" + i, vector: new Int8Array(8).fill(i + 1) }]);
      await index.save("shared");
    }
    await index.dispose();
  `;
  for (const { code, err } of await Promise.all(["a", "b"].map((from) => runModule(script(from))))) assert.equal(code, 0, err);
  const index = await openIndex("shared");
  assert.equal(index.size, 5);
  await index.dispose();
  assert.deepEqual(readdirSync(join(CACHE, ".indexes/saved")), ["shared.index"]);
  assert.ok((await deleteIndex("shared")) > 0 && existsSync(CACHE));
});
