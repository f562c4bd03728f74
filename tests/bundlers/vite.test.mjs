// A page that Vite builds, and one that it serves while it is being written, with nothing configured.
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";

import { assertRuns, bin, installed, served } from "./support.mjs";

test("Vite: a production build", async (t) => {
  const app = await installed(t, "vite");
  if (!app) return;
  await bin(app, "vite", "build", "--outDir", "www");
  await assertRuns(await served(t, app));
});

test("Vite: the development server", async (t) => {
  const app = await installed(t, "vite");
  if (!app) return;
  const { createServer } = await import(pathToFileURL(join(app, "node_modules/vite/dist/node/index.js")).href);
  const server = await createServer({ root: app, logLevel: "error", server: { host: "127.0.0.1" } });
  t.after(() => server.close());
  await server.listen();
  await assertRuns(server.resolvedUrls.local[0]);
});
