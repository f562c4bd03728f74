// A production build of Next.js, by its default bundler.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";

import { assertRuns, bin, installed, unbundled } from "./support.mjs";

/** Starts `next start` on a free port, and waits until it is ready. */
function started(t, app) {
  const script = join(app, "node_modules/next/dist/bin/next");
  const server = spawn(process.execPath, [script, "start", "-p", "0", "-H", "127.0.0.1"], { cwd: app });
  t.after(() => server.kill());
  let said = "";
  return new Promise((resolve, reject) => {
    const hear = (chunk) => {
      said += chunk;
      const url = /http:\/\/127\.0\.0\.1:\d+/.exec(said)?.[0];
      if (url && /Ready/.test(said)) resolve(url);
    };
    server.stdout.on("data", hear);
    server.stderr.on("data", hear);
    server.on("exit", () => reject(new Error(`next start ended: ${said}`)));
  });
}

test("Next.js: built by Turbopack, run in a browser and on the server", async (t) => {
  const app = await installed(t, "next");
  if (!app) return;
  await bin(app, "next", "build");
  const url = await started(t, app);
  await assertRuns(url);
  const { rows } = await (await fetch(new URL("/server", url))).json();
  assert.deepEqual(rows, (await unbundled()).rows.slice(0, 1));
});
