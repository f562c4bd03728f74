// What fails once works the next time: buffers, devices, files and answers fail in turn, and the call is made again. Some
// buffers of each call; EVERY=1 takes them all.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { start } from "./browser.mjs";

/** How many buffers of a call fail, one in each run. */
const TRIES = process.env.EVERY === "1" ? Infinity : 4;

let browser;
before(async () => (browser = await start()));
after(() => browser.stop());

/** Puts wrappers around the browser's own WebGPU, before anything of the package runs. */
const wrapGpu = (page) =>
  page.addInitScript(() => {
    const faults = { devices: [], made: 0, failing: undefined, late: false };
    globalThis.faults = faults;
    const request = GPUAdapter.prototype.requestDevice;
    GPUAdapter.prototype.requestDevice = async function (...args) {
      const device = await request.apply(this, args);
      faults.devices.push(device);
      return device;
    };
    const create = GPUDevice.prototype.createBuffer;
    GPUDevice.prototype.createBuffer = function (descriptor) {
      if (++faults.made !== faults.failing) return create.call(this, descriptor);
      // As a browser does it: the buffer is there, and is an error, of which is told at once or a little later.
      this.pushErrorScope("validation");
      const broken = create.call(this, { ...descriptor, mappedAtCreation: false, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.STORAGE });
      void this.popErrorScope();
      const error = new GPUOutOfMemoryError("no room, says the test");
      const tell = () => this.dispatchEvent(new GPUUncapturedErrorEvent("uncapturederror", { error, cancelable: true }));
      if (faults.late) setTimeout(tell);
      else tell();
      return broken;
    };
  });

test("a device that is taken away costs a reload, and neither vectors nor rows", async () => {
  await browser.visit("/blank.html", async (page) => {
    await wrapGpu(page);
    await page.goto(page.url());
    const got = await page.evaluate(async () => {
      const { load, createIndex, openIndex, maxsim } = await import("/page.js");
      const lose = async () => {
        const device = faults.devices.at(-1);
        device.destroy();
        await device.lost;
      };
      const notices = [];
      const onProgress = (p) => p.stage === "notice" && notices.push(p.message);
      const options = { device: "webgpu", endpoint: new URL("/fixtures/", location.href), worker: false };
      const model = await load("f32-odd", options);
      const texts = ["a red bicycle", "the library", ""];
      const bits = async () => String((await model.embed(texts, { dtype: "float32", onProgress })).data);
      const rows = [await bits()];
      await lose();
      rows.push(await bits(), await bits());

      const index = await createIndex({ model });
      await index.add([{ id: "a", text: texts[0], data: 1 }, { id: "b", text: texts[1] }]);
      const search = async (index) => JSON.stringify(await index.search("a bicycle", { k: 2, onProgress }));
      const hits = [await search(index)];
      await lose();
      hits.push(await search(index));
      await lose();
      // Saving needs no device, adding does.
      const saved = await index.toBlob();
      await index.add([{ id: "c", text: "another" }], { onProgress });
      const sizes = [index.size];
      const opened = await openIndex(saved, { model });
      sizes.push(opened.size);
      hits.push(await search(opened));
      const tokens = { data: new Float32Array([1, 0, 0, 1]), offsets: new Uint32Array([0, 2]), dim: 2 };
      const scores = [[...(await maxsim(tokens, tokens))]];
      for (const device of faults.devices) device.destroy();
      scores.push([...(await maxsim(tokens, tokens))]);
      await model.dispose();
      return { rows, hits, sizes, scores, notices };
    });
    assert.ok(got.rows.every((row) => row === got.rows[0]), "the vectors have the same bits");
    assert.ok(got.hits.every((hit) => hit === got.hits[0]), got.hits.join("; "));
    assert.deepEqual(got.sizes, [3, 2]);
    assert.deepEqual(got.scores, [[2], [2]]);
    const again = got.notices.filter((notice) => /device was lost.*started again, on webgpu/.test(notice));
    assert.ok(again.length >= 2, got.notices.join("; "));
  });
});

