// The browser's file system fails once, at one of its operations after another, while a model is loaded: what is kept is a
// convenience, so that load gives the right vectors all the same, and so does the next one. Three operations of each kind of
// load; EVERY=1 takes them all, in half an hour.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { start } from "./browser.mjs";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

const EVERY = process.env.EVERY === "1";

/** The script of a worker that gets the wrapper, and which operation the wrapper refuses. */
let script, failing;
const wrapper = () => `(${refuse})(${failing});\n`;

let browser;
before(async () => {
  const intercept = (request, response, headers) => {
    if (request.url !== script) return false;
    response.writeHead(200, { ...headers, "Content-Type": "text/javascript" });
    response.end(wrapper() + readFileSync(ROOT + request.url, "utf8"));
    return true;
  };
  browser = await start({ root: `${ROOT}/models`, intercept });
});
after(() => browser.stop());

/** Runs in a page or a worker: its operations on files are counted, and the one that is `failing` is refused. */
function refuse(failing) {
  let made = 0;
  const operations = {
    StorageManager: ["getDirectory"],
    FileSystemDirectoryHandle: ["getDirectoryHandle", "getFileHandle", "removeEntry"],
    FileSystemFileHandle: ["getFile", "createSyncAccessHandle", "createWritable"],
    FileSystemSyncAccessHandle: ["read", "write", "flush", "truncate", "getSize"],
    FileSystemWritableFileStream: ["write", "seek", "truncate", "close"],
  };
  const channel = new BroadcastChannel("refusing");
  for (const [type, methods] of Object.entries(operations)) {
    for (const method of methods) {
      const prototype = globalThis[type]?.prototype;
      if (!prototype?.[method]) continue;
      const own = prototype[method];
      prototype[method] = function (...args) {
        const name = `${type}.${method}`;
        channel.postMessage(name);
        if (++made !== failing) return own.apply(this, args);
        const error = new DOMException("the disk is bad, says the test", "UnknownError");
        // Those of an open file answer at once.
        if (type === "FileSystemSyncAccessHandle") throw error;
        return Promise.reject(error);
      };
    }
  }
}

/** Loads and embeds; gives the codes, and the operations that the file systems of the page and its workers were asked for. */
const load = (page, options) =>
  page.evaluate(async (options) => {
    const names = [];
    new BroadcastChannel("refusing").onmessage = ({ data }) => names.push(data);
    const { load } = await import("/page.js");
    try {
      const model = await load("demo", { device: "cpu", threads: 1, ...options });
      const codes = String((await model.embed("a red bicycle")).data);
      await model.dispose();
      return { codes, names };
    } catch (error) {
      return { codes: `${error.code}: ${error.message}`, names };
    }
  }, { endpoint: browser.server.hub.hub, ...options });

for (const [where, worker, options] of [
  ["in the worker", "/dist/worker.js", {}],
  ["in the worker that writes for a page", "/dist/hosts/web/writer-worker.js", { worker: false }],
  ["in the page", undefined, { worker: false }],
]) {
  test(`operations on files fail in turn, ${where}`, async () => {
    await browser.visit("/blank.html", async (page) => {
      script = worker;
      /** A page whose next load meets the fault. */
      const fresh = async (nth) => {
        failing = nth;
        await page.reload();
        if (!script) await page.evaluate(wrapper());
      };
      const forget = async () => {
        await fresh();
        // The page before may take a moment to let go.
        await page.evaluate(async () => {
          const { cache, sleep } = await import("/page.js");
          for (let left = 50; ; left--) {
            try {
              return await cache.clear();
            } catch (error) {
              if (error.code !== "in-use" || left === 0) throw error;
              await sleep(20);
            }
          }
        });
      };
      const loaded = async (nth) => {
        await fresh(nth);
        return load(page, options);
      };
      await forget();
      const runs = { filling: await loaded(), reading: await loaded() };
      const want = runs.filling.codes;
      assert.equal(runs.reading.codes, want);
      const problems = [];
      for (const [what, { names }] of Object.entries(runs)) {
        const step = EVERY ? 1 : Math.ceil(names.length / 3);
        for (let nth = 1; nth <= names.length; nth += step) {
          if (what === "filling") await forget();
          const [broken, again] = [await loaded(nth), await loaded()];
          // A copy that is there, but cannot be read, is an error with the name of the file.
          const read = /\.(read|getFile)$/.test(names[nth - 1]) && /^io: .*the disk is bad/.test(broken.codes);
          if (broken.codes !== want && !read) problems.push(`${what} ${nth} (${names[nth - 1]}): ${broken.codes}`);
          if (again.codes !== want) problems.push(`${what} ${nth} (${names[nth - 1]}), again: ${again.codes}`);
        }
      }
      assert.deepEqual(problems, []);
      assert.ok(runs.filling.names.length > 5, runs.filling.names.join());
    });
  });
}
