// What the user's thread and a worker both have in Node.js, Deno and Bun. Nothing here makes workers.

import * as fs from "node:fs";
import { readFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { isMainThread } from "node:worker_threads";

import type { Fetch, ThreadHost } from "../host.js";
import { answered } from "../silence.js";
import { adapterName } from "../web/thread.js";
import { FolderFiles, namesIn, openReading, replace } from "./files.js";
import { withGpu } from "./gpu.js";
import { lockFolder, Locks } from "./locks.js";
import { readUrl } from "./read.js";
import { rootFolder } from "./root.js";

/** The name of a worker's `ThreadData` among its `workerData`. */
export const THREAD_DATA = "pplx-embed-web";

/** The message that has a worker end itself. */
export const END = "end";

/** What a thread is given by the one that started it. */
export interface ThreadData {
  /** Hexadecimal digits that no other thread has. */
  owner: string;
  /** The folder that holds everything this package stores, if it is known where that is. */
  root: string | undefined;
}

/** A new name for a thread. */
export function newOwner(): string {
  return crypto.randomUUID().replaceAll("-", "");
}

/** A thread. `given` is asked for when files are first needed. */
export function nodeThread(given: () => ThreadData): Omit<ThreadHost, "startHelper"> {
  let locks: Locks | undefined;
  const root = () => given().root ?? rootFolder();
  return {
    withGpu,
    cores: availableParallelism,
    adapterName,

    async wasm(wasmUrl, signal) {
      const url = new URL(wasmUrl ?? new URL("../../wasm/pplx_embed_bg.wasm", import.meta.url));
      return url.protocol === "file:" ? readFile(url) : answered(url.href, signal);
    },

    onUncaught(listener) {
      // Node.js ends the process after such an error; whoever keeps it alive still hears of it.
      if (isMainThread) return void process.on("uncaughtExceptionMonitor", listener);
      process.on("uncaughtException", (error) => {
        if (!listener(error)) throw error;
      });
    },

    read: (url, init, fetch) => (url.startsWith("file:") ? readUrl(url, init) : fetched(url, init, fetch)),

    openFiles: async (name) => new FolderFiles(join(root(), name)).create(),

    async everyFiles(name) {
      const path = join(root(), name);
      return fs.statSync(path, { throwIfNoEntry: false })?.isDirectory() ? [new FolderFiles(path)] : [];
    },

    openFile: async (address) => openReading(fileURLToPath(address)),

    replaceFile: (address, write) => replace(fileURLToPath(address), write),

    lock(cache, name, request) {
      locks ??= new Locks(given().owner);
      return locks.take(lockFolder(root(), cache, name), request);
    },

    async storage() {
      let usage = 0;
      for (const cache of namesIn(root())) {
        for (const [, size] of await new FolderFiles(join(root(), cache)).list()) usage += size;
      }
      const free = freeBytes(root());
      return { quota: free === undefined ? undefined : usage + free, usage, persisted: true };
    },

    persist() {},
  };
}

/** Fetches. In Node.js an error says "fetch failed", and only its cause why. */
async function fetched(url: string, init: RequestInit, fetch: Fetch = globalThis.fetch): Promise<Response> {
  try {
    return await fetch(url, init);
  } catch (error) {
    const { message, name, cause } = error as { message?: unknown; name?: string; cause?: { message?: string; code?: string } };
    const why = cause?.message || cause?.code;
    if (!why || typeof message !== "string") throw error;
    throw Object.assign(new Error(`${message}: ${why}`, { cause: error }), { name });
  }
}

/** Bytes that a user may still write to the disk of a folder; undefined if the system does not say. */
function freeBytes(folder: string): number | undefined {
  try {
    const { bavail, bsize } = fs.statfsSync(folder);
    return Number(bavail) * Number(bsize);
  } catch {
    return undefined; // no such folder yet, or not allowed
  }
}
