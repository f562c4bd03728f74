// Puts what bench/gpu.sh measured into one result: measured.mjs FOLDER [CEILING], where FOLDER has the JSON of `pplx-embed bench`
// for each form of weights, and of torch_gpu.py where it ran. Prints a table.
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const [folder, ceiling] = process.argv.slice(2);
const read = (file) => JSON.parse(readFileSync(`${folder}/${file}`, "utf8"));
const files = readdirSync(folder).filter((file) => file.endsWith(".json"));
const runs = files.filter((file) => file !== "torch.json").map(read);
const torch = files.includes("torch.json") ? read("torch.json") : undefined;
if (runs.length === 0) throw new Error(`${folder} has no results`);

const peak = ceiling ? Number(ceiling) : undefined;
if (ceiling && !(peak > 0)) throw new Error(`CEILING is ${ceiling}, a number such as 67e12 is wanted`);
const { adapter } = runs[0].info;
const kernels = Object.fromEntries(runs.map(({ info }) => [`${info.weights} ${info.precision}`, info.kernels]));
const results = runs.flatMap(({ info, cases }) => cases.map((one) => {
  const beside = torch?.cases.find((other) => other.case === one.name);
  return {
    weights: info.weights, precision: info.precision, case: one.name, tokensPerSecond: one.tokensPerSecond, gflops: one.gflops, seconds: one.seconds,
    ...(peak && { shareOfCeiling: (one.gflops * 1e9) / peak }),
    ...(beside && { torchTokensPerSecond: beside.tokens / beside.seconds }),
  };
}));
console.log(["weights", "precision", "case", "tokens/s", "GFLOP/s", peak ? "of the ceiling" : "", torch ? "torch, tokens/s" : ""].join("\t"));
for (const r of results) {
  const share = r.shareOfCeiling === undefined ? "" : `${(100 * r.shareOfCeiling).toFixed(0)} %`;
  console.log([r.weights, r.precision, r.case, r.tokensPerSecond.toFixed(0), r.gflops.toFixed(0), share, r.torchTokensPerSecond?.toFixed(0) ?? ""].join("\t"));
}

const name = adapter.name.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "") || "unknown";
const path = fileURLToPath(new URL(`../results/gpu-${name}.json`, import.meta.url));
const { machine, version } = runs[0];
const result = { kind: "gpu", machine, version, adapter, ceiling: peak, torch: torch && { torch: torch.torch, device: torch.device }, kernels, results };
writeFileSync(path, `${JSON.stringify(result, null, 1)}\n`);
console.log(path);
