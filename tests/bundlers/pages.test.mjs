// Pages that Vite, webpack and esbuild build, with nothing configured but what the docs say.
import assert from "node:assert/strict";
import { copyFileSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { test } from "node:test";

import { serve } from "../../scripts/serve.mjs";
import { assertRuns, bin, installed, result, shell } from "./support.mjs";

/** Serves what an app was built to, under the strictest policy that the package must run in. */
async function served(t, app) {
  const server = await serve({ port: 0, root: app });
  t.after(() => server.close());
  return server.url;
}

const copied = (app, file) => {
  mkdirSync(join(app, "www"), { recursive: true });
  copyFileSync(join(app, file), join(app, "www", file));
};

/** webpack has a command in another package only, so this is its API. */
async function webpack(app) {
  const { default: webpack } = await import(pathToFileURL(join(app, "node_modules/webpack/lib/index.js")).href);
  const output = { path: join(app, "www"), filename: "main.js" };
  const compiler = webpack({ mode: "production", context: app, entry: "./main.js", output });
  const stats = await new Promise((resolve, reject) => compiler.run((error, stats) => (error ? reject(error) : resolve(stats))));
  await new Promise((resolve) => compiler.close(resolve));
  assert.equal(stats.hasErrors(), false, stats.toString());
}

test("Vite: a production build", async (t) => {
  const app = await installed(t, "vite");
  if (!app) return;
  await bin(app, "vite", "build", "--outDir", "www");
  await assertRuns(await served(t, app));
});

test("webpack: a production build", async (t) => {
  const app = await installed(t, "webpack");
  if (!app) return;
  await webpack(app);
  copied(app, "index.html");
  await assertRuns(await served(t, app));
});

test("esbuild: with the commands of docs/hosts.md; without them the error says what to do", async (t) => {
  const app = await installed(t, "esbuild");
  if (!app) return;
  copied(app, "index.html");
  const docs = readFileSync(new URL("../../docs/hosts.md", import.meta.url), "utf8");
  const [, commands] = /^```sh\n([^`]*\besbuild [^`]*)^```$/m.exec(docs);
  await shell(app, commands);
  await assertRuns(await served(t, app));

  const plain = await installed(t, "esbuild");
  copied(plain, "index.html");
  for (const format of ["esm", "iife"]) {
    await shell(plain, `esbuild main.js --bundle --log-level=error --outdir=www --format=${format}`);
    const { failed } = await result(await served(t, plain));
    assert.deepEqual([failed.name, failed.code], ["PplxEmbedError", "start"], failed.message);
    assert.match(failed.message, /leave pplx-embed-web out of the bundle/);
  }
});
