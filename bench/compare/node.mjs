// Runs one job in this process: node node.mjs JOB, where JOB is JSON like that of page.js. Prints the result as JSON. With
// `dawn` it has WebGPU.
import { readFileSync } from "node:fs";
import { stdout } from "node:process";

import { measure, readCases } from "./page/timing.js";

const { module, options, cases, settings, file, task, dawn } = JSON.parse(process.argv[2]);
let files;
if (dawn) {
  const { installDawn, nodeFiles } = await import("./dawn.mjs");
  installDawn();
  files = nodeFiles(options.models);
}
const start = performance.now();
const engine = await import(`./page/${module}`);
const imported = performance.now() - start;
let result;
if (task) {
  result = await engine[task]({ options, settings });
} else {
  const expected = readCases(JSON.parse(readFileSync(file, "utf8")), cases);
  result = await measure(() => engine.load({ options, files }), expected, settings);
  result.load_ms += imported;
}
const peak_bytes = process.resourceUsage().maxRSS * 1024;
stdout.write(`\nRESULT ${JSON.stringify({ ...result, peak_bytes })}\n`, () => process.exit(0));
