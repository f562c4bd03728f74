// What the tests of Node.js, Deno and Bun share. It is imported before the package, which then keeps its files in a folder
// that is gone after the tests.
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../..", import.meta.url));
export const CHECKPOINTS = join(ROOT, "tests/fixtures/checkpoints");
/** The folder of this file of tests, and the cache in it. */
export const FOLDER = mkdtempSync(join(tmpdir(), "pplx-embed-web-"));
process.env.PPLX_EMBED_CACHE = join(FOLDER, "cache");
export const CACHE = join(FOLDER, "cache", "js");
process.on("exit", () => rmSync(FOLDER, { recursive: true, force: true, maxRetries: 3 }));

/** The programs that run JavaScript: Node.js, and those that npm installed. `why` says what is missing. */
export const RUNTIMES = {
  node: { command: process.execPath, flags: [] },
  deno: installed("@deno", "deno", ["run", "--allow-all", "--no-lock"]),
  bun: installed("@oven", "bin/bun", []),
};

/** A program in one of the packages for each platform. Their install scripts, which would put it in place, do not run. */
function installed(scope, program, flags) {
  const packages = join(ROOT, "node_modules", scope);
  const found = existsSync(packages) ? readdirSync(packages).map((name) => join(packages, name, program)) : [];
  const command = found.find(existsSync) ?? found.map((path) => `${path}.exe`).find(existsSync);
  return { command, flags, why: command ? undefined : `${packages} has no ${program} for this platform` };
}

/** Runs a script in another process: what it printed, on both streams, its exit code, and how many milliseconds it took. */
export function run(args, { runtime = RUNTIMES.node, cwd = ROOT, env = {}, timeout = 180_000, onStart } = {}) {
  const began = performance.now();
  return new Promise((resolve) => {
    const options = { cwd, env: { ...process.env, ...env }, timeout };
    const child = execFile(runtime.command, [...runtime.flags, ...args], options, (error, out, err) => {
      resolve({ out, err, code: error ? (error.code ?? error.signal) : 0, ms: performance.now() - began });
    });
    onStart?.(child);
  });
}

/** Runs a module that is given as text. */
export const runModule = (script, options) => run(["--input-type=module", "-e", script], options);

/** How a promise fails. */
export async function failure(promise) {
  try {
    await promise;
  } catch (error) {
    return { name: error.name, code: error.code, message: error.message };
  }
  return { code: "none: it succeeded", message: "" };
}

/** Waits until `check()` is true. */
export const until = async (check, what) => {
  for (let left = 2400; left > 0; left--) {
    if (await check()) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`not within a minute: ${what}`);
};
