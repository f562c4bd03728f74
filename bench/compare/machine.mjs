// What was measured where, and with which versions.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import os from "node:os";

const ROOT = new URL("../..", import.meta.url);
/** Instructions that decide which kernels an engine has. */
const FLAGS = [
  "avx", "avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16", "amx_int8", "asimddp", "i8mm",
  "sve",
];

const git = (...parameters) => execFileSync("git", parameters, { cwd: ROOT, encoding: "utf8" }).trim();

export function machine() {
  const [cpu, cores] = [os.cpus()[0].model.trim(), os.availableParallelism()];
  const info = existsSync("/proc/cpuinfo") ? readFileSync("/proc/cpuinfo", "utf8") : "";
  const known = new Set((/^(?:flags|Features)\s*:\s*(.*)$/m.exec(info)?.[1] ?? "").split(" "));
  // Chips of one name differ: the numbers tell the generation.
  const [family, model] = ["cpu family", "model"].map((key) => new RegExp(`^${key}\\s*: (\\d+)$`, "m").exec(info)?.[1]);
  return {
    cpu, family, model, cores, flags: FLAGS.filter((flag) => known.has(flag)),
    memory_gib: Math.round(os.totalmem() / 2 ** 30), os: `${os.type()} ${os.release()}`,
  };
}

/** A file name for it. */
export const nameOf = ({ cpu, model, cores }) =>
  `${cpu} ${model ? `model ${model}` : ""} ${cores} cores`.toLowerCase().replace(/\(r\)|\(tm\)/g, "").replace(/[^a-z0-9]+/g, "-");

export function versions({ python }) {
  const json = (path) => JSON.parse(readFileSync(new URL(path, import.meta.url)));
  const { dependencies } = json("package.json");
  const inside = "node_modules/@huggingface/transformers/node_modules/onnxruntime-web/package.json";
  const pinned = readFileSync(new URL("requirements.txt", import.meta.url), "utf8").trim().split("\n");
  return {
    "pplx-embed-web": json("../../package.json").version,
    ...Object.fromEntries(Object.entries(dependencies)),
    "onnxruntime-web in transformers.js": json(inside).version,
    ...Object.fromEntries(pinned.map((line) => line.split("=="))),
    node: process.version, python: execFileSync(python, ["--version"], { encoding: "utf8" }).trim(),
  };
}

export function commit() {
  return { commit: git("rev-parse", "--short", "HEAD"), dirty: git("status", "--porcelain", "--untracked-files=no") !== "" };
}
