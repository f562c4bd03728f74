// The model of the package: read from the package's own files, without a server, in all three kinds.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { CACHE, failure, FOLDER, ROOT, runModule } from "./support.mjs";
import { cache, load } from "pplx-embed-web";

const texts = ["When does the train to the coast leave?", "Die Tomaten brauchen Wasser.", ""];
const tokens = ({ data, offsets, dim, tokens }) => ({ data, offsets, dim, tokens });
const USES = {
  "mini": async (model) => [await model.embed(texts), await model.embed(texts, { dtype: "float32" })].map((e) => e.data),
  "mini-context": async (model) => (await model.embedContext([texts, texts.slice(1)])).map((e) => e.data),
  "mini-late": async (model) => [await model.encodeQuery(texts[0]), await model.encodeDocument(texts.slice(0, 2))].map(tokens),
};

test("its three kinds give what the same files give from their folder", async () => {
  const missing = await failure(load("mini-late"));
  assert.equal(missing.code, "not-found");
  assert.match(missing.message, /import "pplx-embed-web\/mini"/);
  await import("pplx-embed-web/mini");
  const fetch = globalThis.fetch;
  globalThis.fetch = () => assert.fail("nothing is fetched");
  try {
    for (const [id, use] of Object.entries(USES)) {
      const own = await load(id, { device: "cpu" });
      const folder = await load(join(ROOT, "models", id.replace("-", "/")), { device: "cpu", worker: false });
      assert.deepEqual([own.info.id, own.info.kind], [id, id === "mini" ? "embed" : id.slice(5)]);
      assert.deepEqual(await use(own), await use(folder));
      await own.dispose();
      await folder.dispose();
    }
  } finally {
    globalThis.fetch = fetch;
  }
  assert.deepEqual(await cache.list(), []);
  assert.equal((await failure(load("mini", { revision: "main" }))).code, "invalid-argument");
});

test("the first example of the README prints what its comments say", async () => {
  const example = /^```js\n(.*?)^```$/ms.exec(readFileSync(join(ROOT, "README.md"), "utf8"))[1];
  const wanted = Array.from(example.matchAll(/^console\.log\(.*\); *\/\/ (.*)$/gm), ([, comment]) => comment);
  const { out, err, code } = await runModule(example);
  assert.equal(code, 0, err);
  assert.deepEqual(out.trimEnd().split("\n"), wanted);
});

test("it needs no place to keep files, and leaves none", async () => {
  const script = `
    import { load } from "pplx-embed-web";
    import "pplx-embed-web/mini";
    const model = await load("mini");
    console.log((await model.embed("a")).shape.join());
  `;
  const { out, err, code } = await runModule(script, { env: { PPLX_EMBED_CACHE: "/dev/null/nothing", HOME: FOLDER } });
  assert.deepEqual([out, code], ["1,256\n", 0], err);
  assert.ok(CACHE.startsWith(FOLDER));
});
