// Makes the workers of helpers in a page, or in a worker of it.

import { PplxEmbedError } from "../../errors.js";
import type { EngineWorker, WorkerListener } from "../host.js";

/** See `ThreadHost.startHelper`. */
export function startHelper({ received, failed }: WorkerListener): EngineWorker {
  let worker: Worker;
  try {
    // Bundlers look for exactly this expression.
    worker = new Worker(new URL("../../helper.js", import.meta.url), { type: "module" });
  } catch (cause) {
    throw new PplxEmbedError("start", `a worker could not be started: ${String(cause)}`, { cause });
  }
  worker.onmessage = (event: MessageEvent) => received(event.data);
  worker.onmessageerror = () => failed("a message could not be read");
  worker.onerror = (event) => {
    event.preventDefault(); // the call that waits for it reports it
    failed(event.message);
  };
  return {
    script: "helper.js",
    post: (message, transfer = []) => worker.postMessage(message, transfer),
    waits: () => {},
    end: () => worker.terminate(),
  };
}