test("a load to which the browser refuses an adapter, a device or one of its buffers: the next load works", async () => {
  await browser.visit("/blank.html", async (page) => {
    await wrapGpu(page);
    await page.goto(page.url());
    const got = await page.evaluate(async (tries) => {
      const { load } = await import("/page.js");
      // Told to find what fits, a load would go on with smaller weights, and say so in `info`.
      const options = { device: "webgpu", weights: "f32", endpoint: new URL("/fixtures/", location.href), worker: false };
      const bits = async () => {
        const model = await load("f32-odd", options);
        const { data } = await model.embed(["a red bicycle", "the library"], { dtype: "float32" });
        await model.dispose();
        return String(data);
      };
      const tried = () => bits().catch((error) => `${error.name} ${error.code}`);
      /** The next call of this method fails; gives what the load with it and the load after it gave. */
      const once = async (object, method, fail) => {
        const own = object[method];
        object[method] = function () {
          object[method] = own;
          return fail();
        };
        const broken = await tried();
        object[method] = own;
        return [broken, (await tried()) === want];
      };
      const want = await bits();
      const refused = async () => { throw new DOMException("no, says the test", "OperationError"); };
      const first = {
        adapter: await once(GPU.prototype, "requestAdapter", async () => null),
        device: await once(GPUAdapter.prototype, "requestDevice", refused),
      };

      const before = faults.made;
      await load("f32-odd", options).then((model) => model.dispose());
      const count = faults.made - before;
      const problems = [];
      for (let nth = 1; nth <= count; nth += Math.ceil(count / tries)) {
        [faults.failing, faults.late] = [faults.made + nth, nth % 2 === 0];
        const broken = await tried();
        faults.failing = undefined;
        if (broken !== "PplxEmbedError out-of-memory") problems.push(`${nth}: ${broken.slice(0, 200)}`);
        const again = await tried();
        if (again !== want) problems.push(`${nth}, again: ${again.slice(0, 200)}`);
      }
      return { first, problems, count };
    }, TRIES);
    assert.deepEqual(got.first, { adapter: ["PplxEmbedError no-adapter", true], device: ["PplxEmbedError no-adapter", true] });
    assert.deepEqual(got.problems, []);
    assert.ok(got.count > 10, String(got.count));
  }, [/is invalid due to a previous error/, /no room, says the test/]);
});

test("one buffer cannot be made, which is told at once or later: the next call works", async () => {
  await browser.visit("/blank.html", async (page) => {
    await wrapGpu(page);
    await page.goto(page.url());
    const got = await page.evaluate(async (tries) => {
      const { load, createIndex } = await import("/page.js");
      const options = { device: "webgpu", endpoint: new URL("/fixtures/", location.href), worker: false };
      const texts = ["a red bicycle", "the library opens at nine"];
      const bits = async (model) => String((await model.embed(texts, { dtype: "float32" })).data);
      const work = {
        embed: (model) => bits(model),
        index: async (model) => {
          const index = await createIndex({ model });
          await index.add([{ id: "a", text: texts[0] }, { id: "b", text: texts[1] }]);
          const hits = JSON.stringify(await index.search("a bicycle", { k: 2 }));
          await index.dispose();
          return hits;
        },
      };
      const problems = [];
      const counts = {};
      for (const [name, call] of Object.entries(work)) {
        const model = await load("f32-odd", options);
        const before = faults.made;
        const want = await call(model);
        counts[name] = faults.made - before;
        await model.dispose();
        for (let nth = 1; nth <= counts[name]; nth += Math.ceil(counts[name] / tries)) {
          const model = await load("f32-odd", options);
          [faults.failing, faults.late] = [faults.made + nth, nth % 2 === 0];
          // Rows for which the device has no room go to host memory.
          const first = await call(model).catch((error) => (error.code === "out-of-memory" ? want : String(error)));
          faults.failing = undefined;
          if (first !== want) problems.push(`${name} ${nth}: ${first.slice(0, 200)}`);
          const again = await call(model).catch((error) => String(error));
          if (again !== want) problems.push(`${name} ${nth}, again: ${again.slice(0, 200)}`);
          await model.dispose();
        }
      }
      return { problems, counts };
    }, TRIES);
    assert.deepEqual(got.problems, []);
    assert.ok(got.counts.embed > 5 && got.counts.index > 5, JSON.stringify(got.counts));
  }, [/is invalid due to a previous error/]);
});
