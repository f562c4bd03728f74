// A page that webpack builds, with nothing configured.
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";

import { assertRuns, copied, installed, served } from "./support.mjs";

/** webpack has a command in another package only, so this is its API. */
async function build(app) {
  const { default: webpack } = await import(pathToFileURL(join(app, "node_modules/webpack/lib/index.js")).href);
  const output = { path: join(app, "www"), filename: "main.js" };
  const compiler = webpack({ mode: "production", context: app, entry: "./main.js", output });
  const stats = await new Promise((resolve, reject) => compiler.run((error, done) => (error ? reject(error) : resolve(done))));
  await new Promise((resolve) => compiler.close(resolve));
  assert.equal(stats.hasErrors(), false, stats.toString());
}

test("webpack: a production build", async (t) => {
  const app = await installed(t, "webpack");
  if (!app) return;
  await build(app);
  copied(app, "index.html");
  await assertRuns(await served(t, app));
});
