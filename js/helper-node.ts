// The worker of a helper in Node.js, Deno and Bun. Nothing that it imports may make workers (tests/web/imports.test.mjs).

import { parentPort, workerData } from "node:worker_threads";

import { help } from "./engine/help.js";

// Outside such a worker, importing this file does nothing.
if (workerData === "pplx-embed-web helper" && parentPort) {
  const port = parentPort;
  port.on("message", help((message, transfer) => port.postMessage(message, transfer)));
}
