// The tables of docs/benchmarks.md and README.md from results of run.mjs. Every row that was measured is in them, and every
// engine that failed is named below.
const CASES = ["16", "128", "512", "mixed"];
const FORMS = { f32: "float32 weights", q8: "8-bit weights", q4: "4-bit weights" };
const OWN = "pplx-embed-web";
const TASKS = {
  maxsim: "MaxSim: a query of 32 tokens with 1,000 documents of 300, 128 dimensions, float32",
  search: "One query among 100,000 int8 vectors of 1,024 dimensions",
  docs: "Indexing this documentation with `mini`",
};

const table = (head, rows) => [head, head.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n");
const number = (value) => (value === undefined ? "-" : value < 100 ? String(Number(value.toPrecision(2))) : Math.round(value).toLocaleString("en-US"));
const strong = (what, text) => (what === OWN ? `**${text}**` : text);

/** Where an engine ran, in words. */
export function placeOf({ where, threads, isolated, activations, device }) {
  const parts = [where === "page" ? (isolated ? "isolated page" : "page") : where];
  if (device === "webgpu" || device === "gpu") parts.push("WebGPU");
  else if (threads) parts.push(threads === 1 ? "1 thread" : `${threads} threads`);
  if (activations) parts.push(`${activations} activations`);
  return parts.join(", ");
}

const fidelity = (cosine) => (1 - cosine < 1e-9 ? "< 1e-9" : (1 - cosine).toExponential(0));
const megabytes = (bytes) => (bytes === undefined ? "-" : (bytes / 1e6).toFixed(bytes < 1e6 ? 2 : 1));

/** Rows that have a result for `form`, the fastest at 128 tokens (or the case there is) first. */
export function ranked({ embedding }, form) {
  const rate = ({ cases }) => (cases["128"] ?? Object.values(cases)[0]).tokens_per_s;
  return embedding.filter((row) => row.weights === form && row.cases).sort((a, b) => rate(b) - rate(a));
}

function embeddingTable(report, form) {
  const rows = ranked(report, form).map((row) => [
    strong(row.what, row.what), placeOf(row),
    ...CASES.map((name) => {
      const found = row.cases[name];
      if (!found) return "-";
      const [slow, fast] = [found.most_ms, found.least_ms].map((ms) => (1000 * found.tokens) / ms);
      return `${strong(row.what, number(found.tokens_per_s))} (${number(slow)}-${number(fast)})`;
    }),
    number(row.cases["128"]?.gflops), fidelity(Math.min(...Object.values(row.cases).map(({ cosine }) => cosine))),
    number(row.load_ms), number(row.first_ms), number(row.peak_mib), megabytes(row.engine_bytes?.brotli),
  ]);
  const head = [
    "engine", "where", ...CASES.map((name) => (name === "mixed" ? "eight mixed texts" : `${name} tokens`)),
    "GFLOP/s at 128", "1 - cosine", "load, ms", "first vector, ms", "peak memory, MiB", "shipped, MB",
  ];
  return table(head, rows);
}

function machineLine({ machine, date, commit, dirty, rounds, layers, note, versions }) {
  const flags = machine.flags.filter((flag) => /avx2|avx512_vnni|avx_vnni|i8mm|asimddp/.test(flag)).join(", ");
  const browser = versions.browser ? `Chromium ${versions.browser.split(".")[0]}` : "no browser";
  const state = dirty ? ` with changes` : "";
  return `**${machine.cpu}, ${machine.cores} cores** (${flags}), ${machine.memory_gib} GiB, ${browser}, Node ${versions.node}; ` +
    `${layers} layers; ${date}, commit ${commit}${state}; ${rounds} ${rounds === 1 ? "round" : "rounds"}.${note ? ` ${note}` : ""}`;
}

const versionLine = ({ versions }) =>
  `onnxruntime-web ${versions["onnxruntime-web"]}, transformers.js ${versions["@huggingface/transformers"]}, onnxruntime ` +
  `${versions.onnxruntime}, torch ${versions.torch}, maxsim-cpu ${versions["maxsim-cpu"]}, wllama ${versions["@wllama/wllama"]}.`;

/** A line for each engine and what was wrong, however many forms of the weights it was wrong for. */
function failures(rows) {
  const lines = new Map();
  for (const { name, weights, error } of rows) {
    if (!error) continue;
    const said = `${error.replace(/\s+/g, " ").replaceAll("|", "\\|").replaceAll("<", "&lt;").slice(0, 160)}`;
    const key = `\`${name}\`: ${said}`;
    lines.set(key, [...(lines.get(key) ?? []), weights].filter(Boolean));
  }
  return [...lines].map(([line, forms]) => `- ${forms.length > 0 ? line.replace(":", ` (${forms.join(", ")}):`) : line}`);
}

export function compareTables(reports) {
  if (reports.length === 0) return "Nothing has been measured yet: `make bench`.";
  return reports.map((report) => {
    const parts = [machineLine(report), versionLine(report)];
    for (const [form, words] of Object.entries(FORMS)) {
      if (ranked(report, form).length > 0) parts.push(`${words}, tokens a second:`, embeddingTable(report, form));
    }
    const failed = failures(report.embedding);
    if (failed.length > 0) parts.push("Did not run:", failed.join("\n"));
    return parts.join("\n\n");
  }).join("\n\n");
}

export function taskTables(all) {
  const reports = all.filter(({ tasks }) => tasks.length > 0);
  if (reports.length === 0) return "Nothing has been measured yet: `make bench`.";
  return reports.map((report) => {
    const parts = [machineLine(report)];
    for (const [task, words] of Object.entries(TASKS)) {
      const rows = report.tasks.filter((row) => row.task === task && row.median_ms).sort((a, b) => a.median_ms - b.median_ms);
      if (rows.length === 0) continue;
      const extra = task === "docs" ? ["paragraphs", "tokens", "tokens a second", "load, ms", "then a search, ms"] : [];
      const cells = rows.map((row) => [
        strong(row.what, row.what), placeOf(row),
        strong(row.what, number(row.median_ms)), `${number(row.least_ms)}-${number(row.most_ms)}`,
        ...(task === "docs"
          ? [row.items, row.tokens, row.tokens && (1000 * row.tokens) / row.median_ms, row.load_ms, row.search_ms].map(number)
          : []),
      ]);
      parts.push(`${words}:`, table(["engine", "where", "median, ms", "from - to", ...extra], cells));
    }
    const failed = failures(report.tasks);
    if (failed.length > 0) parts.push("Did not run:", failed.join("\n"));
    return parts.join("\n\n");
  }).join("\n\n");
}

/** For the README: with 8-bit weights in a page, of each engine the quickest row. */
export function shortTable(reports) {
  if (reports.length === 0) return "Nothing has been measured yet: `make bench`.";
  const rows = ranked(reports[0], "q8").filter(({ where }) => where === "page");
  const same = (a) => (b) => a.what === b.what && a.activations === b.activations;
  const quickest = rows.filter((row, at) => at === rows.findIndex(same(row)));
  const cells = quickest.map((row) => [
    strong(row.what, row.what), placeOf(row), strong(row.what, number(row.cases["128"]?.tokens_per_s)),
    fidelity(Math.min(...Object.values(row.cases).map(({ cosine }) => cosine))),
  ]);
  const head = ["engine", "where", "tokens/s", "1 - cosine"];
  return table(head, cells);
}
