// The worker of a helper in a page. Nothing that it imports may make workers (tests/web/imports.test.mjs).

import { help } from "./engine/help.js";

// Outside a worker, importing this file does nothing.
if ("importScripts" in globalThis) {
  const starter = globalThis as unknown as MessagePort;
  const take = help((message, transfer) => starter.postMessage(message, transfer));
  starter.onmessage = (event: MessageEvent) => take(event.data);
}
