// The worker of pages. Nothing that it imports may make such workers again (tests/web/imports.test.mjs).

import type { ToWorker } from "./engine/calls.js";
import { type Post, serve } from "./engine/serve.js";
import { startHelper } from "./hosts/web/helpers.js";
import * as opfs from "./hosts/web/opfs.js";
import * as pieces from "./hosts/web/pieces.js";
import { webThread } from "./hosts/web/thread.js";

// Outside a worker, importing this file does nothing.
if ("importScripts" in globalThis) {
  const page = globalThis as unknown as MessagePort;
  const places = [opfs.place(), pieces.open];
  const post: Post = (message, transfer) => page.postMessage(message, transfer);
  const take = serve({ ...webThread(() => places), startHelper, persist: () => post({ type: "persist" }, []) }, post);
  page.onmessage = (event: MessageEvent<ToWorker>) => take(event.data);
}
