// What is measured besides embedding: MaxSim, searching vectors, and indexing this package's documentation with the model that
// comes with it. Each is { name, what, where, task, run }; run(settings) gives { times } in milliseconds and what else is known.
import { fileURLToPath } from "node:url";
import { join } from "node:path";

import { runInBrowser } from "./browser.mjs";
import { output, runChild } from "./child.mjs";
import { BINARY, PYTHON } from "./engines.mjs";
import { serveJob } from "./server.mjs";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const OWN = "pplx-embed-web";

function inPage(task, name, more = {}, options = {}) {
  const run = ({ models, seconds, ...settings }) =>
    runInBrowser({ module: "/page/ours.js", task, options, settings }, { models, isolated: more.isolated, seconds });
  return { name, what: OWN, where: "page", task, ...more, run };
}

function inNode(task, name, more = {}, options = {}) {
  async function run({ models, seconds, ...settings }) {
    const server = await serveJob({ models });
    try {
      const [dist, mini] = ["index", "mini"].map((file) => new URL(`../../dist/${file}.js`, import.meta.url).href);
      const job = { module: "ours.js", task, options: { ...options, dist, mini, origin: server.origin }, settings };
      return await runChild(process.execPath, [join(HERE, "node.mjs"), JSON.stringify(job)], { seconds });
    } finally {
      server.close();
    }
  }
  return { name, what: OWN, where: "Node", task, ...more, run };
}

/** A case of `pplx-embed bench-search`, found by the beginning of its name. */
function command(task, name, beginning, what = OWN) {
  async function run({ ms, seconds }) {
    const parameters = ["bench-search", "--device", "cpu", "--json", "--seconds", String(ms / 1000)];
    const report = JSON.parse(await output(BINARY, parameters, { seconds }));
    const found = report.cases.findLast((line) => line.name.startsWith(beginning));
    return { times: found.seconds.all.map((second) => 1000 * second), info: { device: report.device } };
  }
  return { name, what, where: "native", task, run };
}

function python(name, threads) {
  const run = ({ ms, most, seconds }) =>
    runChild(PYTHON, [join(HERE, "maxsim.py"), name, ...[threads, ms, most].map(String)], {
      seconds, env: { RAYON_NUM_THREADS: String(threads), OMP_NUM_THREADS: String(threads) },
    });
  return { name: `maxsim-${name}`, what: name, where: "native", task: "maxsim", threads, run };
}

export function tasks({ cores }) {
  return [
    python("maxsim-cpu", cores),
    python("torch", cores),
    inPage("maxsim", "maxsim-ours-page"),
    inNode("maxsim", "maxsim-ours-node"),
    command("maxsim", "maxsim-ours-native", "MaxSim"),
    command("search", "search-memory", "reading", "only reading the vectors"),
    inPage("search", "search-ours-page"),
    inNode("search", "search-ours-node"),
    command("search", "search-ours-native", "a query"),
    inPage("docs", "docs-ours-page"),
    inPage("docs", "docs-ours-page-isolated", { isolated: true }),
    inNode("docs", "docs-ours-node"),
  ];
}
