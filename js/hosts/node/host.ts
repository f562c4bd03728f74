// Node.js, Deno and Bun. All workers of theirs are made here.

import * as fs from "node:fs";
import process from "node:process";
import { fileURLToPath, pathToFileURL } from "node:url";
import { Worker } from "node:worker_threads";

import { invalid, PplxEmbedError } from "../../errors.js";
import type { EngineWorker, Host, WorkerListener } from "../host.js";
import { startHelper } from "./helpers.js";
import { releaseAll } from "./locks.js";
import { rootFolder } from "./root.js";
import { END, newOwner, nodeThread, THREAD_DATA, type ThreadData } from "./thread.js";

let own: ThreadData | undefined;
/** This thread. The folder is looked up once, so that what was kept is found again. */
const thread = (): ThreadData => (own ??= { owner: newOwner(), root: knownRoot() });

/** Undefined where it cannot be told: files are then not kept, and whoever asks for one hears why. */
function knownRoot(): string | undefined {
  try {
    return rootFolder();
  } catch {
    return undefined;
  }
}

export const node: Host = {
  ...nodeThread(thread),
  startHelper,

  address(argument, text) {
    try {
      const url = /^file:/i.test(text) ? new URL(text) : pathToFileURL(text);
      fileURLToPath(url); // which refuses what is no path: another host, or an encoded slash
      return url.href;
    } catch (cause) {
      throw invalid(argument, text, `a path, or an address of a file (${(cause as Error).message})`);
    }
  },

  isFolder: async (address) => {
    try {
      return !!fs.statSync(fileURLToPath(address), { throwIfNoEntry: false })?.isDirectory();
    } catch (cause) {
      throw new PplxEmbedError("io", `${address}: ${(cause as Error).message}`, { cause });
    }
  },

  startWorker({ received, failed }: WorkerListener): EngineWorker {
    const data: ThreadData = { owner: newOwner(), root: thread().root };
    let ended = false;
    let worker: Worker;
    try {
      worker = new Worker(new URL("../../worker-node.js", import.meta.url), {
        workerData: { [THREAD_DATA]: data },
        // This option of a script that was given as text would be refused.
        ...(process.execArgv.some((flag) => flag.startsWith("--input-type")) && { execArgv: [] }),
      });
    } catch (cause) {
      throw new PplxEmbedError("start", `the worker could not be started: ${String(cause)}`, { cause });
    }
    worker.on("message", received);
    worker.on("error", (error) => failed(error instanceof Error ? error.message : String(error)));
    worker.on("exit", (code) => {
      if (data.root !== undefined) releaseAll(data.owner, data.root);
      if (!ended) failed(`it ended with code ${code}`);
    });
    return {
      script: "worker-node.js",
      post: (message, transfer = []) => worker.postMessage(message, transfer),
      waits: (busy) => (busy ? worker.ref() : worker.unref()),
      end() {
        if (ended) return;
        ended = true;
        // A worker of Deno 2.9 that has used a GPU has to end by itself, and before the process does: else both crash.
        if ("Deno" in globalThis) {
          worker.ref();
          worker.postMessage(END);
          const stop = setTimeout(() => void worker.terminate(), 2000); // if it is busy
          worker.on("exit", () => clearTimeout(stop));
          return;
        }
        void worker.terminate();
        worker.unref(); // terminate() has the process wait for the thread
      },
    };
  },
};
