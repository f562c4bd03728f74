// The worker of Node.js, Deno and Bun. Nothing that it imports may make such workers again (tests/web/imports.test.mjs).

import { parentPort, workerData } from "node:worker_threads";

import type { ToWorker } from "./engine/calls.js";
import { serve } from "./engine/serve.js";
import { startHelper } from "./hosts/node/helpers.js";
import { END, nodeThread, THREAD_DATA, type ThreadData } from "./hosts/node/thread.js";

const given = (workerData as Record<string, ThreadData> | null | undefined)?.[THREAD_DATA];
// Outside such a worker, importing this file does nothing.
if (given && parentPort) {
  const port = parentPort;
  const take = serve({ ...nodeThread(() => given), startHelper }, (message, transfer) => port.postMessage(message, transfer));
  port.on("message", (message) => (message === END ? globalThis.close() : take(message as ToWorker)));
}
