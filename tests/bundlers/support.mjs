// Apps that bundlers build from the packed package, and what they do in headless Chromium.
import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { chromium } from "playwright-core";

import { serve } from "../../scripts/serve.mjs";
import { executable, FLAGS } from "../web/browser.mjs";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const TARGET = join(ROOT, "target/bundlers");
const call = promisify(execFile);

/** Runs a program in a folder, for at most `seconds`. What it printed is in the error if it fails. */
async function command(cwd, seconds, program, ...args) {
  const path = [join(cwd, "node_modules/.bin"), process.env.PATH].join(delimiter);
  const env = { ...process.env, PATH: path, NEXT_TELEMETRY_DISABLED: "1" };
  try {
    await call(program, args, { cwd, env, timeout: seconds * 1000, killSignal: "SIGKILL", maxBuffer: 1 << 26 });
  } catch (error) {
    const why = error.killed ? `was not done after ${seconds} seconds` : `failed with ${error.code}`;
    throw new Error(`${program} ${args.join(" ")} ${why}\n${error.stdout}${error.stderr}`);
  }
}

/** Runs a script of node_modules/.bin. */
export const bin = (app, name, ...args) => command(app, 240, join(app, "node_modules/.bin", name), ...args);
/** Runs lines of a shell, as someone would who copied them. */
export const shell = (app, lines) => command(app, 240, "sh", "-e", "-c", lines);

/**
 * The folder of the app `name`, with its dependencies and the package as npm would install it. Undefined where the registry
 * cannot be reached; `t` then skips the test and says so.
 */
export async function installed(t, name) {
  const app = join(TARGET, name);
  mkdirSync(app, { recursive: true });
  const wanted = readFileSync(join(HERE, name, "package.json"), "utf8");
  const stamp = join(app, "node_modules/installed.json");
  if (!existsSync(stamp) || readFileSync(stamp, "utf8") !== wanted) {
    rmSync(app, { recursive: true, force: true });
    mkdirSync(app);
    writeFileSync(join(app, "package.json"), wanted);
    const quick = ["--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund", "--no-package-lock"];
    try {
      await command(app, 240, "npm", "install", "--fetch-retries=1", ...quick);
    } catch (error) {
      if (!/ENOTFOUND|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EAI_AGAIN|ENOTCACHED|EHOSTUNREACH|ENETUNREACH/.test(error.message)) throw error;
      return void t.skip(`the npm registry cannot be reached: ${error.message.split("\n").find((line) => /code|network/.test(line))}`);
    }
    writeFileSync(stamp, wanted);
  }
  // By hand, because npm would look at every other package again.
  const [{ filename }] = JSON.parse(
    execFileSync("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", app], {
      cwd: ROOT, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"],
    }),
  );
  const at = join(app, "node_modules/pplx-embed-web");
  rmSync(at, { recursive: true, force: true });
  mkdirSync(at);
  execFileSync("tar", ["-xzf", join(app, filename), "-C", at, "--strip-components=1"]);
  for (const made of ["www", ".next", "app"]) rmSync(join(app, made), { recursive: true, force: true });
  cpSync(join(HERE, name), app, { recursive: true });
  cpSync(join(HERE, "app.js"), join(app, "app.js"));
  return app;
}

/** Puts a file of an app beside what was built from it. */
export function copied(app, file) {
  mkdirSync(join(app, "www"), { recursive: true });
  copyFileSync(join(app, file), join(app, "www", file));
}

/** Serves what an app was built to, under the strictest policy that the package must run in, until the test ends. */
export async function served(t, app) {
  const server = await serve({ port: 0, root: app });
  t.after(() => server.close());
  return server.url;
}

/** What the package without a bundler gives. */
export async function unbundled() {
  const { run } = await import("./app.js");
  return (await run()).vectors.worker;
}

/** Opens a page in a browser of its own, and reads what its script wrote there. */
export async function result(url) {
  const browser = await chromium.launch({ executablePath: executable(), args: FLAGS, chromiumSandbox: false });
  try {
    const page = await browser.newPage();
    await page.route("**/favicon.ico", (route) => route.fulfill({ status: 204 })); // which Chromium asks for by itself
    const complaints = [];
    page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
    page.on("pageerror", (error) => complaints.push(String(error)));
    await page.goto(url);
    try {
      const text = await page.locator("output").textContent({ timeout: 60_000 });
      return { ...JSON.parse(text), complaints };
    } catch (error) {
      throw new Error(`the page has no result; its console says: ${complaints.join("; ") || "nothing"}`, { cause: error });
    }
  } finally {
    await browser.close();
  }
}

/** The app ran in a worker and in the page's thread, with the vectors of the package without a bundler. */
export async function assertRuns(url) {
  const { failed, vectors, notices, complaints } = await result(url);
  assert.equal(failed, undefined);
  const want = await unbundled();
  assert.deepEqual(vectors, { worker: want, page: want });
  assert.deepEqual(notices.filter((notice) => !/^runs on the processor/.test(notice)), []);
  assert.deepEqual(complaints, []);
}
