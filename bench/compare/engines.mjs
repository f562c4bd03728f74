// The engines: this package's and the rivals'. Each is { name, what, where, threads, isolated?, activations?, weights, run };
// `weights` says which form of the model it runs for f32, q8 and q4, and `run(settings, weights)` gives what page/timing.js
// gives. `activations` says where an engine rounds more than weights; `only` which cases it runs, `rounds` in how many rounds.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { runInBrowser } from "./browser.mjs";
import { output, runChild } from "./child.mjs";
import { cosineOf, readCases } from "./page/timing.js";
import { serveJob } from "./server.mjs";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const HERE = fileURLToPath(new URL(".", import.meta.url));
export const BINARY = join(ROOT, "target/release/pplx-embed");
export const PYTHON = join(ROOT, "target/bench/venv/bin/python");

const SUFFIX = { f32: "", q8: "_quantized", q4: "_q4" };
const DTYPE = { f32: "fp32", q8: "q8", q4: "q4" };

/** In a page, where `module` runs with `options(form)`. */
function inPage(name, what, threads, module, weights, { isolated = false, gpu = false, ...more } = {}) {
  const run = ({ models, cases, seconds, ...settings }, form) =>
    runInBrowser({ module: `/page/${module}`, options: weights[form], cases, settings }, { models, isolated, gpu, seconds });
  return { name, what, where: "page", threads, isolated, ...more, weights: Object.keys(weights), run };
}

/** In Node. Modules are those of the page. With `dawn` there is WebGPU. */
function inNode(name, what, threads, module, weights, { dawn, ...more } = {}) {
  async function run({ models, cases, seconds, ...settings }, form) {
    const server = await serveJob({ models });
    try {
      const dist = new URL("../../dist/index.js", import.meta.url).href;
      const place = module === "ours.js" ? { origin: server.origin, dist } : { models: `${models}/` };
      const job = { module, options: { ...weights[form], ...place }, cases, settings, dawn, file: join(models, "cases.json") };
      const node = [join(HERE, "node.mjs"), JSON.stringify(job)];
      return { ...(await runChild(process.execPath, node, { seconds })), files: server.sent };
    } finally {
      server.close();
    }
  }
  return { name, what, where: "Node", threads, ...more, weights: Object.keys(weights), run };
}

/** A Python library. */
function inPython(name, what, engine, threads, files, more = {}) {
  const run = ({ models, cases: names, seconds, ms, most }, form) => {
    const job = { engine, threads, file: join(models, "f32", files[form]), cases: join(models, "cases.json"), names, ms, most };
    return runChild(PYTHON, [join(HERE, "native.py"), JSON.stringify(job)], { seconds, env: { OMP_NUM_THREADS: String(threads) } });
  };
  return { name, what, where: "native", threads, ...more, weights: Object.keys(files), run };
}

/** The command of this repository. */
function command(name, what, threads, parameters, more = {}) {
  const vectors = new Map();
  async function run({ models, cases, seconds, ms, expected }, form) {
    const folder = join(ROOT, "target/bench/texts");
    mkdirSync(folder, { recursive: true });
    const batches = readCases(expected, cases);
    const inputs = Object.entries(batches).map(([name, { texts }]) => {
      const file = join(folder, `${name}.jsonl`);
      writeFileSync(file, texts.map((text) => `${JSON.stringify(text)}\n`).join(""));
      return file;
    });
    const common = ["--model", join(models, form), "--device", "cpu", "--json", ...parameters];
    const timing = ["bench", ...common, "--seconds", String(ms / 1000), ...inputs.flatMap((file) => ["--input", file])];
    const report = JSON.parse(await output(BINARY, timing, { seconds }));
    // Its vectors do not change from round to round: promise 3 of the design, and tests hold it to that.
    if (!vectors.has(form)) {
      const input = Object.values(batches).flatMap(({ texts }) => texts).map((text) => `${JSON.stringify(text)}\n`).join("");
      const file = join(folder, "all.jsonl");
      writeFileSync(file, input);
      const lines = await output(BINARY, ["embed", ...common, "--dtype", "float32", "--input", file], { seconds });
      vectors.set(form, lines.trim().split("\n").map((line) => JSON.parse(line).embedding));
    }
    let at = 0;
    const results = Object.entries(batches).map(([name, { means }]) => {
      const cosine = Math.min(...means.map((mean) => cosineOf(vectors.get(form)[at++], mean)));
      const { all } = report.cases.find((found) => found.name === name).seconds;
      return [name, { times: all.map((second) => 1000 * second), cosine }];
    });
    const load = { load_ms: 1000 * report.load.openSeconds, first_ms: 1000 * report.load.firstVectorSeconds };
    return { ...load, info: report.info, cases: Object.fromEntries(results), peak_bytes: report.memory.peakBytes };
  }
  return { name, what, where: "native", threads, weights: ALL, ...more, run };
}

