// Renders from committed measurements: the tables of README.md and docs/*.md, between <!-- bench:NAME --> and
// <!-- /bench -->, docs/quality.svg and docs/benchmarks.svg.
//   node bench/render.mjs            writes them
//   node bench/render.mjs --check    fails if they are not what the results say, or if docs/errors.md lacks a code
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { qualityChart } from "./chart.mjs";
import { speedChart } from "./compare/chart.mjs";
import { floorTable, kernelTable } from "./kernels/tables.mjs";
import { compareTables, shortTable, taskTables } from "./compare/tables.mjs";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const text = (path) => (existsSync(ROOT + path) ? readFileSync(ROOT + path, "utf8") : "");
const scores = () => JSON.parse(text("models/mini/eval/scores.json"));
/** The English sets come first, as models/train/card.py orders them. */
const ENGLISH = 6;
const read = (name) => JSON.parse(readFileSync(new URL(`results/${name}.json`, import.meta.url)));
const table = (head, rows) => [head, head.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n");
const size = (bytes) => (bytes < 2 ** 29 ? `${(bytes / 2 ** 20).toFixed(1)} MiB` : `${(bytes / 2 ** 30).toFixed(2)} GiB`);
/** Results of `make bench`. The chart and the README's table are of the first: two layers, which all engines ran. */
const compared = () =>
  readdirSync(`${ROOT}bench/results`).sort().map((file) => read(file.replace(/\.json$/, "")))
    .filter(({ kind }) => kind === "compare").sort((a, b) => a.layers - b.layers);
const SHAPES = { long: "2 layers, hidden 64" };

/** Parameters of the published models: all of them, and those of the embedding table. */
const PUBLISHED = [
  { name: "0.6B (v1, context, late)", parameters: 596_049_920, embedding: 151_936 * 1024 },
  { name: "4B (v1, context)", parameters: 4_022_468_096, embedding: 151_936 * 2560 },
];
const FORMS = ["f32", "f16", "q8", "q4"];
/** Groups of 64 weights have a scale and a bias: f32 in memory, f16 in the cache. q4 leaves the table at 8 bits. */
const bytesOf = ({ parameters, embedding }, [table, layers]) => (embedding * table + (parameters - embedding) * layers) / 8;
const MEMORY_BITS = { f32: [32, 32], f16: [16, 16], q8: [9, 9], q4: [9, 5] };
const KEPT_BITS = { q8: [8.5, 8.5], q4: [8.5, 4.5] };

function modelSizes() {
  const all = (model, bits) => Object.fromEntries(Object.entries(bits).map(([form, b]) => [form, bytesOf(model, b)]));
  const sizes = PUBLISHED.map((model) => {
    const memory = all(model, MEMORY_BITS);
    return { name: model.name, download: memory.f32, kept: all(model, KEPT_BITS), memory };
  });
  // What was measured has to agree, but for norms and files that are not weights.
  const [small, large] = sizes;
  const measured = [
    ...read("load-chromium").results.flatMap(({ held, bytes, raw }) => [
      [small.memory[held], bytes.host + bytes.device], [small.kept[held] ?? small.download, raw.bytes],
    ]),
    ...read("load-native").results.map(({ held, bytes }) => [large.memory[held], bytes.host + bytes.device]),
  ];
  for (const [computed, real] of measured) {
    if (Math.abs(computed / real - 1) > 0.01) throw new Error(`computed ${computed} bytes, measured ${real}`);
  }
  return [miniSizes(), ...sizes];
}

/** mini is stored in MLX's layout: its codes stay as they are, its scales and biases are f32 in memory. */
function miniSizes() {
  const file = readFileSync(`${ROOT}models/mini/model.safetensors`);
  const header = JSON.parse(file.subarray(8, 8 + Number(file.readBigUInt64LE(0))));
  const held = Object.values(header).filter((tensor) => tensor.dtype);
  const memory = held.reduce((sum, { dtype, data_offsets: [from, to] }) => sum + (to - from) * (dtype === "F16" ? 2 : 1), 0);
  const download = file.length + statSync(`${ROOT}models/mini/tokenizer.json`).size;
  return { name: "mini (all kinds)", download, memory: { q4: memory } };
}

const tables = {
  kernels: () => kernelTable(read("kernels"), table),
  floors: () => floorTable(read("kernels"), table),
  compare: () => compareTables(compared()),
  tasks: () => taskTables(compared()),
  short: () => shortTable(compared()),
  large() {
    const { large } = read("lavapipe");
    const rows = large.flatMap(({ shape, weights, bytes, texts }) =>
      texts.map(({ tokens, one_minus_cosine, codes_equal, seconds }) => [
        SHAPES[shape] ?? shape, weights, size(bytes.device + bytes.host), tokens.toLocaleString("en-US"),
        one_minus_cosine.toExponential(0), `${(100 * codes_equal).toFixed(2)} %`, seconds.toFixed(1),
      ]),
    );
    return table(["shape", "weights", "memory", "tokens", "1 - cosine", "equal int8 codes", "seconds (2 CPU cores)"], rows);
  },
  load() {
    const { results } = read("load-chromium");
    const rows = results.map(({ held, bytes, cold, warm, cosine_to_f32 }) => {
      const again = warm.at(-1);
      const beyond = Math.max(cold.wasm, ...warm.map((w) => w.wasm)) - bytes.host;
      return [
        held, `${(cold.downloaded / 1e9).toFixed(2)} GB, then ${again.downloaded}`,
        `${cold.load.toFixed(1)} s, then ${again.load.toFixed(1)} s`,
        `${cold.first.toFixed(1)} s, then ${again.first.toFixed(1)} s`,
        `${size(bytes.host)} + ${size(beyond)}`, size(bytes.device),
        cosine_to_f32 === 1 ? "1" : cosine_to_f32.toFixed(5),
      ];
    });
    const head = ["weights", "downloaded", "load", "first vector", "peak of main memory", "on the device", "cosine to f32"];
    return table(head, rows);
  },
  maxsim() {
    const { maxsim } = read("maxsim-lavapipe");
    const forms = [...new Set(maxsim.map((r) => r.form))];
    const runs = [...new Set(maxsim.map((r) => `${r.documents} ${r.how}`))];
    const rows = runs.map((run) => {
      const [documents, how] = [Number.parseInt(run, 10), run.slice(run.indexOf(" ") + 1)];
      const of = (form) => maxsim.find((r) => r.documents === documents && r.how === how && r.form === form);
      const name = how.includes("_") ? `\`${how}\`` : how;
      return [documents.toLocaleString("en-US"), name, ...forms.map((form) => of(form)?.seconds.toFixed(1) ?? "-")];
    });
    return table(["documents", "by", ...forms.map((form) => `${form}, s`)], rows);
  },
  index() {
    const { index } = read("index-lavapipe");
    const sizes = [...new Set(index.map((r) => r.items))];
    const batches = [...new Set(index.map((r) => r.queries).filter(Boolean))];
    const columns = sizes.flatMap((items) => batches.map((queries) => ({ items, queries })));
    const ways = [...new Set(index.map((r) => r.how))];
    const rows = ways.map((how) => {
      const of = (c) => index.find((r) => r.how === how && r.items === c.items && (r.queries ?? c.queries) === c.queries);
      return [how, ...columns.map((c) => (1000 * of(c).seconds).toFixed(of(c).seconds < 0.01 ? 1 : 0))];
    });
    const head = columns.map((c) => `${c.items.toLocaleString("en-US")} by ${c.queries}, ms`);
    return table(["rows", ...head], rows);
  },
  mini() {
    const sets = scores();
    const english = Object.keys(sets).slice(0, ENGLISH);
    const rows = [
      "bm25", "teacher", "random", "float 256", "int8 256", "int8 128", "int8 64", "binary 256", "binary 64", "late float 128",
    ];
    const percent = (x) => (100 * x).toFixed(1);
    const cells = (row) => {
      const values = english.map((set) => sets[set][row]["ndcg@10"]);
      return [...values.map(percent), percent(values.reduce((a, b) => a + b) / values.length)];
    };
    return table(["nDCG@10, %", ...english, "mean"], rows.map((row) => [row, ...cells(row)]));
  },
  models() {
    const gigabytes = (bytes) => (bytes ? (bytes / 1e9).toFixed(bytes < 1e8 ? 4 : 2) : "-");
    const rows = modelSizes().map(({ name, download, kept, memory }) => [
      name, gigabytes(download), kept ? `${gigabytes(kept.q8)}, ${gigabytes(kept.q4)}` : "-",
      ...FORMS.map((form) => gigabytes(memory[form])),
    ]);
    return table(["model", "download, GB", "kept as q8, q4", ...FORMS.map((form) => `memory, ${form}`)], rows);
  },
  prefilter() {
    const { late, dense } = read("prefilter-recall");
    const all = [...late, ...dense];
    const sizes = [...new Set(all.map((r) => r.documents))];
    const counts = ["10", "20", "40", "80", "160", "320"];
    const rows = [...new Set(all.map((r) => `${r.vectors}|${r.first_pass}`))].map((way) => {
      // Of the two kinds of queries the one that loses more.
      const of = (size) => all.filter((r) => `${r.vectors}|${r.first_pass}` === way && r.documents === size);
      const found = counts.map((c) => Math.min(...of(sizes.at(-1)).map((r) => r.recall[c])).toFixed(3));
      return [...way.split("|"), ...found, sizes.map((size) => Math.max(...of(size).map((r) => r.candidates_for_99))).join(", ")];
    });
    const number = (n) => n.toLocaleString("en-US");
    return table(["vectors", "first pass", ...counts, `for 0.99 of ${sizes.map(number).join(", ")}`], rows);
  },
  quantize() {
    const { quantize } = read("quantize");
    const distributions = [...new Set(quantize.map((r) => r.distribution))];
    const settings = [...new Set(quantize.map((r) => `${r.bits} ${r.group}`))];
    const percent = (error, bits) => (100 * error).toFixed(bits === 4 ? 2 : 3);
    const rows = settings.map((setting) => {
      const [bits, group] = setting.split(" ").map(Number);
      const of = (distribution) => quantize.find((r) => r.distribution === distribution && r.bits === bits && r.group === group);
      const errors = distributions.map((d) => `${percent(of(d).ours.error, bits)} % (${percent(of(d).mlx.error, bits)})`);
      // The same work whatever the weights are: the fastest run is the least disturbed one.
      const ns = Math.min(...distributions.map((d) => of(d).ours.ns));
      return [bits, group, ...errors, ns.toFixed(1)];
    });
    return table(["bits", "group", ...distributions, "ns a weight"], rows);
  },
};

/** What is to be rendered: each file's path, and its text as the results have it. */
function* rendered() {
  for (const file of ["README.md", ...readdirSync(`${ROOT}docs`).filter((name) => name.endsWith(".md")).map((name) => `docs/${name}`)]) {
    const fill = (_, open, name, close) => {
      if (!tables[name]) throw new Error(`${file} asks for table ${name}, bench/render.mjs has ${Object.keys(tables)}`);
      return `${open}${tables[name]()}\n${close}`;
    };
    yield [file, text(file).replace(/(<!-- bench:(\w+) -->\n)[^]*?(<!-- \/bench -->)/g, fill)];
  }
  yield ["docs/quality.svg", qualityChart(scores(), ENGLISH)];
  yield ["docs/benchmarks.svg", speedChart(compared()[0])];
}

/** Differences between the codes that Rust and TypeScript have and those that docs/errors.md explains. */
function errorCodes() {
  const codesIn = (source, pattern) => Array.from(source.matchAll(pattern), ([, code]) => code);
  const rust = codesIn(text("src/error.rs"), /=> "([a-z-]+)",/g);
  const page = codesIn(/ErrorCode =(.+?)export class/s.exec(text("js/errors.ts"))[1], /^  \| "([a-z-]+)"/gm);
  const wanted = new Set([...rust, ...page]);
  const explained = new Set(codesIn(text("docs/errors.md"), /^\| `([a-z-]+)` \|/gm));
  if (wanted.size < 20) throw new Error(`only ${wanted.size} codes found: the patterns no longer fit src/error.rs or js/errors.ts`);
  return [
    ...rust.filter((code) => !page.includes(code)).map((code) => `js/errors.ts lacks the code ${code} of src/error.rs`),
    ...[...wanted].filter((code) => !explained.has(code)).map((code) => `docs/errors.md lacks the code ${code}`),
    ...[...explained].filter((code) => !wanted.has(code)).map((code) => `docs/errors.md: no error has the code ${code}`),
  ];
}

const check = process.argv.includes("--check");
const problems = errorCodes();
for (const [file, after] of rendered()) {
  if (after === text(file)) continue;
  if (check) problems.push(`${file} is not what the measurements say: node bench/render.mjs`);
  else writeFileSync(ROOT + file, after);
}
if (problems.length > 0) {
  console.error(problems.join("\n"));
  process.exit(1);
}
