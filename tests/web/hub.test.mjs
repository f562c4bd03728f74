// The Hub's protocol in a browser: two other origins, a token for one of them, and faults on the way.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { start } from "./browser.mjs";

let browser;
before(async () => (browser = await start()));
after(() => browser.stop());

const LOST_TRANSFER = /^Failed to load resource: /;
const WEIGHTS = "/xet-bridge/";

/** Loads f32-odd from the Hub while it has these faults: the vector of a text, or how it fails; and what was asked. */
async function loading(faults, { abortAfter, ...options } = {}) {
  const { hub } = browser.server;
  hub.control({ faults, log: [], private: { "f32-odd": "hf_secret" } });
  const result = { vector: undefined, failed: undefined };
  const visit = async (page) => {
    Object.assign(result, await page.evaluate(
      async ([options, abortAfter]) => {
        const { load, failure, plain } = await import("/page.js");
        const signal = abortAfter && AbortSignal.timeout(abortAfter);
        const loaded = load("f32-odd", { ...options, signal });
        const failed = await failure(loaded);
        if (failed.message) return { failed };
        const model = await loaded;
        const vector = plain(await model.embed("a river"));
        await model.dispose();
        return { vector };
      },
      [{ endpoint: hub.hub, token: "hf_secret", ...options }, abortAfter],
    ));
  };
  await browser.visit("/blank.html", visit, [LOST_TRANSFER]);
  const { requests } = hub.log();
  for (const { origin, headers } of requests.filter(({ method }) => method === "GET")) {
    const token = `Bearer ${options.token ?? "hf_secret"}`;
    assert.equal(headers.authorization, origin === "hub" ? token : undefined);
    assert.deepEqual([headers.cookie, headers.referer], [undefined, undefined]);
  }
  return { ...result, requests };
}

let want;
for (const worker of [true, false]) {
  test(`a model comes from the Hub, ${worker ? "in a worker" : "in the page's thread"}`, async () => {
    const local = await loading([], { endpoint: "/fixtures", token: undefined, worker });
    const { vector, requests } = await loading([], { worker });
    assert.ok(vector);
    assert.deepEqual(vector, local.vector);
    want = vector;
    assert.ok(requests.some(({ origin, path }) => origin === "cdn" && path.startsWith(WEIGHTS)));
  });
}

test("what passes is waited out, and a body that breaks off is continued", async () => {
  const { vector, requests } = await loading([
    { kind: "status", status: 503, path: "/api/" },
    { kind: "cut", at: -1, path: "/tree/" },
    { kind: "truncate", at: 10, path: "/tree/" },
    { kind: "status", status: 429, headers: { "Retry-After": "1" }, path: "/resolve/" },
    { kind: "cut", at: 100_000, path: WEIGHTS, origin: "cdn" },
    { kind: "cut", at: 100_000, path: WEIGHTS, origin: "cdn" },
    { kind: "full", path: WEIGHTS, origin: "cdn" },
  ]);
  assert.deepEqual(vector, want);
  const ranges = requests.filter(({ origin, headers }) => origin === "cdn" && headers.range);
  assert.ok(ranges.length >= 1, "no Range was asked for");
  // A single range is allowed without asking first; If-Range would not be.
  assert.ok(requests.every(({ origin, method }) => origin !== "cdn" || method === "GET"));
});

test("bytes that are not the model's are an error, and nothing else is", async () => {
  const { failed } = await loading([{ kind: "corrupt", at: 200_000, path: WEIGHTS, always: true }]);
  assert.deepEqual([failed?.code, failed?.name], ["integrity", "PplxEmbedError"], failed?.message);
  assert.match(failed.message, /^(model\.safetensors|tokenizer\.json): is sha256:[0-9a-f]{64}, expected sha256:/);
  assert.deepEqual((await loading([{ kind: "etag", path: WEIGHTS }, { kind: "encode", path: WEIGHTS }])).vector, want);
});

test("a Hub that refuses, or stays broken", async () => {
  const refused = (await loading([], { token: "hf_other" })).failed;
  assert.equal(refused.code, "network");
  assert.match(refused.message, /401 Invalid username or password.*private/);
  assert.doesNotMatch(refused.message, /hf_other/);
  const broken = (await loading([{ kind: "status", status: 500, path: "/revision/", always: true }])).failed;
  assert.equal(broken.code, "network");
  // An answer that is not the Hub's must not switch the checks off.
  const posing = (await loading([{ kind: "html", path: "/revision/" }])).failed;
  assert.equal(posing.code, "network");
  assert.match(posing.message, /is a Hub/);
});

test("a wait ends when the caller cancels", { timeout: 60_000 }, async () => {
  // The server asks for minutes. It is of the page's own origin: the Hub lets no other page see what it asks for.
  const { failed } = await loading([], { endpoint: "/fault/busy", abortAfter: 1500, worker: false });
  assert.equal(failed?.code, "aborted");
});
