// Search indexes in a browser: what changes them, ends them, or is refused.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { start, until } from "./browser.mjs";

let browser;
before(async () => (browser = await start()));
after(() => browser.stop());

test("filters, replacing and removing, in the order of adding", async () => {
  await browser.visit("/blank.html", async (page) => {
    const got = await page.evaluate(async () => {
      const { createIndex, failure } = await import("/page.js");
      const index = await createIndex({ dimensions: 2 });
      const one = (id, x, y, data) => ({ id, vector: Int8Array.of(x, y), data });
      // All as good as each other.
      await index.add(["a", "b", "c", "d", "e"].map((id, i) => one(id, 1 + i, 0, { even: i % 2 === 0, tags: [id] })));
      const ids = async (options) => (await index.search(Int8Array.of(1, 0), options)).map((hit) => hit.id).join("");
      const result = { first: await ids(), three: await ids({ k: 3 }) };
      const asked = [];
      const filter = (id, data) => asked.push([id, data.tags[0]]) && data.even;
      result.filtered = await ids({ filter, k: 2 });
      result.asked = asked;
      result.none = await ids({ filter: () => false });
      result.thrown = await index.search(Int8Array.of(1, 0), { filter: () => { throw new RangeError("no"); } }).catch(String);
      await index.upsert([one("b", 9, 0, null), one("f", 9, 0)]);
      result.upserted = [index.ids().join(""), await ids(), index.size];
      result.data = (await index.search(Int8Array.of(1, 0))).map((hit) => hit.data);
      // Changing what a hit gave changes nothing.
      (await index.search(Int8Array.of(1, 0)))[0].data.tags.push("changed");
      result.intact = (await index.search(Int8Array.of(1, 0)))[0].data;
      result.removed = [await index.remove(["c", "c", "nobody"]), await index.remove("e"), await index.remove([])];
      result.left = [index.ids().join(""), await ids(), index.has("c"), index.has("d")];
      const again = await failure(index.add([one("z", 1, 0), one("d", 1, 0)]));
      const twice = await failure(index.upsert([one("z", 1, 0), one("z", 1, 0)]));
      result.refused = [again, twice].map(({ code, message }) => [code, message]);
      result.same = [index.ids().join(""), await ids(), index.has("z")];
      result.empty = [await index.add([]), await index.search([])];
      // Calls take turns: what is looked for after an add that nobody waited for is found.
      const adding = index.add([one("g", 0, 1)]);
      const found = index.search(Int8Array.of(0, 1), { k: 1, filter: (id) => id === "g" });
      result.turns = [(await found)[0].id, (await adding).tokens];
      await index.dispose();
      return result;
    });
    assert.deepEqual([got.first, got.three, got.filtered, got.none], ["abcde", "abc", "ac", ""]);
    assert.deepEqual(got.asked, ["a", "b", "c", "d", "e"].map((id) => [id, id]));
    assert.equal(got.thrown, "RangeError: no");
    assert.deepEqual(got.upserted, ["acdebf", "acdebf", 6]);
    assert.deepEqual(got.data.slice(0, 1), [{ even: true, tags: ["a"] }]);
    assert.deepEqual(got.data.slice(4), [null, undefined]);
    assert.deepEqual(got.intact, { even: true, tags: ["a"] });
    assert.deepEqual([got.removed, got.left], [[1, 1, 0], ["adbf", "adbf", false, true]]);
    assert.deepEqual(got.refused.map(([code]) => code), ["invalid-argument", "invalid-argument"]);
    assert.match(got.refused[0][1], /^items\[1\]\.id: "d" .*upsert/);
    assert.match(got.refused[1][1], /^items\[1\]\.id: "z" .*twice/);
    assert.deepEqual(got.same, ["adbf", "adbf", false]);
    assert.deepEqual(got.empty, [{ tokens: 0, truncated: [] }, []]);
    assert.deepEqual(got.turns, ["g", 0]);
  });
});

