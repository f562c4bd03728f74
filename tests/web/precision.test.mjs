// Activations of 8 bits on the processor: `precision: "fast"`.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { start } from "./browser.mjs";
import { chunks, cosine } from "./fixtures.mjs";

const TEXTS = ["When does the train to the coast leave?", "Die Tomaten brauchen Wasser.", "a"];

let browser;
before(async () => (browser = await start()));
after(() => browser.stop());

for (const worker of [true, false]) {
  test(`4-bit weights: near the exact vectors, and the same bits on any number of threads, ${worker ? "in a worker" : "in the page"}`, async () => {
    await browser.visit("/blank.html", async (page) => {
      const got = await page.evaluate(
        async ([texts, worker]) => {
          const { load, plain } = await import("/page.js");
          await import("/dist/mini.js");
          const results = [];
          for (const [precision, threads] of [["exact", 1], ["fast", 1], ["fast", 2], ["fast", 3]]) {
            const model = await load("mini", { device: "cpu", precision, threads, worker });
            const { data } = plain(await model.embed(texts, { dtype: "float32" }));
            const alone = plain(await model.embed(texts[1], { dtype: "float32" })).data;
            results.push({ precision, data, alone, info: model.info });
            await model.dispose();
          }
          return results;
        },
        [TEXTS, worker],
      );
      for (const { precision, info } of got) {
        assert.deepEqual([info.precision, info.weights], [precision, "q4"]);
        const family = precision === "fast" ? "relaxed_int8" : "simd128";
        assert.ok(info.kernels.includes(`matmul.${family}.q4`), info.kernels.join());
      }
      const [exact, fast, ...others] = got;
      const dim = exact.data.length / TEXTS.length;
      for (const other of others) assert.deepEqual(other.data, fast.data);
      assert.deepEqual(fast.alone, chunks(fast.data, dim)[1]);
      for (const [i, row] of chunks(fast.data, dim).entries()) {
        const far = 1 - cosine(row, chunks(exact.data, dim)[i]);
        assert.ok(far > 1e-8 && far < 1e-3, `text ${i}: 1 - cosine = ${far}`);
      }
    });
  });
}

test("weights that are no codes stay exact, those that were asked for are refused, and a GPU is exact", async () => {
  await browser.visit("/blank.html", async (page) => {
    const { infos, errors } = await page.evaluate(async () => {
      const { load, failure } = await import("/page.js");
      const infos = [];
      for (const device of ["cpu", "webgpu"]) {
        const model = await load("f32-odd", { endpoint: "/fixtures", device, precision: "fast" });
        infos.push(model.info);
        await model.dispose();
      }
      const options = { endpoint: "/fixtures", device: "cpu" };
      const wrong = [{ precision: "quick" }, { precision: "fast", weights: "f32" }, { precision: "fast", weights: "f16" }];
      const errors = [];
      for (const more of wrong) errors.push(await failure(load("f32-odd", { ...options, ...more })));
      return { infos, errors };
    });
    assert.deepEqual(infos.map(({ precision }) => precision), ["exact", "exact"]);
    for (const { code, message } of errors) {
      assert.equal(code, "invalid-argument");
      assert.match(message, /^precision: /);
    }
  });
});
