// Measures loading natively, through the command line, from a local server that speaks the Hub's protocol: bytes
// downloaded, seconds cold and warm, and the most memory the process had beyond its weights. With a software adapter the
// device's memory is the process's own, and is taken off.
//   node bench/load-native.mjs --model target/large/4b [--weights q8] [--output bench/results/load-native.json]
// Needs target/release/pplx-embed (make build), GNU time, and VK_ICD_FILENAMES for the adapter that is meant.
import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { hub } from "./hub.mjs";

const { values: options } = parseArgs({
  options: {
    model: { type: "string" },
    weights: { type: "string", default: "q8" },
    output: { type: "string" },
    note: { type: "string", default: "" },
  },
});

/** What any model takes: the program, the driver and its compiler. */
const SMALL = "tests/fixtures/checkpoints/f32-gqa2";

/** Loads a model once: what `info` says, and what it took. */
function load(...options) {
  const command = ["-f", "%M %e", "target/release/pplx-embed", "info", "--json", ...options];
  return new Promise((resolve, reject) => {
    const child = spawn("/usr/bin/time", command);
    let [out, error] = ["", ""];
    child.stdout.on("data", (data) => (out += data));
    child.stderr.on("data", (data) => (error += data));
    child.on("close", (code) => {
      if (code !== 0) return reject(new Error(error));
      const [kilobytes, seconds] = error.trim().split("\n").at(-1).split(" ").map(Number);
      resolve({ info: JSON.parse(out), peak: kilobytes * 1024, seconds });
    });
  });
}

const { peak: small } = await load("--model", SMALL);
const server = await hub(options.model);
const results = [];
try {
  for (const weights of options.weights.split(",")) {
    const cache = await mkdtemp(join(os.tmpdir(), "bench-cache-"));
    try {
      for (const run of ["cold", "warm", "warm"]) {
        server.state.sent = 0;
        const from = ["--model", "model", "--endpoint", server.url, "--cache-dir", cache];
        const { info, peak, seconds } = await load(...from, "--weights", weights);
        const device = info.adapter.software ? info.bytes.device : 0;
        results.push({
          weights, run, held: info.weights, bytes: info.bytes, downloaded: server.state.sent, seconds,
          peak_bytes: peak, beyond_weights: peak - info.bytes.host - device, adapter: info.adapter,
        });
        console.error(JSON.stringify(results.at(-1)));
      }
    } finally {
      await rm(cache, { recursive: true, force: true });
    }
  }
} finally {
  await server.close();
}
const report = {
  schema: 1, device: `${os.cpus()[0].model.trim()}, ${os.cpus().length} cores`, date: new Date().toISOString().slice(0, 10),
  command: `node bench/load-native.mjs ${process.argv.slice(2).join(" ")}`, note: options.note, model: options.model,
  small_model_peak_bytes: small, results,
};
if (options.output) await writeFile(options.output, `${JSON.stringify(report, null, 2)}\n`);
else console.log(JSON.stringify(report, null, 2));
