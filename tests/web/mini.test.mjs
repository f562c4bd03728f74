// The model that comes with the package: nothing of it without its import, and after that the same vectors as from a
// server that has its files.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { serve } from "../../scripts/serve.mjs";
import { start } from "./browser.mjs";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const MOST_PACKED = 10e6; // bytes of the tarball, most of them the weights
const BUNDLED = /\/dist\/mini[./]/;

let browser;
before(async () => (browser = await start()));
after(() => browser.stop());

/** Visits an empty page; `requests` has the paths that it and its workers ask for. */
async function visit(test, expected) {
  await browser.visit("/blank.html", async (page) => {
    const requests = [];
    page.context().on("request", (request) => requests.push(new URL(request.url()).pathname));
    await test(page, requests);
  }, expected);
}

test("without its import nothing of it is asked for, and loading it says what is missing", async () => {
  await visit(async (page, requests) => {
    const failed = await page.evaluate(async () => {
      const { load, failure } = await import("/page.js");
      const model = await load("f32-odd", { endpoint: "/fixtures" });
      await model.dispose();
      return Promise.all(["mini", "mini-context", "mini-late"].map((id) => failure(load(id))));
    });
    for (const [i, id] of ["mini", "mini-context", "mini-late"].entries()) {
      assert.deepEqual([failed[i].name, failed[i].code], ["PplxEmbedError", "not-found"]);
      assert.match(failed[i].message, new RegExp(`^${id}: .* import "pplx-embed-web/mini"`));
    }
    assert.ok(requests.some((path) => path.endsWith("/dist/worker.js")), requests.join());
    assert.deepEqual(requests.filter((path) => BUNDLED.test(path)), []);
  });
});

test("its three kinds give what the same files give from a server, and ask for nothing else", async () => {
  await visit(async (page, requests) => {
    await page.evaluate(() => import("/dist/mini.js"));
    const result = await page.evaluate(async () => {
      const { load, plain } = await import("/page.js");
      const texts = ["When does the train to the coast leave?", "Die Tomaten brauchen Wasser.", ""];
      const tokens = ({ data, offsets, dim, tokens }) => ({ data: [...data], offsets: [...offsets], dim, ids: [...tokens] });
      const uses = {
        "mini": async (model) => [plain(await model.embed(texts)), plain(await model.embed(texts, { dtype: "float32" }))],
        "mini-context": async (model) => (await model.embedContext([texts, texts.slice(1)])).map(plain),
        "mini-late": async (model) => [
          tokens(await model.encodeQuery(texts[0])),
          tokens(await model.encodeDocument(texts.slice(0, 2))),
        ],
      };
      const all = [];
      for (const [id, use] of Object.entries(uses)) {
        const own = await load(id);
        const served = await load(id.replace("-", "/"), { endpoint: "/models", cache: false });
        all.push({ id, info: own.info, got: await use(own), want: await use(served) });
        await Promise.all([own.dispose(), served.dispose()]);
      }
      return all;
    });
    assert.deepEqual(result.map(({ info }) => info.kind), ["embed", "context", "late"]);
    for (const { id, info, got, want } of result) {
      assert.equal(info.id, id);
      assert.deepEqual(got, want);
      for (const { data } of got) assert.ok(data.some((x) => x !== 0), `${id} is all zeros`);
    }
    assert.equal(result[0].info.dimensions, 256);
    assert.equal(result[2].info.dimensions, 128);

    const own = requests.filter((path) => !path.startsWith("/models/") && !path.startsWith("/api/"));
    assert.deepEqual(own.filter((path) => !/^\/(dist\/|page\.js)/.test(path)), []);
    const asked = new Set(own.filter((path) => BUNDLED.test(path)));
    assert.deepEqual([...asked].sort(), [
      "/dist/mini.js", "/dist/mini/late/1_Dense/model.safetensors", "/dist/mini/model.safetensors", "/dist/mini/settings.js",
      "/dist/mini/tokenizer.json",
    ]);
  });
});

