// Workers that embed some of the texts, in Node.js, Deno and Bun: the same bits, and the process ends.
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";

import { ROOT, run, RUNTIMES } from "./support.mjs";

for (const [name, runtime] of Object.entries(RUNTIMES)) {
  test(`${name}: workers that embed some of the texts`, { skip: runtime.why ?? false }, async () => {
    const { out, err, code } = await run([join(ROOT, "tests/node/threads.mjs")], { runtime });
    assert.equal(code, 0, `${out} ${err}`);
    const outcome = (threads) => ({ threads, code: "aborted", same: [true, true], notices: [] });
    assert.deepEqual(JSON.parse(out), [outcome(1), outcome(3), outcome(2)]);
  });
}
