// Headless Chromium with WebGPU, and pages in which nothing may go wrong unnoticed.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";

import { chromium } from "playwright-core";

import { serveTests } from "./server.mjs";

const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
// The flags of webdriver.json, where playwright does not set them itself.
export const FLAGS = [
  "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan", "--disable-quic",
];
/** Chrome's own note of every 404, which is how the files that a model need not have are found missing. */
const MISSING_FILE = /^Failed to load resource: .* 404 /;

export function executable() {
  for (const name of [process.env.CHROME, process.env.CHROMIUM, ...NAMES]) {
    try {
      if (name) return execFileSync("sh", ["-c", 'command -v "$1"', "sh", name], { encoding: "utf8" }).trim();
    } catch {
      // not that one
    }
  }
  throw new Error(`no Chromium: set CHROMIUM to one, or install one of ${NAMES.join(", ")}`);
}

/** A browser and a server, for a file of tests. The models in `root` are those of its Hub; `intercept` as for `serve`. */
export async function start({ root, intercept } = {}) {
  const [server, browser] = await Promise.all([
    serveTests({ root, intercept }),
    chromium.launch({ executablePath: executable(), args: FLAGS, chromiumSandbox: false }),
  ]);
  return {
    server,

    /** Runs `test(page)` on a page of its own, which may complain in the console of what is in `expected` only. */
    async visit(path, test, expected = []) {
      const context = await browser.newContext();
      const page = await context.newPage();
      const complaints = [];
      page.on("console", (message) => {
        if (["error", "warning"].includes(message.type())) complaints.push(message.text());
      });
      page.on("pageerror", (error) => complaints.push(String(error)));
      try {
        await page.goto(new URL(path, server.url).href);
        await test(page);
        const known = [...expected, MISSING_FILE];
        assert.deepEqual(complaints.filter((text) => !known.some((pattern) => pattern.test(text))), []);
      } finally {
        await context.close();
      }
    },

    async stop() {
      await browser.close();
      await server.close();
    },
  };
}

/** Waits until `check()` is true. */
export async function until(check, what, seconds = 10) {
  for (let left = seconds * 20; left > 0; left--) {
    if (await check()) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.fail(`not within ${seconds} seconds: ${what}`);
}
