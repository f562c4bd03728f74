// Whatever is passed for an argument, the error is typed and names it: in Node.js, in a worker and in this thread.
import "./support.mjs";
import assert from "node:assert/strict";
import { test } from "node:test";
import { runInNewContext } from "node:vm";

import * as lib from "pplx-embed-web";
import "pplx-embed-web/mini";
import { opened, tryAll, tryRight } from "../web/arguments.js";

/** As in tests/web/arguments.test.mjs. */
const STEP = process.env.EVERY === "1" ? 1 : 5;

for (const worker of [true, false]) {
  test(`arguments ${worker ? "of a worker" : "of this thread"}`, async (t) => {
    const given = await opened(lib, { worker });
    t.after(() => given.dispose());
    const { count, wrong } = await tryAll(given, STEP);
    assert.deepEqual(wrong, []);
    assert.ok(count > 5000 / STEP, `only ${count} calls`);
    const other = runInNewContext("({ Array, Object, Int8Array, Uint8Array, Float32Array, Uint32Array })");
    for (const [got, want] of await tryRight(given, { ...other, AbortController })) assert.deepEqual(got, want);
  });
}
