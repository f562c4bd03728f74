// The same in Deno and Bun, which npm installs with the tools of this repository.
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";

import { ROOT, run, RUNTIMES } from "./support.mjs";
import { serveHub } from "../hub/server.mjs";

let hub;
before(async () => (hub = await serveHub({ root: join(ROOT, "models") })));
beforeEach(() => hub.control({ log: [], faults: [], private: { demo: "hf_secret" } }));
after(() => hub.close());

for (const name of ["deno", "bun"]) {
  const runtime = RUNTIMES[name];
  const skip = runtime.why ?? false;

  test(`${name}: folders, mini, a Hub and its cache, indexes`, { skip }, async () => {
    const { out, err, code } = await run([join(ROOT, "tests/node/smoke.mjs"), hub.hub], { runtime });
    assert.deepEqual([out.trim(), code], ["ok", 0], err);
    const { requests } = hub.log();
    assert.ok(requests.some(({ origin }) => origin === "cdn"));
    for (const { origin, headers } of requests) {
      assert.equal(headers.authorization, origin === "hub" ? "Bearer hf_secret" : undefined, "a token went astray");
    }
  });

  test(`${name}: a cache that Node.js fills at the same time`, { skip }, async () => {
    const options = JSON.stringify({ endpoint: hub.hub, token: "hf_secret", cache: { name } });
    const load = (runtime) => run([join(ROOT, "tests/node/load.mjs"), "demo", options], { runtime });
    const [own, other] = await Promise.all([load(RUNTIMES.node), load(runtime)]);
    assert.deepEqual([own.code, other.code], [0, 0], own.err + other.err);
    assert.deepEqual(JSON.parse(other.out).codes, JSON.parse(own.out).codes);
    const weights = hub.log().requests.filter(({ origin, path }) => origin === "cdn" && path.includes("xet-bridge"));
    assert.equal(new Set(weights.map(({ path }) => path)).size, weights.length, "each file was asked for once");
  });
}

test("deno: its own WebGPU, or an error if it finds no adapter", { skip: RUNTIMES.deno.why ?? false }, async (t) => {
  const { out, err, code } = await run([join(ROOT, "tests/node/gpu.mjs")], { runtime: RUNTIMES.deno });
  assert.equal(code, 0, err);
  t.diagnostic(`adapter: ${out.trim()}`);
});