const each = (forms, make) => Object.fromEntries(forms.map((form) => [form, make(form)]));
const ALL = ["f32", "q8", "q4"];
const ort = (threads) => each(ALL, (form) => ({ file: `model${SUFFIX[form]}`, threads }));
const transformers = (threads, more = {}) => each(ALL, (form) => ({ file: "model", dtype: DTYPE[form], threads, ...more }));
const ours = (more = {}, forms = ALL) => each(forms, (form) => ({ model: form, device: "cpu", ...more }));
const onnx = each(ALL, (form) => `onnx/model${SUFFIX[form]}.onnx`);
const INT8 = { activations: "int8" };
/** This package rounds activations to 8 bits only if it is asked to, and only where weights are codes. */
const FAST = { precision: "fast" };
const CODES = ["q8", "q4"];
/** llama.cpp always rounds activations where weights are quantized. Slow here: the short cases, once. */
const llama = (threads) => each(ALL, (form) => ({ file: `${form}.gguf`, threads }));
const BRIEF = { only: ["16", "128"], rounds: 1 };
/** What few will choose is measured less often, so that the whole stays below a quarter of an hour. */
const SELDOM = { rounds: 2 };

/** Every engine; those on a GPU only if `gpu`, because on a software GPU a run takes minutes. */
export function engines({ gpu, cores }) {
  const most = Math.min(cores, 8);
  const shared = { isolated: true };
  const webgpu = { isolated: true, gpu: true };
  const own = "pplx-embed-web";
  const list = [
    inPage("ort-web-1", "onnxruntime-web", 1, "ort.js", ort(1)),
    inPage("ours-page", own, most, "ours.js", ours({ threads: most })),
    inPage("transformers.js-1", "transformers.js", 1, "transformersjs.js", transformers(1)),
    inPage("ours-page-1", own, 1, "ours.js", ours({ threads: 1 })),
    inPage("ours-page-1-fast", own, 1, "ours.js", ours({ threads: 1, ...FAST }, CODES), INT8),
    inPage("ort-web-1-int8", "onnxruntime-web", 1, "ort.js", { q8: { file: "model_int8", threads: 1 } }, INT8),
    inPage("ort-web-threads", "onnxruntime-web", most, "ort.js", ort(most), shared),
    inPage("ours-page-isolated", own, most, "ours.js", ours({ threads: most }), shared),
    inPage("ours-page-isolated-fast", own, most, "ours.js", ours({ threads: most, ...FAST }, CODES), { ...INT8, ...shared }),
    inPage("transformers.js-threads", "transformers.js", most, "transformersjs.js", transformers(most), shared),
    inPage("ort-web-threads-int8", "onnxruntime-web", most, "ort.js", { q8: { file: "model_int8", threads: most } }, { ...INT8, ...shared }),
    inPage("wllama-1", "wllama", 1, "wllama.js", llama(1), BRIEF),
    inPage("wllama-threads", "wllama", most, "wllama.js", llama(most), { ...BRIEF, ...shared }),
    inNode("ours-node", own, most, "ours.js", ours({ threads: most })),
    inNode("transformers.js-node", "transformers.js", most, "transformersjs.js", transformers(most, { device: "cpu" }), SELDOM),
    command("ours-native", own, most, []),
    command("ours-native-fast", own, most, ["--precision", "fast"], { ...INT8, weights: CODES }),
    command("ours-native-1", own, 1, ["--threads", "1"]),
    inPython("ort-native", "onnxruntime", "onnxruntime", most, onnx),
    inPython("ort-native-1", "onnxruntime", "onnxruntime", 1, onnx, SELDOM),
    inPython("ort-native-int8", "onnxruntime", "onnxruntime", most, { q8: "onnx/native_int8.onnx", q4: "onnx/native_q4.onnx" }, INT8),
    inPython("torch", "torch", "torch", most, { f32: "" }),
    inPython("torch-1", "torch", "torch", 1, { f32: "" }, SELDOM),
  ];
  if (!gpu) return list;
  const separate = (more) => each(ALL, (form) => ({ file: `separate${SUFFIX[form]}`, ...more }));
  return [
    ...list,
    inPage("ort-web-webgpu", "onnxruntime-web", undefined, "ort.js", separate({ bundle: "webgpu" }), webgpu),
    inPage(
      "transformers.js-webgpu", "transformers.js", undefined, "transformersjs.js",
      each(ALL, (form) => ({ file: "separate", dtype: DTYPE[form], device: "webgpu" })), webgpu,
    ),
    inPage("ours-webgpu", own, undefined, "ours.js", each(ALL, (form) => ({ model: form, device: "webgpu" })), webgpu),
    // Dawn, which is Chrome's WebGPU, is in this thread of Node, and not in a worker.
    inNode("ort-web-dawn", "onnxruntime-web", undefined, "ort.js", separate({ bundle: "webgpu" }), { dawn: true }),
    inNode("ours-dawn", own, undefined, "ours.js", each(ALL, (form) => ({ model: form, device: "webgpu", worker: false })), { dawn: true }),
  ];
}
