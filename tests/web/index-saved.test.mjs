// Search indexes that are saved in a browser: what is opened is what was saved, or an error.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { start } from "./browser.mjs";

let browser;
before(async () => (browser = await start()));
after(() => browser.stop());

const noOpfs = (page) =>
  page.addInitScript(() => Object.defineProperty(StorageManager.prototype, "getDirectory", { value: undefined }));

/** In the page: an index of `count` items of 64 dimensions, some of them with data. */
const MAKE = `
  globalThis.make = async (count, options) => {
    const { createIndex } = await import("/page.js");
    const index = await createIndex({ dimensions: 64, ...options });
    const row = (i) => Int8Array.from({ length: 64 }, (_, j) => ((i * 31 + j * 17 + i * j) % 255) - 127);
    await index.add(Array.from({ length: count }, (_, i) => ({ id: "i" + i, vector: row(i), ...(i % 3 && { data: { i } }) })));
    return index;
  };
  globalThis.query = Int8Array.from({ length: 64 }, (_, j) => (j * 37) % 100 - 50);
`;

for (const [place, worker, prepare] of [
  ["OPFS, in a worker", true], ["OPFS, in the page's thread", false], ["the Cache API", false, noOpfs],
]) {
  test(`${place}: saved, and the same after the page was reloaded`, async () => {
    await browser.visit("/blank.html", async (page) => {
      await page.addInitScript(MAKE);
      await prepare?.(page);
      await page.reload();
      const before = await page.evaluate(async (worker) => {
        const { listIndexes, failure, openIndex } = await import("/page.js");
        const index = await make(500, { worker });
        await index.remove(["i3", "i499"]);
        await index.upsert([{ id: "i7", vector: query, data: "moved" }]);
        await index.save("notes.v1");
        await index.save("notes");
        await index.save("notes");
        const hits = await index.search(query, { k: 20 });
        const missing = await failure(openIndex("nothing", { worker }));
        return { hits, ids: index.ids(), saved: await listIndexes(), missing };
      }, worker);
      assert.deepEqual([before.hits[0].id, before.ids.length, before.ids.at(-1)], ["i7", 498, "i7"]);
      assert.deepEqual(before.saved.map(({ name }) => name), ["notes", "notes.v1"]);
      assert.ok(before.saved[0].bytes > 498 * 64 && before.saved[0].bytes === before.saved[1].bytes);
      assert.equal(before.missing.code, "not-found");
      assert.match(before.missing.message, /^index "nothing"/);

      await page.reload();
      const got = await page.evaluate(async (worker) => {
        const { deleteIndex, listIndexes, openIndex } = await import("/page.js");
        const index = await openIndex("notes", { worker });
        const result = { hits: await index.search(query, { k: 20 }), ids: index.ids(), info: index.info };
        const blob = await index.toBlob();
        const fromBlob = await openIndex(new File([blob], "x.index"), { worker });
        result.fromBlob = await fromBlob.search(query, { k: 20 });
        const parts = [];
        const stream = new WritableStream({ write: (bytes) => void parts.push(bytes), close: () => parts.push("closed") });
        await fromBlob.save(stream);
        result.closed = parts.pop();
        const written = new Uint8Array(await new Blob(parts).arrayBuffer());
        const whole = new Uint8Array(await blob.arrayBuffer());
        result.bytes = [blob.size, written.length, written.every((b, i) => b === whole[i])];
        result.freed = [await deleteIndex("notes"), await deleteIndex("notes")];
        result.left = await listIndexes();
        // What was opened stays as it is.
        result.after = await index.search(query, { k: 20 });
        await index.dispose();
        await fromBlob.dispose();
        return result;
      }, worker);
      assert.deepEqual([got.hits, got.ids], [before.hits, before.ids]);
      assert.deepEqual([got.fromBlob, got.after], [before.hits, before.hits]);
      assert.equal(got.closed, "closed");
      assert.deepEqual(got.bytes, [before.saved[0].bytes, before.saved[0].bytes, true]);
      assert.deepEqual(got.freed, [before.saved[0].bytes, 0]);
      assert.deepEqual(got.left, [before.saved[1]]);
    });
  });
}

