// Counts what the shaders cost on GPUs that are not here, by their compilers, and what their work costs at least:
//   SHADER_COST=PROGRAM SHADER_MESA=WRAPPER node bench/kernels/main.mjs
// writes bench/results/kernels.json. PROGRAM compiles the WGSL files it is given as wgpu does, through naga for the Vulkan driver
// that is there, and prints the driver's statistics, with --isa its assembly too, with --checked bounded loops and indices.
// WRAPPER VENDOR CHIP PROGRAM ... runs it on a driver of Mesa for a chip that need not be there. Nothing runs on a GPU.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { CHIPS, GPUS, KERNELS, MODELS, TOKENS, WEIGHT_BITS, work } from "./kernels.mjs";
import { steadyState } from "./rdna.mjs";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const { SHADER_COST: program, SHADER_MESA: wrapper } = process.env;
if (!program || !wrapper) {
  console.error("SHADER_COST and SHADER_MESA have to name the compiler and its wrapper: see the first lines of this file");
  process.exit(2);
}

const variants = new Map(
  readFileSync(`${ROOT}shaders/variants.txt`, "utf8").split("\n").filter((line) => /^\w/.test(line))
    .map((line) => line.replace(/^native /, "").split("=").map((part) => part.trim())),
);

const scratch = mkdtempSync(join(tmpdir(), "kernels-"));
process.on("exit", () => rmSync(scratch, { recursive: true }));

/** A shader's file; one with values that the host overrides as a copy that has their defaults. */
function fixed(file) {
  const path = `${ROOT}shaders/${file}`;
  const text = readFileSync(path, "utf8");
  if (!/^override /m.test(text)) return path;
  const copy = join(scratch, file.replaceAll("/", "-"));
  writeFileSync(copy, text.replace(/^override /gm, "const "));
  return copy;
}

function compile([vendor, chip], name, checked = false) {
  const files = variants.get(name).split(/\s+/).map(fixed);
  const options = [...(vendor === "amd" ? ["--isa"] : []), ...(checked ? ["--checked"] : [])];
  return execFileSync(wrapper, [vendor, chip, program, ...options, ...files], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"], maxBuffer: 1 << 28 });
}

const statistic = (output, name) => {
  const found = new RegExp(`^ +${name} +(\\d+)$`, "m").exec(output);
  return found ? Number(found[1]) : null;
};
const rounded = (value, digits) => (value === undefined || value === null ? null : Number(value.toFixed(digits)));

function count(kernel, chip) {
  const output = compile(chip, kernel.name);
  const [vendor] = chip;
  const registers = statistic(output, { amd: "VGPRs", nvidia: "Number of GPRs", intel: "Max live registers" }[vendor]);
  const found = { registers };
  if (vendor === "amd") {
    Object.assign(found, { spills: statistic(output, "Spilled VGPRs"), waves: statistic(output, "Subgroups per SIMD") });
    const steady = kernel.shape && steadyState(output, kernel.shape);
    const checked = kernel.shape && steadyState(compile(chip, kernel.name, true), kernel.shape);
    Object.assign(found, {
      maddsAVector: rounded(steady?.maddsAVector, 2), checked: rounded(checked?.maddsAVector, 2),
      bufferBytes: rounded(steady?.bufferBytes, 3), workgroupBytes: rounded(steady?.workgroupBytes, 2),
    });
  }
  if (vendor === "intel") Object.assign(found, { spills: statistic(output, "Spill Count"), width: statistic(output, "Max dispatch width") });
  return found;
}

const counts = KERNELS.map((kernel) => {
  console.log(kernel.name);
  const { shape, vendor, ...rest } = kernel;
  const chips = CHIPS.filter((chip) => !vendor || chip[0] === vendor);
  return { ...rest, chips: Object.fromEntries(chips.map((chip) => [chip[2], count(kernel, chip)])) };
});

const floors = MODELS.flatMap((model) => TOKENS.flatMap((tokens) => Object.keys(WEIGHT_BITS).map((weights) => {
  const kernels = work(model, tokens, weights).map((one) => ({
    ...one, seconds: Object.fromEntries(GPUS.map((gpu) => [gpu.name, Math.max(one.operations / gpu.flops, one.bytes / gpu.bytes)])),
  }));
  return { model: model.name, tokens, weights, kernels };
})));

const what = "Counts of Mesa's compilers for chips that were not there, and arithmetic from published ceilings: no measurement.";
writeFileSync(`${ROOT}bench/results/kernels.json`, `${JSON.stringify({ kind: "kernels", what, gpus: GPUS, counts, floors }, null, 1)}\n`);
