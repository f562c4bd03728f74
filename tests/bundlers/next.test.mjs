// A production build of Next.js, by its default bundler.
import { spawn } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";

import { assertRuns, installed, bin } from "./support.mjs";

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

test("Next.js: built by Turbopack, run in a browser", async (t) => {
  const app = await installed(t, "next");
  if (!app) return;
  await bin(app, "next", "build");
  await assertRuns(await started(t, app));
});
