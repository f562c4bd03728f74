// esbuild copies no files that scripts name by `new URL`: docs/hosts.md says what to do, and the error points there.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { assertRuns, copied, installed, result, served, shell } from "./support.mjs";

test("esbuild: with the commands of docs/hosts.md", async (t) => {
  const app = await installed(t, "esbuild");
  if (!app) return;
  const docs = readFileSync(new URL("../../docs/hosts.md", import.meta.url), "utf8");
  const [, commands] = /^```sh\n([^`]*\besbuild [^`]*)^```$/m.exec(docs);
  await shell(app, commands);
  copied(app, "index.html");
  await assertRuns(await served(t, app));
});

test("esbuild: without them, the error says what to do", async (t) => {
  const app = await installed(t, "esbuild");
  if (!app) return;
  copied(app, "index.html");
  for (const format of ["esm", "iife"]) {
    await shell(app, `esbuild main.js --bundle --log-level=error --outdir=www --format=${format}`);
    const { failed } = await result(await served(t, app));
    assert.deepEqual([failed.name, failed.code], ["PplxEmbedError", "start"], failed.message);
    assert.match(failed.message, /leave pplx-embed-web out of the bundle/);
  }
});