test("a model's index is opened with it, and not with another", async () => {
  await browser.visit("/blank.html", async (page) => {
    const got = await page.evaluate(async () => {
      const { createIndex, failure, load, openIndex } = await import("/page.js");
      const model = await load("f32-odd", { endpoint: "/fixtures" });
      const index = await createIndex({ model });
      await index.add([{ id: "a", text: "a red bicycle" }, { id: "b", text: "a blue car" }]);
      await index.save("models");
      const hits = await index.search("car");
      await index.dispose();
      const again = await openIndex("models", { model });
      await again.add([{ id: "c", text: "a blue car" }]);
      const both = await again.search("car");
      const bare = await openIndex("models");
      const vector = (await model.embed("car")).row(0);
      const result = {
        hits, both, bare: await bare.search(vector), model: bare.info.model,
        text: await failure(bare.search("car")), add: await failure(bare.add([{ id: "x", text: "x" }])),
      };
      const other = await load("f32-gqa2", { endpoint: "/fixtures" });
      result.other = await failure(openIndex("models", { model: other }));
      await Promise.all([model.dispose(), other.dispose(), bare.dispose()]);
      return result;
    });
    assert.deepEqual(got.bare, got.hits);
    const [b, c] = ["b", "c"].map((id) => got.both.findIndex((hit) => hit.id === id));
    assert.deepEqual([got.both.length, c - b], [3, 1]);
    assert.equal(got.both[b].score, got.both[c].score);
    assert.equal(got.model, "f32-odd");
    for (const [name, at] of [["text", "queries[0]: "], ["add", "items[0].text: "], ["other", "model: "]]) {
      assert.equal(got[name].code, "invalid-argument", name);
      assert.ok(got[name].message.startsWith(at), got[name].message);
    }
  });
});

test("files that are cut or changed are refused, and what is whole of them can be had", async () => {
  await browser.visit("/blank.html", async (page) => {
    await page.addInitScript(MAKE);
    await page.reload();
    const got = await page.evaluate(async () => {
      const { failure, openIndex } = await import("/page.js");
      // Two blocks: more than 4 MiB of data.
      const index = await make(2);
      const big = Array.from({ length: 100 }, (_, i) => ({ id: "b" + i, vector: query, data: "x".repeat(60_000) }));
      await index.add(big);
      const whole = new Uint8Array(await (await index.toBlob()).arrayBuffer());
      const open = (bytes, options) => openIndex(new Blob([bytes]), { worker: false, ...options });
      const result = { codes: [], recovered: [] };
      const changed = whole.slice();
      changed[changed.length - 1000] ^= 1;
      const version = whole.slice();
      version[7] = 9;
      const cuts = [0, 5, 20, 300, 5_000_000, whole.length - 1].map((at) => whole.subarray(0, at));
      for (const bytes of [...cuts, changed]) result.codes.push((await failure(open(bytes))).code);
      result.codes.push((await failure(open(version))).code, (await failure(open(new Uint8Array(100)))).code);
      result.message = (await failure(open(cuts[4]))).message;
      for (const bytes of [cuts[4], changed, cuts[5]]) {
        const notices = [];
        const onProgress = (p) => p.stage === "notice" && notices.push(p.message);
        const some = await open(bytes, { recover: true, onProgress });
        const hits = await some.search(query, { k: 1000 });
        result.recovered.push([some.size, hits.length, some.ids()[0], notices.length]);
        await some.dispose();
      }
      await index.dispose();
      return result;
    });
    assert.deepEqual(got.codes.slice(0, -2), Array(7).fill("integrity"));
    assert.deepEqual(got.codes.slice(-2), ["unsupported", "integrity"]);
    assert.match(got.message, /of 102 items are whole.*recover/);
    const [[size], [same]] = got.recovered;
    assert.ok(size > 2 && size < 102, String(size));
    assert.deepEqual(got.recovered, [[size, size, "i0", 1], [same, same, "i0", 1], [102, 102, "i0", 1]]);
  });
});

/** What there is of saved indexes, and of what is being written. */
const files = (page) =>
  page.evaluate(async () => {
    const found = await (await import("/dist/hosts/web.js")).web.everyFiles(".indexes");
    return (await Promise.all(found.map((place) => place.list()))).flat().map(([name]) => name);
  });

test("without room a save is refused, and what was saved before stays", async () => {
  await browser.visit("/blank.html", async (page) => {
    await page.addInitScript(MAKE);
    await page.reload();
    const { origin } = new URL(browser.server.url);
    const session = await page.context().newCDPSession(page);
    await session.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: 400_000 });
    for (const worker of [true, false]) {
      const got = await page.evaluate(async (worker) => {
        const { failure, openIndex } = await import("/page.js");
        const index = await make(100, { worker });
        await index.save("notes");
        const hits = await index.search(query);
        const big = Array.from({ length: 40 }, (_, i) => ({ id: "b" + i, vector: query, data: "x".repeat(60_000) }));
        await index.add(big);
        const refused = await failure(index.save("notes"));
        const old = await openIndex("notes", { worker });
        const result = { refused, same: JSON.stringify(await old.search(query)) === JSON.stringify(hits), size: old.size };
        await Promise.all([index.dispose(), old.dispose()]);
        return result;
      }, worker);
      assert.equal(got.refused.code, "storage-full");
      assert.match(got.refused.message, /^index "notes" /);
      assert.deepEqual([got.same, got.size], [true, 100]);
      assert.deepEqual(await files(page), ["saved/notes.index"]);
    }
  });
});

