// Makes the workers of helpers in Node.js, Deno and Bun.

import process from "node:process";
import { Worker } from "node:worker_threads";

import { PplxEmbedError } from "../../errors.js";
import type { EngineWorker, WorkerListener } from "../host.js";

/** See `ThreadHost.startHelper`. */
export function startHelper({ received, failed }: WorkerListener): EngineWorker {
  let worker: Worker;
  try {
    worker = new Worker(new URL("../../helper-node.js", import.meta.url), {
      workerData: "pplx-embed-web helper",
      // This option of a script that was given as text would be refused.
      ...(process.execArgv.some((flag) => flag.startsWith("--input-type")) && { execArgv: [] }),
    });
  } catch (cause) {
    throw new PplxEmbedError("start", `a worker could not be started: ${String(cause)}`, { cause });
  }
  let ended = false;
  worker.on("message", received);
  worker.on("error", (error) => failed(error instanceof Error ? error.message : String(error)));
  worker.on("exit", (code) => {
    if (!ended) failed(`it ended with code ${code}`);
  });
  return {
    script: "helper-node.js",
    post: (message, transfer = []) => worker.postMessage(message, transfer),
    waits: (busy) => (busy ? worker.ref() : worker.unref()),
    end() {
      ended = true;
      void worker.terminate();
    },
  };
}
