// What a page and a worker both have. Nothing here makes workers, so that worker.js can import it.

import { type Files, ROOT } from "../files.js";
import type { ThreadHost } from "../host.js";
import { lock } from "./locks.js";

/** A way to keep files in a browser. Opens the cache `name`, or fails if there is none and `create` is false. */
export type Place = (root: string, name: string, create: boolean) => Promise<Files>;

/** A thread of a browser, which keeps files in `places`, the first that works. */
export function webThread(places: () => Place[]): ThreadHost {
  return {
    // The wasm module sees only the adapter's description, which browsers mostly leave empty.
    async adapterName() {
      const adapter = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
      const { vendor = "", architecture = "" } = adapter?.info ?? {};
      return [vendor, architecture].filter(Boolean).join(" ");
    },

    wasm: (wasmUrl) => wasmUrl,

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
