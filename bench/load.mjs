// Measures loading in headless Chromium, from a local server that speaks the Hub's protocol: bytes downloaded, time to
// the first vector cold and warm, the peak of WebAssembly's memory, and the warm load beside reading the same bytes
// from OPFS and doing nothing with them.
//   node bench/load.mjs --model target/large/0.6b [--weights q8,q4,f32] [--device webgpu] [--rounds 2] [--output bench/results/load-chromium.json]
// Needs dist/ (make web), playwright-core (npm ci) and Chromium.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { chromium } from "playwright-core";

import { executable, FLAGS } from "../tests/web/browser.mjs";
import { hub } from "./hub.mjs";

const { values: options } = parseArgs({
  options: {
    model: { type: "string" },
    weights: { type: "string", default: "q8,q4,f32" },
    device: { type: "string", default: "webgpu" },
    rounds: { type: "string", default: "2" },
    output: { type: "string" },
    note: { type: "string", default: "" },
  },
});

/** Reads every file of OPFS once, in a worker, through a sync access handle into one buffer. */
const OPFS_READER = `
const buffer = new Uint8Array(4 << 20);
let bytes = 0, seconds = 0;
async function read(folder) {
  for await (const handle of folder.values()) {
    if (handle.kind === "directory") { await read(handle); continue; }
    const file = await handle.createSyncAccessHandle({ mode: "read-only" });
    const start = performance.now();
    for (let at = 0, n; (n = file.read(buffer, { at })); at += n) bytes += n;
    seconds += (performance.now() - start) / 1e3;
    file.close();
  }
}
try { await read(await navigator.storage.getDirectory()); postMessage({ bytes, seconds }); }
catch (error) { postMessage({ error: String(error) }); }
`;

const TEXT = "Water the tomatoes every morning.";

/** Loads the model in a fresh page and embeds one text. */
async function visit(context, url, weights, state) {
  const page = await context.newPage();
  page.on("console", (message) => console.error(message.text()));
  await page.goto(`${url}blank.html`);
  state.sent = 0;
  const got = await page.evaluate(async ([weights, device, text]) => {
    const { load } = await import("/dist/index.js");
    const start = performance.now();
    const model = await load("model", { endpoint: "/", weights, device, onProgress: (p) => p.stage === "notice" && console.log(p.message) });
    const loaded = performance.now();
    const { data } = await model.embed(text, { dtype: "float32" });
    const first = performance.now();
    const { info } = model;
    const cached = await (await import("/dist/index.js")).cache.estimate();
    await model.dispose();
    return { load: (loaded - start) / 1e3, first: (first - start) / 1e3, info, cached, vector: [...data] };
  }, [weights, options.device, TEXT]);
  await page.close();
  return { ...got, downloaded: state.sent };
}

/** Reads every file of OPFS once, in a worker, through a sync access handle into one buffer. */
async function rawRead(context, url) {
  const page = await context.newPage();
  await page.goto(`${url}blank.html`);
  const got = await page.evaluate(() => new Promise((resolve, reject) => {
    const worker = new Worker("/raw-reader.js", { type: "module" });
    worker.onerror = ({ message }) => reject(new Error(message || "the reader did not start"));
    worker.onmessage = ({ data }) => (data.error ? reject(new Error(data.error)) : resolve(data));
  }));
  await page.close();
  return got;
}

const cosine = (a, b) => {
  const dot = (x, y) => x.reduce((sum, v, i) => sum + v * y[i], 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
};

const server = await hub(options.model, { "/raw-reader.js": OPFS_READER });
const results = [];
const vectors = {};
try {
  for (const weights of options.weights.split(",")) {
    for (let round = 0; round < Number(options.rounds); round++) {
      const profile = await mkdtemp(join(os.tmpdir(), "bench-"));
      const context = await chromium.launchPersistentContext(profile, {
        executablePath: executable(), args: FLAGS, chromiumSandbox: false, headless: true,
      });
      try {
        const cold = await visit(context, server.url, weights, server.state);
        const warm = await visit(context, server.url, weights, server.state);
        const raw = await rawRead(context, server.url);
        const again = await visit(context, server.url, weights, server.state);
        vectors[weights] = cold.vector;
        const pick = ({ load, first, downloaded, info }) => ({ load, first, downloaded, wasm: info.bytes.wasm });
        const row = {
          weights, round, adapter: cold.info.adapter, held: cold.info.weights, bytes: cold.info.bytes,
          cold: pick(cold), warm: [pick(warm), pick(again)], raw,
          same_vector: JSON.stringify(cold.vector) === JSON.stringify(warm.vector),
        };
        console.error(JSON.stringify(row));
        results.push(row);
      } finally {
        await context.close();
        await rm(profile, { recursive: true, force: true });
      }
    }
  }
} finally {
  await server.close();
}
for (const row of results) if (vectors.f32) row.cosine_to_f32 = cosine(vectors[row.weights], vectors.f32);
const report = {
  schema: 1, device: `headless Chromium on ${os.cpus()[0].model.trim()}, ${os.cpus().length} cores, SwiftShader`,
  date: new Date().toISOString().slice(0, 10), command: `node bench/load.mjs ${process.argv.slice(2).join(" ")}`,
  note: options.note, model: options.model, results,
};
const json = JSON.stringify(report, (key, value) => (typeof value === "number" && !Number.isInteger(value) && key !== "cosine_to_f32" ? Number(value.toFixed(3)) : value), 2);
if (options.output) await writeFile(options.output, `${json}\n`);
else console.log(json);
