// The web: a page, or a worker of the user's own. All workers of pages are made here.

import { invalid, PplxEmbedError } from "../errors.js";
import { type EngineWorker, type Host, OtherOriginError, type WorkerListener } from "./host.js";
import { startHelper } from "./web/helpers.js";
import * as opfs from "./web/opfs.js";
import * as pieces from "./web/pieces.js";
import { type Place, webThread } from "./web/thread.js";
import { WriterWorker } from "./web/writer.js";

/** @throws {@link OtherOriginError}, or PplxEmbedError with code `"start"`. */
function made(make: () => Worker): Worker {
  try {
    return make();
  } catch (cause) {
    if ((cause as { name?: unknown } | null)?.name === "SecurityError") {
      throw new OtherOriginError("the browser makes no worker from a script on another origin than the page", { cause });
    }
    throw new PplxEmbedError("start", `the worker could not be started: ${String(cause)}`, { cause });
  }
}

// Bundlers look for exactly these two expressions.
const startEngine = () => made(() => new Worker(new URL("../worker.js", import.meta.url), { type: "module" }));
const startWriter = () => made(() => new Worker(new URL("./web/writer-worker.js", import.meta.url), { type: "module" }));

/** Without workers a page cannot append to a file in OPFS. The place then does not work, and the Cache API's turn comes. */
let writes: Promise<void> | undefined;
const write = opfs.place((handle, discard) => WriterWorker.open(startWriter(), handle, discard));
const inOpfs: Place = async (root, name, create) => {
  if (create) await (writes ??= (async () => WriterWorker.probe(startWriter()))());
  return write(root, name, create);
};
const places = () => [inOpfs, pieces.open];

export const web: Host = {
  ...webThread(places),
  startHelper,

  address(argument, path) {
    throw invalid(argument, path, "no path of a file: a page has none");
  },

  isFolder: async () => false,

  startWorker({ received, failed }: WorkerListener): EngineWorker {
    const worker = startEngine();
    worker.onmessage = (event: MessageEvent) => received(event.data);
    worker.onerror = (event) => {
      event.preventDefault(); // the calls report it
      failed(event.message);
    };
    return {
      script: "worker.js",
      post: (message, transfer = []) => worker.postMessage(message, transfer),
      waits: () => {},
      end: () => worker.terminate(),
    };
  },
};