test("a save that is cancelled or breaks off leaves the old version; the next one clears up", async () => {
  await browser.visit("/blank.html", async (page) => {
    await page.addInitScript(MAKE);
    await page.reload();
    const got = await page.evaluate(async () => {
      const { failure, openIndex } = await import("/page.js");
      // In this thread, so that the abort comes before the next block.
      const index = await make(100, { worker: false });
      await index.save("notes");
      await index.add(Array.from({ length: 200 }, (_, i) => ({ id: "b" + i, vector: query, data: "x".repeat(60_000) })));
      const stop = new AbortController();
      const cancelled = await failure(index.save("notes", { signal: stop.signal, onProgress: () => stop.abort() }));
      const kept = (await openIndex("notes")).size;
      // A stream that fails, and one that is cancelled.
      let why;
      const broken = new WritableStream({ write: () => { throw new TypeError("it broke"); } });
      const failing = await failure(index.save(broken));
      const stopped = new AbortController();
      const stuck = new WritableStream({ write: () => new Promise(() => stopped.abort()), abort: (e) => void (why = e.code) });
      const stopping = await failure(index.save(stuck, { signal: stopped.signal }));
      return { cancelled: cancelled.code, kept, failing, stopping: stopping.code, size: index.size };
    });
    assert.deepEqual([got.cancelled, got.kept, got.stopping], ["aborted", 100, "aborted"]);
    assert.deepEqual([got.failing.code, got.size], ["io", 300]);
    assert.match(got.failing.message, /it broke/);
    assert.deepEqual(await files(page), ["saved/notes.index"]);

    // A tab that was closed while it saved.
    await page.evaluate(async () => {
      const [files] = await (await import("/dist/hosts/web.js")).web.everyFiles(".indexes");
      const part = await files.append(`saved/notes.${crypto.randomUUID()}.part`);
      await part.append(new Uint8Array(1000));
      await part.close();
      await (await files.append(`saved/notes.b.${crypto.randomUUID()}.part`)).close();
    });
    assert.equal((await files(page)).length, 3);
    const left = await page.evaluate(async () => {
      const { deleteIndex, listIndexes } = await import("/page.js");
      const listed = (await listIndexes()).map(({ name }) => name);
      const index = await make(10);
      await index.save("notes");
      await index.dispose();
      return [listed, (await deleteIndex("notes")) > 0, await deleteIndex("notes.b")];
    });
    assert.deepEqual(left, [["notes"], true, 0]);
    assert.deepEqual(await files(page), []);
  });
});

test("two tabs wait for each other", async () => {
  await browser.visit("/blank.html", async (page) => {
    const other = await page.context().newPage();
    for (const tab of [page, other]) {
      await tab.addInitScript(MAKE);
      await tab.goto(new URL("/blank.html", browser.server.url).href);
    }
    // One is writing as long as it holds the lock.
    await other.evaluate(async () => {
      await new Promise((held) => {
        const hold = () => new Promise((release) => {
          globalThis.release = release;
          held();
        });
        navigator.locks.request("pplx-embed-web/.indexes/saved/notes.index", hold);
      });
    });
    const waiting = await page.evaluate(async () => {
      const { deleteIndex, failure, listIndexes, sleep } = await import("/page.js");
      globalThis.index = await make(100);
      globalThis.saving = index.save("notes");
      await sleep(300);
      const stop = new AbortController();
      const tired = failure(index.save("notes", { signal: stop.signal }));
      stop.abort();
      return [(await failure(deleteIndex("notes"))).code, await listIndexes(), (await tired).code];
    });
    assert.deepEqual(waiting, ["in-use", [], "aborted"]);
    await other.evaluate(() => release());
    const sizes = await Promise.all([
      page.evaluate(async () => {
        await saving;
        await index.save("notes");
        return index.size;
      }),
      other.evaluate(async () => {
        const index = await make(200);
        for (let i = 0; i < 3; i++) await index.save("notes");
        return index.size;
      }),
    ]);
    assert.deepEqual(sizes, [100, 200]);
    const opened = await page.evaluate(async () => (await (await import("/page.js")).openIndex("notes")).size);
    assert.ok(sizes.includes(opened), String(opened));
    assert.deepEqual(await files(page), ["saved/notes.index"]);
    await other.close();
  });
});
