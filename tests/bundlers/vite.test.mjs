// A page that Vite builds, with nothing configured.
import { test } from "node:test";

import { assertRuns, bin, installed, served } from "./support.mjs";

test("Vite: a production build", async (t) => {
  const app = await installed(t, "vite");
  if (!app) return;
  await bin(app, "vite", "build", "--outDir", "www");
  await assertRuns(await served(t, app));
});
