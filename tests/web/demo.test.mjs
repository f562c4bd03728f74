// The demo page: it loads the model of the package, finds in the documentation what a person would point at, shows which
// tokens match and which lines are alike, and takes other lines.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";

import { start, until } from "./browser.mjs";

const LINES = readFileSync(new URL("../../www/sample.txt", import.meta.url), "utf8").trim().split("\n");
const TOPIC = (i) => Math.floor(i / 3); // the sample has three lines on each topic
const MINUTE = 60;

/** Queries, and what the best hit says; or, where the model may find other good ones, one of the hits. */
const BEST = {
  "how do I cancel a download?": /AbortController/,
  "which browsers were tested?": /Chromium \d+/,
  "what happens when the disk is full?": /storage-full/,
  "is my text sent to a server?": /stay in the browser/,
};
const AMONG = {
  "what does quantizing cost in accuracy": /quantizing costs in accuracy/,
  "Welche Browser wurden getestet?": /Chromium \d+/,
};

let browser;
before(async () => (browser = await start()));
after(() => browser.stop());

const ready = (page) => page.waitForSelector("#playground[data-ready]", { timeout: 60_000 });
const results = (page) => page.locator("#results .text").allInnerTexts();
const hits = (page) => page.locator("#hits li").allInnerTexts();

test("the documentation is searched by meaning, and the best hit explained token by token", async () => {
  await browser.visit("/", async (page) => {
    const requests = [];
    page.context().on("request", (request) => requests.push(new URL(request.url()).pathname));
    await ready(page);
    assert.match(await page.innerText(".note"), /mini, not Perplexity's models.*7\.5 million.*Debian/s);
    await until(async () => !(await page.isVisible("#indexing")), "all of the documentation is indexed", 5 * MINUTE);
    assert.match(await page.innerText("#info"), /Documentation indexed in\s+[\d.]+ m?s \(\d{3} paragraphs, \d+ tokens\)/);

    const found = async (query) => {
      await until(async () => (await page.getAttribute("#hits", "data-query")) === query, `hits for ${query}`, MINUTE);
      return hits(page);
    };
    for (const [query, wanted] of Object.entries({ ...BEST, ...AMONG })) {
      await page.click(`#examples button:text-is("${query}")`);
      const texts = await found(query);
      assert.equal(texts.length, 6);
      const good = texts.findIndex((text) => wanted.test(text));
      assert.ok(query in BEST ? good === 0 : good >= 0, `${query}: ${texts.join("\n\n")}`);
    }

    // Typed letter by letter: each letter cancels the search before it.
    await page.fill("#query", "");
    await page.locator("#query").pressSequentially("which browsers were tested?");
    const [first] = await found("which browsers were tested?");
    assert.match(first, /docs\/questions\.md/);
    const scores = (await page.locator("#hits .score").allInnerTexts()).map(Number);
    assert.deepEqual(scores, [...scores].sort((a, b) => b - a));
    assert.equal(await page.locator("#hits li").first().locator("mark").count(), 1);

    assert.ok(!requests.some((path) => path.includes("1_Dense")), "mini-late was loaded before it was asked for");
    await page.click("#align");
    await page.waitForSelector("#aligned:not([hidden])", { timeout: 60_000 });
    const words = await page.locator("#aligned-query button:not(.filler)").allInnerTexts();
    assert.equal(words.join("").replace(/\s/g, ""), "whichbrowsersweretested?");
    const text = await page.innerText("#aligned-text");
    assert.match(text, /^Which browsers were tested\? Chromium \d+ only\./);
    // The text has the query's own words.
    await page.click('#aligned-query button:text-is("browsers")');
    assert.match(await page.innerText("#aligned-pair"), /^browsers → browsers [01]\.\d\d$/);
    assert.equal(await page.innerText("#aligned-text .lit"), "browsers");
    const sum = Number(/^[\d.]+/.exec(await page.innerText("#aligned-score"))[0]);
    assert.ok(sum > 1, `${sum}`);
    // It follows the query.
    await page.click('#examples button:text-is("what happens when the disk is full?")');
    await until(async () => /storage-full/.test(await page.innerText("#aligned-text")), "the other text is aligned", MINUTE);
  });
});

test("lines that mean the same are alike without sharing words, and a search finds them", async () => {
  await browser.visit("/", async (page) => {
    await ready(page);
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
    assert.match(info, /mini: 4 layers, 256 dimensions/);
    assert.match(info, /the processor: the only GPU is software/);
    assert.match(info, /attention\.simd128\.64, pool\.simd128, /);

    await page.fill("#line-query", "photo software");
    await until(async () => (await page.locator("#results li").count()) === 8, "the search has ended", MINUTE);
    assert.equal(TOPIC(LINES.indexOf((await results(page))[0])), 2);
    const scores = (await page.locator("#results .score").allInnerTexts()).map(Number);
    assert.deepEqual(scores, [...scores].sort((a, b) => b - a));
    await page.fill("#line-query", "");
    await until(async () => (await results(page))[0] === LINES[0], "the lines are in their order again", MINUTE);

    await page.hover("#map tbody tr:nth-child(4) td:nth-of-type(5)");
    const pair = await page.innerText("#pair");
    assert.ok(pair.includes(LINES[3]) && pair.includes(LINES[4]), pair);

    await page.click("summary");
    await page.fill("#lines", "one\ntwo\n\n  one  ");
    await page.click("#edit button");
    await until(async () => (await page.locator("#map td span").count()) === 9, "the other lines are embedded", MINUTE);
    assert.deepEqual(await results(page), ["one", "two", "one"]);
    assert.equal(await page.innerText('#map td[data-i="0"][data-j="2"]'), "1.00");
  });
});

test("a browser without WebGPU runs on the processor and is told so", async () => {
  await browser.visit("/blank.html", async (page) => {
    await page.addInitScript(() => Object.defineProperty(Navigator.prototype, "gpu", { get: () => undefined }));
    // A worker has a navigator of its own.
    await page.route("**/worker.js", async (route) => {
      const response = await route.fetch();
      const hide = "Object.defineProperty(WorkerNavigator.prototype, 'gpu', { get: () => undefined });";
      await route.fulfill({ response, body: `${hide}\n${await response.text()}` });
    });
    await page.goto(browser.server.url);
    await until(() => page.isVisible("#info"), "the model is loaded", MINUTE);
    const info = await page.innerText("#info");
    assert.match(info, /the processor: no GPU adapter/);
    assert.match(info, /attention\.simd128/);
  });
});
