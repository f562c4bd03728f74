// Threads of the processor: workers that each have a share of the weights.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { start, until } from "./browser.mjs";
import { chunks, fixture, sameVectors } from "./fixtures.mjs";

let browser;
before(async () => (browser = await start()));
after(() => browser.stop());

for (const worker of [true, false]) {
  test(`any number of threads gives the same bits, ${worker ? "in a worker" : "in the page's thread"}`, async () => {
    const { texts, rows } = fixture("f32-odd", { short: true });
    await browser.visit("/blank.html", async (page) => {
      const got = await page.evaluate(
        async ([texts, worker]) => {
          const { load, plain } = await import("/page.js");
          const results = [];
          for (const [weights, threads] of [["auto", 1], ["auto", 3], ["q8", 1], ["q8", 2]]) {
            const model = await load("f32-odd", { endpoint: "/fixtures", device: "cpu", weights, threads, worker });
            const { data } = plain(await model.embed(texts, { dtype: "float32" }));
            results.push({ weights, threads, data, info: model.info });
            await model.dispose();
          }
          return results;
        },
        [texts, worker],
      );
      sameVectors(chunks(got[0].data, 52), rows("pooled"));
      for (const { weights, threads, data, info } of got) {
        assert.deepEqual([info.device, info.why, info.threads], ["cpu", "asked for", threads]);
        const alone = got.find((other) => other.weights === weights && other.threads === 1);
        assert.deepEqual(data, alone.data, `${weights}, ${threads} threads`);
      }
      await until(() => page.workers().length === 0, "all workers have ended");
    });
  });
}

test("a number of threads that cannot be is refused, and a small model has one unless more are asked for", async () => {
  await browser.visit("/blank.html", async (page) => {
    const { errors, threads } = await page.evaluate(async () => {
      const { load, failure } = await import("/page.js");
      const options = { endpoint: "/fixtures", device: "cpu" };
      const errors = [];
      for (const threads of [0, 257, 1.5, "2"]) errors.push(await failure(load("f32-odd", { ...options, threads })));
      const model = await load("f32-odd", options);
      const { threads } = model.info;
      await model.dispose();
      return { errors, threads };
    });
    assert.equal(threads, 1);
    for (const { code, message } of errors) {
      assert.equal(code, "invalid-argument");
      assert.match(message, /^threads: /);
    }
  });
});

test("where workers cannot be made one thread does the work, and a notice says so", async () => {
  const { texts, rows } = fixture("f32-odd", { short: true });
  await browser.visit("/blank.html", async (page) => {
    const got = await page.evaluate(async (texts) => {
      const { load, plain } = await import("/page.js");
      globalThis.Worker = class {
        constructor() {
          throw new DOMException("no workers here", "SecurityError");
        }
      };
      const notices = [];
      const onProgress = (p) => p.stage === "notice" && notices.push(p.message);
      const options = { endpoint: "/fixtures", device: "cpu", worker: false, cache: false, threads: 3, onProgress };
      const model = await load("f32-odd", options);
      const { data } = plain(await model.embed(texts, { dtype: "float32" }));
      await model.dispose();
      return { data, threads: model.info.threads, notices };
    }, texts);
    sameVectors(chunks(got.data, 52), rows("pooled"));
    assert.equal(got.threads, 1);
    assert.equal(got.notices.length, 1, got.notices.join("; "));
    assert.match(got.notices[0], /^runs on one thread: .*no workers here/);
  });
});

test("a worker that dies in the middle costs a reload, and no vector", async () => {
  await browser.visit("/blank.html", async (page) => {
    // The real script, which once ends at a message that is a call to compute.
    let dies = true;
    await page.route("**/helper.js", async (route) => {
      const response = await route.fetch();
      const death = `let left = 200;
        addEventListener("message", () => { if (--left === 0) { globalThis.onmessage = null; setTimeout(() => { throw new Error("killed"); }); } });`;
      await route.fulfill({ response, body: `${dies ? death : ""}\n${await response.text()}` });
      dies = false;
    });
    const got = await page.evaluate(async () => {
      const { load, sleep } = await import("/page.js");
      const options = { endpoint: "/fixtures", device: "cpu", worker: false, cache: false, threads: 2 };
      const model = await load("f32-odd", options);
      const notices = [];
      const onProgress = (p) => p.stage === "notice" && notices.push(p.message);
      const rows = new Set();
      for (let i = 0; i < 200 && notices.length === 0; i++) {
        const embedded = model.embed(["a text"], { onProgress }).then((e) => String(e.data), (error) => `fails: ${error}`);
        rows.add(await Promise.race([embedded, sleep(20_000).then(() => "hangs")]));
      }
      rows.add(String((await model.embed(["a text"])).data));
      await model.dispose();
      return { rows: [...rows], notices };
    });
    assert.equal(got.rows.length, 1, got.rows.join("; "));
    assert.match(got.rows[0], /^-?\d+,/);
    assert.equal(got.notices.length, 1, got.notices.join("; "));
    assert.match(got.notices[0], /a worker thread failed: .*killed.*; started again, on cpu/);
  });
});
