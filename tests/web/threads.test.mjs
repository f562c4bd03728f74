// Threads of the processor: workers that each embed some of the texts, or have a share of the weights.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { start, until } from "./browser.mjs";
import { chunks, fixture, sameVectors } from "./fixtures.mjs";

let browser;
before(async () => (browser = await start()));
after(() => browser.stop());

/** Changes a script of the package in a page; the function that it gives checks that the page used it. */
async function changeScript(page, name, from, to) {
  let served = 0;
  await page.route(`**/engine/${name}`, async (route) => {
    const response = await route.fetch();
    const text = await response.text();
    const body = text.replace(from, to);
    assert.notEqual(body, text);
    served++;
    await route.fulfill({ response, body });
  });
  return () => assert.ok(served > 0, `the page does not use ${name}`);
}

/** Makes the package in a page treat every model as one that is too large to be copied. */
const shareRows = (page) => changeScript(page, "helpers.js", /COPIES_BYTES = [^;]+;/, "COPIES_BYTES = 0;");

// A page's own thread may not wait, so rows go by messages there, and else through shared memory: of enough bytes, or of so
// few that it has to grow.
for (const [shared, worker, bytes] of [
  ["texts", true], ["texts", false], ["rows", true], ["rows", true, 64], ["rows", false],
]) {
  const where = `${shared}, ${worker ? "in a worker" : "in the page's thread"}${bytes ? `, from ${bytes} bytes` : ""}`;
  test(`any number of threads gives the same bits: ${where}`, async () => {
    const { texts, rows } = fixture("f32-odd", { short: true });
    await browser.visit("/blank.html", async (page) => {
      const checks = [];
      if (shared === "rows") checks.push(await shareRows(page));
      if (bytes) checks.push(await changeScript(page, "mailbox.js", /FIRST_BYTES = [^;]+;/, `FIRST_BYTES = ${bytes};`));
      const got = await page.evaluate(
        async ([texts, worker]) => {
          const { load, plain } = await import("/page.js");
          const results = [];
          for (const [weights, threads] of [["auto", 1], ["auto", 3], ["q8", 1], ["q8", 2]]) {
            const model = await load("f32-odd", { endpoint: "/fixtures", device: "cpu", weights, threads, worker });
            const { data } = plain(await model.embed(texts, { dtype: "float32" }));
            // More texts than one thread is given at once.
            const many = Array.from({ length: 40 }, (_, i) => texts.slice(0, 1 + (i % texts.length))).flat();
            const lasts = plain(await model.embed(many, { dtype: "float32" })).data;
            results.push({ weights, threads, data, lasts, info: model.info });
            await model.dispose();
          }
          return results;
        },
        [texts, worker],
      );
      for (const check of checks) check();
      sameVectors(chunks(got[0].data, 52), rows("pooled"));
      for (const { weights, threads, data, lasts, info } of got) {
        assert.deepEqual([info.device, info.why, info.threads], ["cpu", "asked for", threads]);
        const alone = got.find((other) => other.weights === weights && other.threads === 1);
        assert.deepEqual(data, alone.data, `${weights}, ${threads} threads`);
        assert.deepEqual(lasts, alone.lasts, `${weights}, ${threads} threads, many texts`);
      }
      await until(() => page.workers().length === 0, "all workers have ended");
    });
  });
}

