// The first example of the README prints what it says it prints, and its page searches. The numbers of the example depend
// on the weights of models/mini.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";

import { start, until } from "./browser.mjs";

const README = readFileSync(new URL("../../README.md", import.meta.url), "utf8");
const bare = (line) => line.replace(/\s/g, "");

let browser;
before(async () => (browser = await start()));
after(() => browser.stop());

test("the first example prints what its comments say", async () => {
  const example = /^```js\n(.*?)^```$/ms.exec(README)[1];
  const wanted = Array.from(example.matchAll(/^console\.log\(.*\); *\/\/ (.*)$/gm), ([, comment]) => comment);
  assert.ok(wanted.length > 0, example);
  const script = example.replace('"pplx-embed-web"', '"/dist/index.js"').replace('"pplx-embed-web/mini"', '"/dist/mini.js"');
  await browser.visit("/blank.html", async (page) => {
    const printed = [];
    page.on("console", (message) => message.type() === "log" && printed.push(message.text()));
    await page.route("**/readme.js", (route) => route.fulfill({ contentType: "text/javascript", body: script }));
    await page.evaluate(() => import("/readme.js"));
    assert.deepEqual(printed.map(bare), wanted.map(bare), `README.md, line by line: ${printed.join("; ")}`);
  });
});

test("the page to copy loads the model and searches", async () => {
  const html = /^```html\n(.*?)^```$/ms.exec(README)[1].replaceAll('"./pplx-embed-web/', '"/dist/');
  await browser.visit("/blank.html", async (page) => {
    await page.route("**/readme.html", (route) => route.fulfill({ contentType: "text/html", body: html }));
    await page.goto(new URL("/readme.html", browser.server.url).href);
    await until(async () => !(await page.isDisabled("#query")), "the model is loaded", 60);
    await page.fill("#query", "when does the train leave?");
    await page.press("#query", "Enter");
    await until(async () => (await page.locator("#hits li").count()) === 3, "there are hits");
    assert.match(await page.locator("#hits li").first().innerText(), /^[01]\.\d\d The train /);
  });
});
