// Models in folders: their vectors are those of transformers and sentence-transformers, in a worker and in this thread.
import assert from "node:assert/strict";
import { cpSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";

import { CHECKPOINTS, failure, FOLDER } from "./support.mjs";
import { chunks, expected, fixture, sameCodes, sameSigns, sameVectors } from "../web/fixtures.mjs";
import { explainMaxsim, load, maxsim } from "pplx-embed-web";

const checkpoint = (name) => join(CHECKPOINTS, name);

for (const worker of [true, false]) {
  test(`vectors equal transformers ${worker ? "in a worker" : "in this thread"}`, async () => {
    for (const [name, D] of [["f32-odd", 52], ["bf16-gqa4-sharded", 96], ["f16-mha", undefined]]) {
      const { texts, tokens, rows } = fixture(name, { short: true });
      const heard = [];
      const model = await load(checkpoint(name), { worker, onProgress: (p) => heard.push(p) });
      assert.deepEqual([model.info.id, model.info.device, model.info.adapter.backend], [checkpoint(name), "cpu", "cpu"]);
      if (D) assert.equal(model.info.dimensions, D);
      const float32 = await model.embed(texts, { dtype: "float32" });
      sameVectors(float32.toArray(), rows("pooled"));
      assert.deepEqual(float32.usage, { tokens, truncated: [] });
      const int8 = await model.embed(texts);
      assert.ok(int8.data instanceof Int8Array);
      sameCodes(int8.toArray(), rows("int8"));
      sameSigns((await model.embed(texts, { dtype: "ubinary" })).toArray(), rows("pooled"), true);
      await model.dispose();
      const last = heard.filter(({ stage }) => stage === "download").at(-1);
      assert.ok(last.file.endsWith(".safetensors") && last.loaded === last.total, JSON.stringify(last));
      assert.deepEqual([model.info.device, model.info.why], ["cpu", '"auto" is the processor outside of pages']);
    }
  });
}

test("chunks in their documents equal transformers", async (t) => {
  const { texts, tensor } = expected("context");
  const model = await load(checkpoint("context"), { device: "cpu" });
  t.after(() => model.dispose());
  const got = await model.embedContext(texts.map((t) => t.chunks), { dtype: "float32" });
  sameVectors(got.flatMap((e) => e.toArray()), chunks(tensor("pooled"), 32));
  const [whole] = await model.splitText("A river. A bridge.");
  assert.equal(whole.text, "A river. A bridge.");
});

test("token vectors and their scores equal sentence-transformers", async (t) => {
  const { texts, tensor } = expected("late-st");
  const model = await load(checkpoint("late-st"), { device: "cpu" });
  t.after(() => model.dispose());
  const all = texts.map(({ text }) => text);
  for (const [role, e] of [["query", await model.encodeQuery(all)], ["document", await model.encodeDocument(all)]]) {
    for (const [i, { name }] of texts.entries()) {
      sameVectors(chunks([...e.item(i)], e.dim), chunks(tensor(`${name}.${role}`), e.dim));
    }
  }
});

test("MaxSim without a model equals sentence-transformers", async () => {
  const { tensor } = expected("maxsim");
  const side = (name) => ({
    data: Float32Array.from(tensor(`f32.${name}.data`)), offsets: tensor(`f32.${name}.offsets`),
    dim: tensor(`f32.${name}.data`).length / tensor(`f32.${name}.offsets`).at(-1),
  });
  const [queries, documents] = [side("queries"), side("documents")];
  for (const worker of [true, false]) {
    const scores = await maxsim(queries, documents, { worker });
    for (const [i, want] of tensor("f32.scores").entries()) {
      assert.ok(scores[i] === want || Math.abs(scores[i] - want) < 1e-3, `score ${i}: ${scores[i]}, expected ${want}`);
    }
  }
  const unit = { data: new Float32Array([1, 0]), dim: 2 };
  assert.deepEqual({ ...(await explainMaxsim(unit, unit)) }, { tokens: Uint32Array.of(0), similarities: Float32Array.of(1) });
});

test("a folder is a path that is written as one, or a file: URL", async () => {
  const copy = join(FOLDER, "a model #1 100%");
  cpSync(checkpoint("f32-odd"), copy, { recursive: true });
  const url = pathToFileURL(copy);
  const text = "a river";
  const vectors = [];
  for (const id of [copy, `${copy}/`, `./${relative(process.cwd(), copy)}`, url, url.href, `${url.href}/`]) {
    const model = await load(id, { device: "cpu", worker: false });
    assert.equal(model.info.id, String(id));
    vectors.push([...(await model.embed(text)).data]);
    await model.dispose();
  }
  for (const vector of vectors) assert.deepEqual(vector, vectors[0]);
});

test("the weights of a folder are quantized while they are read", async (t) => {
  const { texts, rows } = fixture("f32-gqa2", { short: true });
  const model = await load(checkpoint("f32-gqa2"), { weights: "q8", device: "cpu" });
  t.after(() => model.dispose());
  assert.equal(model.info.weights, "q8");
  const e = await model.embed(texts, { dtype: "float32" });
  assert.equal(e.shape[0], rows("pooled").length);
});

test("what is no model is an error that names it", async () => {
  const of = async (id, options) => failure(load(id, { device: "cpu", worker: false, ...options }));
  const missing = await of("./no-such-folder");
  assert.deepEqual([missing.name, missing.code], ["PplxEmbedError", "not-found"]);
  assert.match(missing.message, /^id: \.\/no-such-folder, allowed is a folder; there is none at file:.*\/no-such-folder$/);
  assert.equal((await of(join(checkpoint("f32-odd"), "config.json"))).code, "not-found");
  assert.match((await of("file://elsewhere/x")).message, /^id: "file:\/\/elsewhere\/x", allowed is a path/);
  assert.equal((await of(new URL("https://example.org/model"))).code, "invalid-argument");
  assert.equal((await of("no/such/path")).code, "invalid-argument");
  for (const option of ["revision", "token", "endpoint"]) {
    const refused = await of(checkpoint("f32-odd"), { [option]: "main" });
    assert.match(refused.message, new RegExp(`^${option}: "main", allowed is undefined for a folder`));
  }
  const empty = join(FOLDER, "empty");
  mkdirSync(empty);
  const nothing = await of(empty);
  assert.equal(nothing.code, "not-found");
  assert.match(nothing.message, /^config\.json: not found at file:.*\/empty\/config\.json$/);
});

test("a file that cannot be read is an io error, at once", async () => {
  const broken = join(FOLDER, "broken");
  cpSync(checkpoint("f32-odd"), broken, { recursive: true });
  rmSync(join(broken, "model.safetensors"));
  symlinkSync("model.safetensors", join(broken, "model.safetensors")); // a link to itself
  const began = performance.now();
  const refused = await failure(load(broken, { device: "cpu", worker: false }));
  assert.deepEqual([refused.name, refused.code], ["PplxEmbedError", "io"]);
  assert.match(refused.message, /model\.safetensors: ELOOP/);
  assert.ok(performance.now() - began < 7000, "it was not tried again");
});

test("a folder of links is read, and no name leads out of it", async () => {
  const links = join(FOLDER, "links");
  mkdirSync(links);
  for (const file of readdirSync(checkpoint("f32-odd"))) symlinkSync(join(checkpoint("f32-odd"), file), join(links, file));
  const model = await load(links, { device: "cpu", worker: false });
  await model.dispose();
  // Shards are named by the folder's own index.
  rmSync(join(links, "model.safetensors"));
  for (const name of ["../f32-gqa2/model.safetensors", "%2e%2e/x.safetensors", "/etc/passwd"]) {
    const index = { metadata: {}, weight_map: { "embed_tokens.weight": name } };
    writeFileSync(join(links, "model.safetensors.index.json"), JSON.stringify(index));
    const refused = await failure(load(links, { device: "cpu", worker: false }));
    assert.match(refused.code, /^(invalid-checkpoint|invalid-config|not-found|io)$/, refused.message);
    assert.ok(refused.message.includes(name), refused.message);
  }
});