for (const worker of [true, false]) {
  test(`cancelling ${worker ? "in a worker" : "in the page's thread"} leaves the index as it was`, async () => {
    await browser.visit("/blank.html", async (page) => {
      const got = await page.evaluate(async (worker) => {
        const { createIndex, failure, load } = await import("/page.js");
        const model = await load("f32-odd", { endpoint: "/fixtures", worker });
        const index = await createIndex({ model });
        await index.add([{ id: "a", text: "a red bicycle" }, { id: "b", text: "a blue car" }]);
        const state = async () => [index.ids(), await index.search("bicycle"), index.info.bytes];
        const before = await state();
        const many = Array.from({ length: 2000 }, (_, i) => ({ id: `n${i}`, text: `number ${i}: ${"text ".repeat(40)}` }));
        const result = { codes: [] };
        for (const call of ["add", "upsert"]) {
          const stop = new AbortController();
          const heard = [];
          const onProgress = (p) => {
            heard.push(p.stage);
            if (heard.length === 2) stop.abort("enough");
          };
          const failed = await failure(index[call](many, { signal: stop.signal, onProgress }));
          result.codes.push(failed.code);
          result.heard = heard.length;
        }
        result.codes.push((await failure(index.add(many, { signal: AbortSignal.abort() }))).code);
        // One that waits for its turn is answered at once.
        const first = index.add([{ id: "c", text: "text ".repeat(400) }]);
        const stop = new AbortController();
        const waiting = failure(index.add([{ id: "d", text: "d" }], { signal: stop.signal }));
        stop.abort();
        result.codes.push((await Promise.race([waiting, first.then(() => ({ code: "too late" }))])).code);
        await first;
        result.after = [await index.remove("c"), index.has("d")];
        const looking = new AbortController();
        const searching = failure(index.search("text ".repeat(400), { signal: looking.signal }));
        looking.abort();
        result.codes.push((await searching).code);
        result.codes.push((await failure(createIndex({ model, signal: AbortSignal.abort() }))).code);
        const saving = new AbortController();
        const saved = failure(index.toBlob({ signal: saving.signal }));
        saving.abort();
        result.codes.push((await saved).code);
        result.states = [before, await state()].map(([ids, hits]) => [ids, hits]);
        await model.dispose();
        return result;
      }, worker);
      assert.deepEqual(got.codes, Array(7).fill("aborted"));
      assert.ok(got.heard >= 2);
      assert.deepEqual(got.after, [1, false]);
      assert.deepEqual(got.states[1], got.states[0]);
      assert.deepEqual(got.states[0][0], ["a", "b"]);
    });
  });
}

test("what was disposed of rejects, and takes nothing else with it", async () => {
  await browser.visit("/blank.html", async (page) => {
    const got = await page.evaluate(async () => {
      const { createIndex, failure, load, openIndex } = await import("/page.js");
      const model = await load("f32-odd", { endpoint: "/fixtures" });
      const [one, two] = [await createIndex({ model }), await createIndex({ model })];
      await two.add([{ id: "a", text: "a" }]);
      const running = failure(one.add([{ id: "a", text: "text ".repeat(400) }]));
      const waiting = failure(one.search("a"));
      await one.dispose();
      await one.dispose();
      const errors = [await running, await waiting, await failure(one.search("a")), await failure(one.toBlob())];
      const alive = [(await two.search("a"))[0].id, (await model.embed("a")).shape[0]];
      await two[Symbol.asyncDispose]();
      const three = await createIndex({ model });
      const last = failure(three.add([{ id: "a", text: "text ".repeat(400) }]));
      await model.dispose();
      errors.push(await last, await failure(three.save("x")), await failure(createIndex({ model })));
      errors.push(await failure(openIndex("x", { model })));
      await three.dispose();
      const own = await createIndex({ dimensions: 4 });
      await own.add([{ id: "a", vector: new Float32Array(4) }]);
      const end = own.dispose();
      errors.push(await failure(own.search(new Float32Array(4))));
      await end;
      return { errors: errors.map(({ code, message }) => [code, message]), alive };
    });
    for (const [i, [code, message]] of got.errors.entries()) {
      assert.equal(code, "disposed", `${i}: ${message}`);
      assert.match(message, i < 4 || i === 8 ? /^the index was/ : /^the model was/, String(i));
    }
    assert.deepEqual(got.alive, ["a", 1]);
    await until(() => page.workers().length === 0, "no worker is left");
  });
});

