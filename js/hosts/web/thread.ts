// What a page and a worker both have. Nothing here makes workers, so that worker.js can import it.

import { PplxEmbedError } from "../../errors.js";
import { type Files, ROOT } from "../files.js";
import type { ThreadHost } from "../host.js";
import { answered } from "../silence.js";
import { lock } from "./locks.js";

/** A way to keep files in a browser. Opens the cache `name`, or fails if there is none and `create` is false. */
export type Place = (root: string, name: string, create: boolean) => Promise<Files>;

/** A thread of a browser, which keeps files in `places`, the first that works. */
export function webThread(places: () => Place[]): Omit<ThreadHost, "startHelper"> {
  return {
    cores: () => globalThis.navigator?.hardwareConcurrency || 1,

    async withGpu(device = "auto", act) {
      if (device !== "webgpu" || globalThis.navigator?.gpu) return act(device);
      const why =
        globalThis.isSecureContext === false
          ? "this page is not a secure context; serve it over https, or from localhost"
          : 'this browser has no WebGPU, or it is switched off; device "cpu" runs on the processor';
      throw new PplxEmbedError("no-adapter", `no GPU adapter: ${why}`);
    },

    adapterName,

    // Bundlers look for exactly this expression.
    wasm: (url, signal) => answered(url ?? new URL("../../wasm/pplx_embed_bg.wasm", import.meta.url).href, signal),

    onUncaught(listener) {
      // A page's own errors are for its console too.
      const told = (event: Event, thrown: unknown) => {
        if (listener(thrown) && "importScripts" in globalThis) event.preventDefault();
      };
      addEventListener("error", (event) => told(event, event.error));
      addEventListener("unhandledrejection", (event) => told(event, event.reason));
    },

    read: (url, init, fetch) => (fetch ?? globalThis.fetch)(url, init),

    async openFiles(name) {
      const reasons: string[] = [];
      for (const open of places()) {
        try {
          return await open(ROOT, name, true);
        } catch (error) {
          reasons.push(error instanceof Error ? error.message : String(error));
        }
      }
      throw new Error(`this browser keeps no files for this page (${reasons.join("; ")})`);
    },

    // One page of an origin may find OPFS and another not.
    async everyFiles(name) {
      const opened = await Promise.allSettled(places().map((open) => open(ROOT, name, false)));
      return opened.flatMap((files) => (files.status === "fulfilled" ? [files.value] : []));
    },

    openFile: async () => undefined,

    async replaceFile() {
      throw new Error("a page has no files");
    },

    lock,

    async storage() {
      const storage = globalThis.navigator?.storage;
      const { quota, usage = 0 } = (await storage?.estimate?.()) ?? {};
      return { quota, usage, persisted: (await storage?.persisted?.()) ?? false };
    },

    // Only a page can ask; in a worker the method is missing.
    persist() {
      globalThis.navigator?.storage?.persist?.().catch(() => {});
    },
  };
}

/** What the host calls the GPU. The wasm module sees only the adapter's description, which is mostly empty. */
export async function adapterName(): Promise<string> {
  const adapter = await globalThis.navigator?.gpu?.requestAdapter({ powerPreference: "high-performance" });
  const { vendor = "", architecture = "" } = adapter?.info ?? {};
  return [vendor, architecture].filter(Boolean).join(" ");
}
