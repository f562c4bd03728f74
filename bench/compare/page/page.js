// Runs one job in a page: window.job({ module, options, cases, settings, task }).
import { measure, readCases } from "./timing.js";

// A rejection that nobody awaits would otherwise leave its engine waiting for ever.
const stray = new Promise((_, reject) => addEventListener("unhandledrejection", ({ reason }) => reject(reason)));

window.job = (job) => Promise.race([run(job), stray]);

async function run({ module, options, cases, settings, task }) {
  const start = performance.now();
  const engine = await import(module);
  const imported = performance.now() - start;
  if (task) return engine[task]({ options, settings });
  const expected = await (await fetch("/cases.json")).json();
  const result = await measure(() => engine.load({ options }), readCases(expected, cases), settings);
  return { ...result, load_ms: result.load_ms + imported, isolated: crossOriginIsolated };
}
