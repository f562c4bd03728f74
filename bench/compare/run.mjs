// Measures every engine on one model, in turn, round by round, each run in a fresh browser or process, and writes
// bench/results/{machine}.json. `make bench` installs what it needs and starts it. An engine that fails has its error in
// the file, and the others go on. What can be chosen, from the environment:
//
//   ONLY=text          engines and tasks whose name has this in it (several, with commas)
//   CASES=16,maxsim    of 16, 128, 512, mixed, maxsim, search, docs; by default all
//   WEIGHTS=q8         of f32, q8, q4; by default all
//   ROUNDS=3           how many times each is run
//   MS=300             how long a case is repeated in a round
//   TIMEOUT=120        seconds that a run may take (with FULL=1 900)
//   FULL=1             the model has all 28 layers
//   GPU=1              WebGPU too, in a page and in Node through Dawn (on a software GPU a run takes minutes: raise TIMEOUT)
//   NAME=machine       the name of the file
//   NOTE=text          goes into the file
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { engines, PYTHON } from "./engines.mjs";
import { commit, machine, nameOf, versions } from "./machine.mjs";
import { compressedSizes, embeddingRow, median, taskRow } from "./summary.mjs";
import { tasks } from "./tasks.mjs";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const { ONLY = "", CASES, WEIGHTS, GPU, FULL, NAME, NOTE } = process.env;
const [ROUNDS, MS, TIMEOUT] = [["ROUNDS", 3], ["MS", 300], ["TIMEOUT", FULL ? 900 : 120]].map(([name, usual]) => {
  const value = Number(process.env[name] || usual);
  if (!(value > 0)) throw new Error(`${name} is ${process.env[name]}, allowed is a number above 0`);
  return value;
});
/** Of all of `list` those that `chosen` names, with commas between them. */
function choose(what, chosen, list) {
  const names = chosen ? chosen.split(",") : list;
  const unknown = names.find((name) => !list.includes(name));
  if (unknown) throw new Error(`${what} has ${unknown}, allowed are ${list.join(", ")}`);
  return names;
}

const models = `${ROOT}target/bench/models/${FULL ? "full" : "two-layers"}`;
const expected = JSON.parse(readFileSync(`${models}/cases.json`));
const TASKS = ["maxsim", "search", "docs"];
const wanted = choose("CASES", CASES, [...Object.keys(expected.cases), ...TASKS]);
const cases = wanted.filter((name) => name in expected.cases);
const forms = choose("WEIGHTS", WEIGHTS, ["f32", "q8", "q4"]);
const here = machine();
const path = `${ROOT}bench/results/${NAME || nameOf(here) + (FULL ? "-full" : "")}.json`;
const casesOf = ({ only = cases }) => cases.filter((name) => only.includes(name));
const named = ({ name }) => ONLY.split(",").some((text) => name.includes(text));

/** What is to be run in a round: forms first, so that engines on the same form follow one another closely. */
const plan = [
  ...forms.flatMap((form) =>
    engines({ gpu: GPU, cores: here.cores })
      .filter((engine) => casesOf(engine).length > 0 && engine.weights.includes(form) && named(engine))
      .map((engine) => ({ ...engine, form, run: (settings) => engine.run(settings, form) })),
  ),
  ...tasks(here).filter((task) => wanted.includes(task.task) && named(task)),
].map((entry) => ({ ...entry, results: [] }));
if (plan.length === 0) throw new Error(`no engine has ${ONLY} in its name, or none runs ${WEIGHTS}`);

let stopped = false;
const stop = new Promise((_, reject) => process.once("SIGINT", () => ((stopped = true), reject(new Error("stopped")))));
stop.catch(() => {});

const settings = { models, cases, expected, ms: MS, most: 20, seconds: TIMEOUT };
const start = Date.now();
for (let round = 1; round <= ROUNDS && !stopped; round++) {
  for (const [at, entry] of plan.entries()) {
    if (stopped) break;
    if (entry.error && entry.results.length === 0) continue; // it would fail again
    if (round > (entry.rounds ?? ROUNDS)) continue;
    const where = `round ${round} of ${ROUNDS}, ${at + 1} of ${plan.length}, ${Math.round((Date.now() - start) / 1000)} s`;
    const what = `${entry.name}${entry.form ? ` ${entry.form}` : ""}`;
    try {
      const result = await Promise.race([entry.run({ ...settings, cases: casesOf(entry) }), stop]);
      entry.results.push(result);
      console.error(`${where}: ${what}: ${brief(result)}`);
    } catch (error) {
      if (stopped) break;
      entry.error = String(error?.message ?? error).split("\n")[0].replaceAll(ROOT, "").replace("page.evaluate: ", "").slice(0, 400);
      console.error(`${where}: ${what} FAILED: ${entry.error}`);
    }
  }
}
if (stopped) console.error("\nstopped: what was measured is written");
write();
console.error(`${path.replace(ROOT, "")} after ${Math.round((Date.now() - start) / 1000)} s`);
process.exit(0); // a browser that was given up may hold the process

function brief({ cases, times }) {
  const ms = (times) => `${median(times).toFixed(1)} ms`;
  return cases ? Object.entries(cases).map(([name, { times }]) => `${name}: ${ms(times)}`).join(", ") : ms(times);
}

function write() {
  const sizes = compressedSizes(`${ROOT}target/bench/sizes.json`);
  const row = (entry) => {
    const { name, what, where, threads, isolated, activations, form, task, results, error } = entry;
    const { info } = results[0] ?? {}; // this package tells itself what it runs on
    const known = { device: info?.device, threads: info ? info.threads : threads, kernels: info?.kernels };
    const measured = results.length > 0 && (task ? taskRow(results) : embeddingRow(results, expected, sizes));
    return { name, what, where, task, weights: form, isolated, activations, ...known, ...measured, error };
  };
  /** Where this package has no kernels of 8-bit activations it runs exact ones, which have a row of their own. */
  const fast = ({ activations, results }) => !activations || results[0]?.info?.precision !== "exact";
  const report = {
    schema: 1, kind: "compare", machine: here, date: new Date().toISOString().slice(0, 10), ...commit(),
    command: `${["FULL", "ONLY", "CASES", "WEIGHTS", "ROUNDS", "MS", "GPU"].map((key) => (process.env[key] ? `${key}=${process.env[key]} ` : "")).join("")}make bench`,
    note: NOTE, layers: expected.shape.num_hidden_layers, rounds: ROUNDS, ms_a_case: MS,
    versions: { ...versions({ python: PYTHON }), browser: plan.flatMap(({ results }) => results).find(({ browser }) => browser)?.browser },
    embedding: plan.filter(({ form }) => form).filter(fast).map(row),
    tasks: plan.filter(({ task }) => task).map(row),
  };
  writeFileSync(path, `${JSON.stringify(report, null, 1)}\n`);
}
