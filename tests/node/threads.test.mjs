// Workers in Node.js, Deno and Bun, that embed some of the texts or have a share of every weight: the same bits, and the
// process ends.
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";

import { ROOT, run, RUNTIMES } from "./support.mjs";

/** The package, of which every model is one that is too large to be copied. */
let changed;
before(() => {
  changed = mkdtempSync(join(tmpdir(), "pplx-embed-web-"));
  cpSync(join(ROOT, "dist"), changed, { recursive: true });
  const script = join(changed, "engine/helpers.js");
  const text = readFileSync(script, "utf8");
  const body = text.replace(/COPIES_BYTES = [^;]+;/, "COPIES_BYTES = 0;");
  assert.notEqual(body, text);
  writeFileSync(script, body);
});
after(() => rmSync(changed, { recursive: true }));

for (const [name, runtime] of Object.entries(RUNTIMES)) {
  for (const what of ["embed some of the texts", "have a share of every weight"]) {
    test(`${name}: workers that ${what}`, { skip: runtime.why ?? false }, async () => {
      const root = what.includes("share") ? [`${pathToFileURL(changed).href}/`] : [];
      const { out, err, code } = await run([join(ROOT, "tests/node/threads.mjs"), ...root], { runtime });
      assert.equal(code, 0, `${out} ${err}`);
      const outcome = (threads) => ({ threads, code: "aborted", same: [true, true], notices: [] });
      assert.deepEqual(JSON.parse(out), [outcome(1), outcome(3), outcome(2)]);
    });
  }
}
