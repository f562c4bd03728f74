// Where the memory of the wasm module cannot grow, calls say so, and nothing hangs.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { start } from "./browser.mjs";
import { limited } from "./limited.mjs";

let browser;
before(async () => (browser = await start()));
after(() => browser.stop());

// From none to what a model nearly fits: so it ends while the tokenizer is read, weights, or in a call.
for (const worker of [true, false]) {
  test(`memory that cannot grow is named, ${worker ? "in a worker" : "in the page's thread"}`, async () => {
    const outcomes = [];
    for (const pages of [1, 64, 200, 300, 10_000]) {
      const visit = async (page) => {
        await page.route("**/pplx_embed_bg.wasm", async (route) => {
          const response = await route.fetch();
          await route.fulfill({ response, body: limited(await response.body(), pages) });
        });
        const embedded = async (worker) => {
          const { load } = await import("/page.js");
          await import("/dist/mini.js");
          const model = await load("mini", { device: "cpu", threads: 1, cache: false, worker });
          for (const count of [1, 1000]) await model.embed("of the ".repeat(count));
          return { code: "none: it succeeded" };
        };
        const got = await page.evaluate(
          `Promise.race([(${embedded})(${worker}).catch(({ code, message }) => ({ code, message })),
            new Promise((resolve) => setTimeout(resolve, 30_000, { code: "hangs" }))])`,
        );
        outcomes.push([pages, got.code]);
        if (got.code === "out-of-memory") assert.match(got.message, /memory/);
      };
      await browser.visit("/blank.html", visit, [/unreachable/]);
    }
    const codes = outcomes.map(([, code]) => code);
    assert.deepEqual(codes.slice(0, -1), Array(4).fill("out-of-memory"), JSON.stringify(outcomes));
    assert.equal(codes.at(-1), "none: it succeeded");
  });
}