test("wrong arguments are refused by name", async () => {
  await browser.visit("/blank.html", async (page) => {
    const got = await page.evaluate(async () => {
      const { createIndex, deleteIndex, failure, load, openIndex } = await import("/page.js");
      const model = await load("late-st", { endpoint: "/fixtures" });
      const index = await createIndex({ dimensions: 4, worker: false });
      const late = await createIndex({ dimensions: 4, kind: "late", worker: false });
      const own = await createIndex({ model });
      const vector = new Int8Array(4);
      const f32 = Float32Array.of(1, 2, 3, 4);
      await index.add([{ id: "a", vector }]);
      await own.add([{ id: "x", text: "x" }]);
      const item = (more) => [{ id: "x", vector }, { id: "y", vector, ...more }];
      const cyclic = {};
      cyclic.self = cyclic;
      const calls = [
        ["options", () => createIndex({ dimension: 4 })],
        ["dimensions", () => createIndex()],
        ["dimensions", () => createIndex({ dimensions: 0, worker: false })],
        ["dimensions", () => createIndex({ dimensions: 65_537, worker: false })],
        ["dimensions", () => createIndex({ dimensions: "4" })],
        ["kind", () => createIndex({ dimensions: 4, kind: "sparse", worker: false })],
        ["dtype", () => createIndex({ dimensions: 4, dtype: "int4", worker: false })],
        ["dtype", () => createIndex({ dimensions: 4, dtype: "float16", worker: false })],
        ["firstPass", () => createIndex({ dimensions: 4, firstPass: true, worker: false })],
        ["memory", () => createIndex({ dimensions: 4, memory: -1, worker: false })],
        ["model", () => createIndex({ model: { info: model.info } })],
        ["worker", () => createIndex({ model, worker: true })],
        ["wasmUrl", () => createIndex({ model, wasmUrl: "/x.wasm" })],
        ["signal", () => createIndex({ dimensions: 4, signal: 5 })],
        ["items", () => index.add("text")],
        ["items[1]", () => index.add([{ id: "x", vector }, null])],
        ["items[1]", () => index.add(item({ title: "lost" }))],
        ["items[1]", () => index.add(item({ text: "both" }))],
        ["items[1]", () => index.add([{ id: "x", vector }, { id: "y" }])],
        ["items[0].text", () => index.add([{ id: "x", text: "no model" }])],
        ["items[1].id", () => index.add(item({ id: 5 }))],
        ["items[1].id", () => index.add(item({ id: "" }))],
        ["items[1].id", () => index.add(item({ id: "é".repeat(513) }))],
        ["items[1].id", () => index.add(item({ id: "\udc00" }))],
        ["items[1].data", () => index.add(item({ data: () => {} }))],
        ["items[1].data", () => index.add(item({ data: 5n }))],
        ["items[1].data", () => index.add(item({ data: cyclic }))],
        ["items[1].data", () => index.add(item({ data: "x".repeat(65_536) }))],
        ["items[1].vector", () => index.add(item({ vector: [1, 2, 3, 4] }))],
        ["items[1].vector", () => index.add(item({ vector: new Int8Array(5) }))],
        ["items[1].vector", () => index.add(item({ vector: f32 }))],
        ["items[1].vector", () => index.add([{ id: "x", vector: f32 }, { id: "y", vector: Float32Array.of(0, NaN, 0, 0) }])],
        ["items[1].scales", () => index.add(item({ scales: new Float32Array(1) }))],
        ["items[0].scales", () => late.add([{ id: "x", vector, scales: new Float32Array(2) }])],
        ["items[0].text", () => own.add([{ id: "x", text: 5 }])],
        ["items[1].text", () => own.add([{ id: "x", text: "a" }, { id: "y", text: "\ud800" }])],
        ["items[0].chunks", () => own.add([{ id: "x", chunks: ["a"] }])],
        ["items[1]", () => own.add([{ id: "x", text: "a" }, { id: "y", vector: new Float32Array(24) }])],
        ["options", () => index.add([], { onprogress: () => {} })],
        ["ids[1]", () => index.remove(["a", 5])],
        ["ids", () => index.remove(5)],
        ["queries[0]", () => index.search("no model")],
        ["queries[0]", () => index.search(new Int8Array(8))],
        ["queries[1]", () => index.search([vector, new Int8Array()])],
        ["queries[1]", () => index.search([vector, f32])],
        ["queries[0]", () => index.search(null)],
        ["queries[0]", () => index.search([[1, 2, 3, 4]])],
        ["queries[0].scales", () => index.search({ vector, scales: new Float32Array(1) })],
        ["queries[0]", () => late.search(new Float32Array())],
        ["queries[1]", () => own.search(["a", "\ud800"])],
        ["queries[1]", () => own.search(["a", new Float32Array(24)])],
        ["queries[0]", () => own.search(Float32Array.from({ length: 24 }, () => Infinity))],
        ["k", () => index.search(vector, { k: 0 })],
        ["k", () => index.search(vector, { k: 1.5 })],
        ["k", () => index.search(vector, { k: "10" })],
        ["rescore", () => index.search(vector, { rescore: -1 })],
        ["candidates", () => index.search(vector, { candidates: {} })],
        ["filter", () => index.search(vector, { filter: "a" })],
        ["options", () => index.search(vector, { limit: 5 })],
        ["query", () => own.explain("\ud800", "x")],
        ["id", () => own.explain("a", 5)],
        ["text", () => own.explain("a", "x", { text: 5 })],
        ["target", () => index.save("")],
        ["target", () => index.save("../x")],
        ["target", () => index.save(".hidden")],
        ["target", () => index.save("a".repeat(65))],
        ["target", () => index.save({})],
        ["target", () => index.save(locked())],
        ["source", () => openIndex("a/b")],
        ["source", () => openIndex(undefined)],
        ["recover", () => openIndex("a", { recover: 1 })],
        ["options", () => openIndex("a", { kind: "dense" })],
        ["name", () => deleteIndex("a b")],
      ];
      function locked() {
        const stream = new WritableStream();
        stream.getWriter();
        return stream;
      }
      const errors = [];
      for (const [argument, call] of calls) errors.push([argument, await failure(call())]);
      const dense = await failure(index.explain(vector, "a"));
      const sizes = [index.size, late.size, own.size];
      await model.dispose();
      return { errors, dense, sizes };
    });
    for (const [argument, { code, message }] of got.errors) {
      assert.equal(code, "invalid-argument", `${argument}: ${message}`);
      assert.ok(message.startsWith(`${argument}: `), `${message} does not name ${argument}`);
    }
    assert.equal(got.dense.code, "unsupported");
    assert.deepEqual(got.sizes, [1, 0, 1]);
  });
});
