// The package on a server of its own, a CDN: the browser makes no workers from there, so everything runs in the page.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { serve } from "../../scripts/serve.mjs";
import { start } from "./browser.mjs";

let browser;
let cdn;
let site;
/** What the page may do. `blob:` and workers of other origins are what strict policies leave out. */
const POLICIES = {
  none: () => undefined,
  strict: (origin) =>
    `default-src 'none'; script-src 'self' ${origin} 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self' ${origin}`,
  "no workers": (origin) =>
    `default-src 'none'; script-src 'self' ${origin} 'wasm-unsafe-eval'; worker-src 'none'; connect-src 'self' ${origin}`,
};

before(async () => {
  browser = await start();
  const open = { "Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin" };
  cdn = await serve({
    port: 0,
    intercept(request, response) {
      for (const [name, value] of Object.entries(open)) response.setHeader(name, value);
      return false;
    },
  });
  const origin = new URL(cdn.url).origin;
  site = await serve({
    port: 0,
    intercept(request, response, headers) {
      const [, name] = /^\/page\/(.*)$/.exec(decodeURIComponent(request.url)) ?? [];
      if (name === undefined) return false;
      const policy = POLICIES[name](origin);
      response.writeHead(200, { "Content-Type": "text/html", ...(policy && { "Content-Security-Policy": policy }) });
      response.end("<!doctype html><title>test</title>");
      return true;
    },
  });
});
after(() => Promise.all([browser.stop(), cdn.close(), site.close()]));

/** Everything that a page does with the package, from the server at `base`. */
const use = (page, base, options) =>
  page.evaluate(
    async ([base, options]) => {
      const { cache, createIndex, listIndexes, load, maxsim, openIndex } = await import(`${base}dist/index.js`);
      await import(`${base}dist/mini.js`);
      const notices = [];
      const onProgress = (p) => p.stage === "notice" && notices.push(p.message);
      try {
        // What is kept comes first, while nothing has tried to make a worker yet.
        const vectors = await createIndex({ dimensions: 2, onProgress, ...options });
        await vectors.add([{ id: "a", vector: new Int8Array([1, 2]) }]);
        await vectors.save("kept");
        const opened = await openIndex("kept", { onProgress, ...options });
        const model = await load("mini", { device: "cpu", threads: 2, onProgress, ...options });
        const rows = (await model.embed(["a red bicycle", ""])).toArray();
        const index = await createIndex({ model });
        await index.add([{ id: "train", text: "The train leaves at seven." }, { id: "soup", text: "Vegetable soup." }]);
        const [hit] = await index.search("When does the train leave?");
        const one = { data: new Float32Array([1, 2]), dim: 2 };
        const scores = [...(await maxsim(one, one, { onProgress, ...options }))];
        const demo = await load("demo", { endpoint: `${base}models`, onProgress, ...options });
        await demo.dispose();
        const kept = [(await cache.list()).length, (await listIndexes()).length, opened.size];
        for (const each of [model, opened, vectors]) await each.dispose();
        return { rows, hit: hit.id, scores, kept, notices };
      } catch (error) {
        return { name: error.name, code: error.code, message: error.message, notices };
      }
    },
    [base, options],
  );

/** Chrome's own note of what the policy forbids. */
const REFUSED = [/Content Security Policy/];

test("in a page of another origin everything works, and notices say what does not", async () => {
  let want;
  await browser.visit(new URL("/page/none", site.url).href, async (page) => {
    want = await use(page, "/", {});
    assert.deepEqual([want.hit, want.scores, want.kept], ["train", [5], [1, 1, 1]], want.message);
    assert.deepEqual(want.notices.filter((notice) => !/^runs on the processor/.test(notice)), []);
  });
  for (const name of Object.keys(POLICIES)) {
    for (const worker of [undefined, false]) {
      const visit = async (page) => {
        const got = await use(page, cdn.url, worker === undefined ? {} : { worker });
        assert.equal(got.message, undefined, `${name}: ${got.message}`);
        const { notices, ...same } = got;
        assert.deepEqual(same, { rows: want.rows, hit: want.hit, scores: want.scores, kept: want.kept }, name);
        const moved = notices.filter((notice) => /^running in the page: .* another origin/.test(notice));
        assert.equal(moved.length, worker === undefined ? 5 : 0, notices.join("\n"));
        assert.ok(notices.some((notice) => /^runs on one thread: /.test(notice)), notices.join("\n"));
      };
      await browser.visit(new URL(`/page/${name}`, site.url).href, visit, REFUSED);
    }
  }
});

test("a worker that was asked for is not replaced by the page", async () => {
  await browser.visit(new URL("/page/strict", site.url).href, async (page) => {
    const got = await use(page, cdn.url, { worker: true });
    assert.deepEqual([got.name, got.code], ["PplxEmbedError", "start"]);
    assert.match(got.message, /^worker: true, but .* another origin/);
  }, REFUSED);
});

test("where the policy forbids workers, the error says so; worker: false runs in the page", async () => {
  await browser.visit(new URL("/page/no workers", site.url).href, async (page) => {
    const got = await use(page, "/", {});
    assert.deepEqual([got.name, got.code], ["PplxEmbedError", "start"], got.message);
    assert.match(got.message, /^worker\.js could not be loaded: .*CSP/);
    const inPage = await use(page, "/", { worker: false });
    assert.deepEqual([inPage.hit, inPage.kept], ["train", [1, 1, 1]], inPage.message);
  }, REFUSED);
});