test("the options of any load: weights, progress, a fetch of one's own, cancelling", async () => {
  await visit(async (page) => {
    await page.evaluate(() => import("/dist/mini.js"));
    const result = await page.evaluate(async () => {
      const { load, failure, cache } = await import("/page.js");
      const [heard, fetched] = [[], []];
      const fetch = (url, init) => (fetched.push(new URL(url).pathname), globalThis.fetch(url, init));
      const model = await load("mini", { weights: "q4", fetch, onProgress: (p) => heard.push(p) });
      const { weights } = model.info;
      await model.dispose();
      const controller = new AbortController();
      const onProgress = ({ stage }) => stage === "download" && controller.abort();
      const cancelled = await failure(load("mini", { signal: controller.signal, onProgress }));
      const refused = [];
      for (const options of [{ revision: "main" }, { token: "hf_x" }, { cache: 5 }]) {
        refused.push(await failure(load("mini-late", options)));
      }
      return { heard, fetched, weights, cancelled, refused, kept: await cache.list() };
    });
    assert.deepEqual(result.fetched.sort(), ["/dist/mini/model.safetensors", "/dist/mini/tokenizer.json"]);
    const last = result.heard.filter(({ stage }) => stage === "download").at(-1);
    assert.deepEqual([last.file, last.loaded, last.cached], ["model.safetensors", last.total, false]);
    assert.ok(result.heard.some(({ stage }) => stage === "compile"));
    assert.equal(result.weights, "q4");
    assert.equal(result.cancelled.code, "aborted");
    assert.deepEqual(result.refused.map(({ code }) => code), Array(3).fill("invalid-argument"));
    for (const [i, name] of ["revision", "token", "cache"].entries()) assert.ok(result.refused[i].message.startsWith(name));
    assert.deepEqual(result.kept, []);
  });
});

test("a file that was not deployed is named, with the place where it has to be", async () => {
  const missing = { status: 404, body: "not found" };
  const startPage = { status: 200, contentType: "text/html", body: "<!doctype html>" };
  for (const [file, answer] of [["tokenizer.json", missing], ["model.safetensors", startPage]]) {
    await visit(async (page) => {
      await page.context().route(`**/dist/mini/${file}`, (route) => route.fulfill(answer));
      const failed = await page.evaluate(async () => {
        await import("/dist/mini.js");
        const { load, failure } = await import("/page.js");
        return failure(load("mini"));
      });
      assert.equal(failed.code, "not-found", failed.message);
      assert.ok(failed.message.startsWith(file), failed.message);
      assert.ok(failed.message.includes(`${browser.server.url}dist/mini/${file}`), failed.message);
    });
  }
});

test("the packed package has each file once, and loads its model from any server of files", async () => {
  const folder = mkdtempSync(join(tmpdir(), "pplx-embed-web-"));
  const run = (command, ...args) => execFileSync(command, args, { cwd: ROOT, stdio: ["ignore", "pipe", "ignore"] });
  try {
    const packed = run("npm", "pack", "--json", "--ignore-scripts", "--pack-destination", folder);
    const [{ filename, size, files }] = JSON.parse(packed);
    assert.ok(size <= MOST_PACKED, `${size} bytes`);
    run("tar", "-xzf", join(folder, filename), "-C", folder);
    const large = files.filter((file) => file.size > 50_000).map(({ path }) => path);
    assert.ok(large.includes("dist/mini/model.safetensors"), large.join());
    const digest = (path) => createHash("sha256").update(readFileSync(join(folder, "package", path))).digest("hex");
    assert.equal(new Set(large.map(digest)).size, large.length, large.join());

    renameSync(join(folder, "package/dist"), join(folder, "dist"));
    mkdirSync(join(folder, "www"));
    writeFileSync(join(folder, "www/index.html"), "<!doctype html><title>installed</title>");
    const installed = await serve({ port: 0, root: folder });
    try {
      await browser.visit(installed.url, async (page) => {
        const [kind, dim, alike] = await page.evaluate(async () => {
          const { cosineSimilarity, load } = await import("/dist/index.js");
          await import("/dist/mini.js");
          const model = await load("mini");
          const e = await model.embed(["listen to music", "a program that plays songs", "a recipe for soup"]);
          const [same, other] = [1, 2].map((i) => cosineSimilarity(e.row(0), e.row(i)));
          return [model.info.kind, e.dimensions, same > other];
        });
        assert.deepEqual([kind, dim, alike], ["embed", 256, true]);
      }, [/favicon/]);
    } finally {
      await installed.close();
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});
