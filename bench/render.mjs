// Renders the tables of README.md from bench/results, between <!-- bench:NAME --> and <!-- /bench -->.
//   node bench/render.mjs            writes them
//   node bench/render.mjs --check    fails if they are not what the results say
import { readFileSync, writeFileSync } from "node:fs";

const read = (name) => JSON.parse(readFileSync(new URL(`results/${name}.json`, import.meta.url)));
const table = (head, rows) => [head, head.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n");
const size = (bytes) => (bytes < 2 ** 29 ? `${(bytes / 2 ** 20).toFixed(1)} MiB` : `${(bytes / 2 ** 30).toFixed(2)} GiB`);
const SHAPES = { long: "2 layers, hidden 64" };

const tables = {
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
    const scores = JSON.parse(readFileSync(new URL("../models/mini/eval/scores.json", import.meta.url)));
    const english = Object.keys(scores).slice(0, 6); // as models/train/card.py orders them
    const rows = [
      "bm25", "teacher", "random", "float 256", "int8 256", "int8 128", "int8 64", "binary 256", "binary 64", "late float 128",
    ];
    const percent = (x) => (100 * x).toFixed(1);
    const cells = (row) => {
      const values = english.map((set) => scores[set][row]["ndcg@10"]);
      return [...values.map(percent), percent(values.reduce((a, b) => a + b) / values.length)];
    };
    return table(["nDCG@10, %", ...english, "mean"], rows.map((row) => [row, ...cells(row)]));
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
  quantise() {
    const { quantise } = read("quantise");
    const distributions = [...new Set(quantise.map((r) => r.distribution))];
    const settings = [...new Set(quantise.map((r) => `${r.bits} ${r.group}`))];
    const percent = (error, bits) => (100 * error).toFixed(bits === 4 ? 2 : 3);
    const rows = settings.map((setting) => {
      const [bits, group] = setting.split(" ").map(Number);
      const of = (distribution) => quantise.find((r) => r.distribution === distribution && r.bits === bits && r.group === group);
      const errors = distributions.map((d) => `${percent(of(d).ours.error, bits)} % (${percent(of(d).mlx.error, bits)})`);
      // The same work whatever the weights are: the fastest run is the least disturbed one.
      const ns = Math.min(...distributions.map((d) => of(d).ours.ns));
      return [bits, group, ...errors, ns.toFixed(1)];
    });
    return table(["bits", "group", ...distributions, "ns a weight"], rows);
  },
};

const readme = new URL("../README.md", import.meta.url);
const before = readFileSync(readme, "utf8");
const after = before.replace(/(<!-- bench:(\w+) -->\n)[^]*?(<!-- \/bench -->)/g, (_, open, name, close) => {
  if (!tables[name]) throw new Error(`README.md asks for table ${name}, bench/render.mjs has ${Object.keys(tables)}`);
  return `${open}${tables[name]()}\n${close}`;
});
if (process.argv.includes("--check")) {
  if (after !== before) {
    console.error("README.md is not what bench/results say: node bench/render.mjs");
    process.exit(1);
  }
} else {
  writeFileSync(readme, after);
}
