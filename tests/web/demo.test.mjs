// The demo page: it loads its model, shows which lines are alike, searches as one types, and takes other lines.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";

import { start, until } from "./browser.mjs";

const LINES = readFileSync(new URL("../../www/sample.txt", import.meta.url), "utf8").trim().split("\n");
const TOPIC = (i) => Math.floor(i / 3); // the sample has three lines on each topic

let browser;
before(async () => (browser = await start()));
after(() => browser.stop());

const ready = (page) => page.waitForSelector("#ready:not([hidden])", { timeout: 60_000 });
const results = (page) => page.locator("#results .text").allInnerTexts();

test("lines that share words are alike, and a search finds them", async () => {
  await browser.visit("/", async (page) => {
    await ready(page);
    assert.match(await page.innerText(".note"), /does not understand text/);
    assert.deepEqual(await results(page), LINES);

    const cells = (await page.locator("#map td span").allInnerTexts()).map(Number);
    assert.equal(cells.length, LINES.length ** 2);
    const cosine = (i, j) => cells[i * LINES.length + j];
    for (const i of LINES.keys()) {
      assert.equal(cosine(i, i), 1);
      for (const j of LINES.keys()) assert.equal(cosine(i, j), cosine(j, i));
    }
    const mean = (same) => {
      const values = cells.filter((_, k) => {
        const [i, j] = [Math.floor(k / LINES.length), k % LINES.length];
        return i !== j && (TOPIC(i) === TOPIC(j)) === same;
      });
      return values.reduce((a, b) => a + b) / values.length;
    };
    assert.ok(mean(true) > mean(false) + 0.2, `${mean(true)} within topics, ${mean(false)} across`);

    const info = await page.innerText("#info");
    assert.match(info, /demo: 2 layers, 128 dimensions/);
    assert.match(info, /swiftshader \(software: right, but slow\)/);
    assert.match(info, /attention, head_norm_rope, /);

    // Typed letter by letter: each letter cancels the search before it.
    await page.locator("#query").pressSequentially("under the stone bridge");
    await until(async () => (await results(page))[0] === LINES[9], "the search has found the bridge");
    const scores = (await page.locator("#results .score").allInnerTexts()).map(Number);
    assert.equal(scores.length, 8);
    assert.deepEqual(scores, [...scores].sort((a, b) => b - a));
    await page.fill("#query", "");
    await until(async () => (await results(page))[0] === LINES[0], "the lines are in their order again");

    await page.hover("#map tbody tr:nth-child(4) td:nth-of-type(5)");
    const pair = await page.innerText("#pair");
    assert.ok(pair.includes(LINES[3]) && pair.includes(LINES[4]), pair);

    await page.click("summary");
    await page.fill("#lines", "one\ntwo\n\n  one  ");
    await page.click("#edit button");
    await until(async () => (await page.locator("#map td span").count()) === 9, "the other lines are embedded");
    assert.deepEqual(await results(page), ["one", "two", "one"]);
    assert.equal(await page.innerText('#map td[data-i="0"][data-j="2"]'), "1.00");
  });
});

test("a browser without WebGPU is told so", async () => {
  await browser.visit("/blank.html", async (page) => {
    await page.addInitScript(() => Object.defineProperty(Navigator.prototype, "gpu", { get: () => undefined }));
    await page.goto(browser.server.url);
    await until(() => page.isVisible("#loading.failed"), "the failure is shown");
    assert.match(await page.innerText("#status"), /no GPU adapter: this browser has no WebGPU.* Try a current Chrome/);
  });
});