test("a number of threads that cannot be is refused, and a small model has as many as there are cores", async () => {
  await browser.visit("/blank.html", async (page) => {
    const { errors, threads, cores } = await page.evaluate(async () => {
      const { load, failure } = await import("/page.js");
      const options = { endpoint: "/fixtures", device: "cpu" };
      const errors = [];
      for (const threads of [0, 257, 1.5, "2"]) errors.push(await failure(load("f32-odd", { ...options, threads })));
      const model = await load("f32-odd", options);
      const { threads } = model.info;
      await model.dispose();
      return { errors, threads, cores: navigator.hardwareConcurrency };
    });
    assert.equal(threads, Math.min(cores, 8));
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

/** The script of a helper, which once ends at its message number `count`. */
async function dieAt(page, count) {
  let dies = true;
  await page.route("**/helper.js", async (route) => {
    const mine = dies;
    dies = false;
    const response = await route.fetch();
    const death = `let left = ${count};
      addEventListener("message", () => { if (--left === 0) { globalThis.onmessage = null; setTimeout(() => { throw new Error("killed"); }); } });`;
    await route.fulfill({ response, body: `${mine ? death : ""}\n${await response.text()}` });
  });
}

test("a worker with a share of the weights that dies in the middle costs a reload, and no vector", async () => {
  await browser.visit("/blank.html", async (page) => {
    await shareRows(page);
    await dieAt(page, 200);
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

// The script of helpers calls `receive` for a message and for a question in shared memory.
for (const [what, count] of [["question", 30], ["message", 10]]) {
  test(`a fault of a worker with a share of the weights is heard of: ${what}`, async () => {
    await browser.visit("/blank.html", async (page) => {
      await shareRows(page);
      const fault = `((globalThis.left = (globalThis.left ?? ${count}) - 1) ? helper?.receive(${what}) : (() => { throw new Error("broke"); })())`;
      const check = await changeScript(page, "help.js", `helper?.receive(${what})`, fault);
      const got = await page.evaluate(async () => {
        const { load, sleep } = await import("/page.js");
        const notices = [];
        const onProgress = (p) => p.stage === "notice" && notices.push(p.message);
        const options = { endpoint: "/fixtures", device: "cpu", cache: false, threads: 2, onProgress };
        const use = async () => {
          const model = await load("f32-odd", options);
          for (let i = 0; i < 20; i++) await model.embed(["a text"], { onProgress });
          return "works";
        };
        const outcome = await Promise.race([use().catch((error) => String(error)), sleep(20_000).then(() => "hangs")]);
        return `${outcome}; ${notices}`;
      });
      check();
      assert.match(got, /a worker thread failed: .*broke/);
    });
  });
}

/** Embeds many texts with helpers that `prepare` makes fail, or not: vectors of the call, of another, and what was told. */
const many = (page, cancel) =>
  page.evaluate(async (cancel) => {
    const { load, failure, sleep } = await import("/page.js");
    const texts = Array.from({ length: 300 }, (_, i) => "A text of some length, and one more word. ".repeat(1 + (i % 7)));
    const soon = (work) => Promise.race([work, sleep(60_000).then(() => "hangs")]);
    const options = { endpoint: "/fixtures", device: "cpu", worker: false, cache: false };
    const alone = await load("f32-odd", { ...options, threads: 1 });
    const want = String((await alone.embed(texts)).data);
    await alone.dispose();
    const model = await load("f32-odd", { ...options, threads: 3 });
    const [notices, errors] = [[], []];
    for (let i = 0; cancel && i < 3; i++) {
      const stop = new AbortController();
      const heard = (p) => p.stage === "embed" && p.tokens > i * 1000 && stop.abort();
      errors.push((await soon(failure(model.embed(texts, { signal: stop.signal, onProgress: heard })))).code);
    }
    const onProgress = (p) => p.stage === "notice" && notices.push(p.message);
    const same = [];
    for (let i = 0; i < 3; i++) {
      same.push(String((await soon(model.embed(texts, { onProgress }))).data) === want);
    }
    await model.dispose();
    return { same, notices, errors };
  }, cancel);

test("a worker with a copy of the model that dies in the middle costs its thread, and no vector", async () => {
  await browser.visit("/blank.html", async (page) => {
    // The parts of the model, and then a few texts.
    await dieAt(page, 25);
    const got = await many(page, false);
    assert.deepEqual(got.same, [true, true, true]);
    assert.equal(got.notices.length, 1, got.notices.join("; "));
    assert.match(got.notices[0], /^goes on with a thread less: a worker thread failed: .*killed/);
    await until(() => page.workers().length === 0, "all workers have ended");
  });
});

test("a call that is cancelled leaves workers that go on", async () => {
  await browser.visit("/blank.html", async (page) => {
    const got = await many(page, true);
    assert.deepEqual(got, { same: [true, true, true], notices: [], errors: ["aborted", "aborted", "aborted"] });
    await until(() => page.workers().length === 0, "all workers have ended");
  });
});
