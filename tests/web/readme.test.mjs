// The first example of the README prints what it says it prints. Its numbers depend on the weights of models/mini.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { start } from "./browser.mjs";

const README = readFileSync(new URL("../../README.md", import.meta.url), "utf8");
const bare = (line) => line.replace(/\s/g, "");

test("the first example prints what its comments say", async () => {
  const example = /^```js\n(.*?)^```$/ms.exec(README)[1];
  const wanted = Array.from(example.matchAll(/^console\.log\(.*\); *\/\/ (.*)$/gm), ([, comment]) => comment);
  assert.ok(wanted.length > 0, example);
  const script = example.replace('"pplx-embed-web"', '"/dist/index.js"').replace('"pplx-embed-web/mini"', '"/dist/mini.js"');
  const browser = await start();
  try {
    await browser.visit("/blank.html", async (page) => {
      const printed = [];
      page.on("console", (message) => message.type() === "log" && printed.push(message.text()));
      await page.route("**/readme.js", (route) => route.fulfill({ contentType: "text/javascript", body: script }));
      await page.evaluate(() => import("/readme.js"));
      assert.deepEqual(printed.map(bare), wanted.map(bare), `README.md, line by line: ${printed.join("; ")}`);
    });
  } finally {
    await browser.stop();
  }
});
