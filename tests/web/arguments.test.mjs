// Whatever is passed for an argument, the error is typed and names it: in a page, in a worker and in the page's thread.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { start } from "./browser.mjs";

let browser;
before(async () => (browser = await start()));
after(() => browser.stop());

for (const worker of [true, false]) {
  test(`arguments ${worker ? "of a worker" : "of the page's thread"}`, async () => {
    await browser.visit("/blank.html", async (page) => {
      const { count, wrong, pairs } = await page.evaluate(async (worker) => {
        const lib = await import("/page.js");
        await import("/dist/mini.js");
        const { opened, tryAll, tryRight } = await import("/arguments.js");
        const given = await opened(lib, { worker });
        const frame = document.body.appendChild(document.createElement("iframe"));
        const pairs = await tryRight(given, frame.contentWindow);
        const all = await tryAll(given);
        await given.dispose();
        return { ...all, pairs };
      }, worker);
      assert.deepEqual(wrong, []);
      assert.ok(count > 5000, `only ${count} calls`);
      for (const [got, want] of pairs) assert.deepEqual(got, want);
    });
  });
}
