// Activations of 8 bits where the runtime has the instructions for them (relaxed SIMD), and exact ones where it has not.
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";

import { ROOT, run, RUNTIMES } from "./support.mjs";

for (const [name, runtime] of Object.entries(RUNTIMES)) {
  test(`${name}: the info says what runs, and bits do not depend on threads`, { skip: runtime.why ?? false }, async () => {
    const { out, err, code } = await run([join(ROOT, "tests/node/precision.mjs")], { runtime });
    assert.equal(code, 0, err);
    const { relaxed, made: [exact, fast, shared] } = JSON.parse(out);
    const here = relaxed ? "fast" : "exact";
    assert.deepEqual([exact.ran, fast.ran, shared.ran], ["exact", here, here]);
    assert.deepEqual(shared.vector, fast.vector);
    assert.equal(fast.vector.every((value, i) => value === exact.vector[i]), !relaxed);
  });
}
