// Whatever is passed for an argument, the error is typed and names it: in a page, in a worker and in the page's thread.
// Every fifth call is made; EVERY=1 makes all 16,000.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { start } from "./browser.mjs";

let browser;
before(async () => (browser = await start()));
after(() => browser.stop());

/** Has no divisor in common with the number of odd values, so that each of them comes to every argument of some call. */
const STEP = process.env.EVERY === "1" ? 1 : 5;

for (const worker of [true, false]) {
  test(`arguments ${worker ? "of a worker" : "of the page's thread"}`, async () => {
    await browser.visit("/blank.html", async (page) => {
      const { count, wrong, pairs } = await page.evaluate(async ([worker, step]) => {
        const lib = await import("/page.js");
        await import("/dist/mini.js");
        const { opened, tryAll, tryRight } = await import("/arguments.js");
        const given = await opened(lib, { worker });
        const frame = document.body.appendChild(document.createElement("iframe"));
        const pairs = await tryRight(given, frame.contentWindow);
        const all = await tryAll(given, step);
        await given.dispose();
        return { ...all, pairs };
      }, [worker, STEP]);
      assert.deepEqual(wrong, []);
      assert.ok(count > 5000 / STEP, `only ${count} calls`);
      for (const [got, want] of pairs) assert.deepEqual(got, want);
    });
  });
}
