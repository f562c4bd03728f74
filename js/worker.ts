// The worker's side: one model, driven by messages.

import { LocalEngine } from "./engine.js";
import { PplxEmbedError } from "./errors.js";
import type { FromWorker, Hooks, ToWorker } from "./protocol.js";

const engine = new LocalEngine(undefined, () => post({ type: "persist" }));
const running = new Map<number, AbortController>();
const page = globalThis as unknown as MessagePort;

async function answer(message: ToWorker): Promise<void> {
  const { type, call } = message;
  if (type === "abort") {
    running.get(call)?.abort();
    return;
  }
  const stop = new AbortController();
  running.set(call, stop);
  const hooks: Hooks = { signal: stop.signal, onProgress: (progress) => post({ type: "progress", call, progress }) };
  try {
    if (type === "load") {
      post({ type: "done", call, result: await engine.load(message.request, hooks) });
    } else if (type === "score") {
      post({ type: "done", call, result: await engine.score(message.request, hooks) });
    } else {
      const result = await engine.embed(message.texts, message.request, hooks);
      post({ type: "done", call, result }, [result.data.buffer, result.truncated.buffer]);
    }
  } catch (error) {
    const { code, message: words } = PplxEmbedError.from(error);
    post({ type: "failed", call, code, message: words });
  } finally {
    running.delete(call);
  }
}

function post(message: FromWorker, transfer: Transferable[] = []): void {
  page.postMessage(message, transfer);
}

// Somewhere else than in a worker, importing this file does nothing.
if ("importScripts" in globalThis) {
  page.onmessage = (event: MessageEvent<ToWorker>) => void answer(event.data);
}
