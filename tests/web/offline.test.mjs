// The service worker of docs/loading.md: a page that was open twice opens without a network, with its model.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { start } from "./browser.mjs";

const DOCS = readFileSync(new URL("../../docs/loading.md", import.meta.url), "utf8");
const [, serviceWorker] = /^```js\n(\/\/ sw\.js.*?)^```$/ms.exec(DOCS);
const [, register] = /^```js\n(\/\/ in your page.*?)^```$/ms.exec(DOCS);
const SCRIPT = `
  ${register}
  const { load } = await import("/dist/index.js");
  await import("/dist/mini.js");
  const model = await load("mini", { device: "cpu" });
  const output = document.createElement("output");
  output.textContent = (await model.embed("a")).data.join();
  document.body.append(output);
  await model.dispose();
`;

test("the service worker that the docs show makes a page work offline", async (t) => {
  let reachable = true;
  const browser = await start({
    intercept(request, response, headers) {
      if (!reachable) return !!request.socket.destroy();
      const body = {
        "/sw.js": serviceWorker,
        "/offline.js": SCRIPT,
        "/offline.html": '<!doctype html><title>test</title><body><script type="module" src="/offline.js"></script>',
      }[request.url];
      if (body === undefined) return false;
      const type = request.url.endsWith(".js") ? "text/javascript" : "text/html";
      response.writeHead(200, { ...headers, "Content-Type": type }).end(body);
      return true;
    },
  });
  t.after(() => browser.stop());
  const visit = async (page) => {
    const vector = () => page.locator("output").textContent({ timeout: 60_000 });
    await vector();
    await page.reload();
    const online = await vector();
    reachable = false; // which service workers notice too, other than an emulated lack of a network
    await page.reload();
    assert.equal(await vector(), online);
    // What was not asked for before is not there.
    assert.equal(await page.evaluate(() => fetch("/other").catch((error) => error.name)), "TypeError");
  };
  await browser.visit("/offline.html", visit, [/ERR_EMPTY_RESPONSE|ERR_FAILED|ERR_CONNECTION/, /Failed to fetch/]);
});
