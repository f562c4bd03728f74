// Runs one job in a fresh headless Chromium.
import { readdirSync, readFileSync } from "node:fs";

import { chromium } from "playwright-core";

import { executable, FLAGS } from "../../tests/web/browser.mjs";
import { serveJob } from "./server.mjs";

/** The fields of /proc/{pid}/status; none where there is no such file. */
function status(pid) {
  try {
    return Object.fromEntries(readFileSync(`/proc/${pid}/status`, "utf8").split("\n").map((line) => line.split(/:\s+/)));
  } catch {
    return {};
  }
}

/** The most memory that any process of the browser has had, in bytes: that is the page's. Linux only. */
function peakMemory(root) {
  let pids;
  try {
    pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  } catch {
    return undefined;
  }
  const statuses = new Map(pids.map((pid) => [pid, status(pid)]));
  const family = new Set([String(root)]);
  for (let size = 0; size !== family.size;) {
    size = family.size;
    for (const [pid, { PPid }] of statuses) if (family.has(PPid)) family.add(pid);
  }
  const renderers = [...family].filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("--type=renderer");
    } catch {
      return false;
    }
  });
  return Math.max(...renderers.map((pid) => parseInt(statuses.get(pid).VmHWM, 10) * 1024));
}

/** `job` is what page.js runs; `where` is { models, isolated, gpu, seconds }. */
export async function runInBrowser(job, { models, isolated, gpu, seconds }) {
  const server = await serveJob({ models, isolated });
  let browser, launched, timer;
  try {
    launched = await chromium.launchServer({
      executablePath: executable(), args: gpu ? FLAGS : [], chromiumSandbox: false, headless: true, timeout: 60_000,
      handleSIGINT: false, // run.mjs does, and first writes what there is
    });
    browser = await chromium.connect(launched.wsEndpoint());
    const page = await browser.newPage();
    const said = [];
    page.on("console", (message) => message.type() === "error" && said.push(message.text()));
    const work = (async () => {
      await page.goto(`${server.origin}/page/page.html`);
      await page.waitForFunction("window.job");
      return page.evaluate((job) => window.job(job), job);
    })();
    work.catch(() => {}); // if the time is over, nobody waits for it any more
    const result = await Promise.race([
      work,
      new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error(`no result within ${seconds} s; ${said.slice(-2).join("; ")}`)), 1000 * seconds);
      }),
      new Promise((_, reject) => page.once("crash", () => reject(new Error("the page crashed")))),
    ]);
    return { ...result, peak_bytes: peakMemory(launched.process().pid), files: server.sent, browser: browser.version() };
  } finally {
    clearTimeout(timer);
    await browser?.close().catch(() => {});
    await launched?.kill().catch(() => {});
    server.close();
  }
}
