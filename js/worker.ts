// The worker's side: one model, driven by messages.

import { LocalEngine } from "./engine.js";
import { PplxEmbedError } from "./errors.js";
import type { FromWorker, Hooks, Result, ToWorker } from "./protocol.js";

const engine = new LocalEngine(undefined, () => post({ type: "persist" }));
const running = new Map<number, AbortController>();
/** By call: goes on when the page has taken the bytes it was sent. */
const sending = new Map<number, (failed: string | undefined) => void>();
const page = globalThis as unknown as MessagePort;

async function answer(message: ToWorker): Promise<void> {
  const { type, call } = message;
  if (type === "abort") {
    running.get(call)?.abort();
    return;
  }
  if (type === "took") {
    sending.get(call)?.(message.failed);
    return;
  }
  const stop = new AbortController();
  running.set(call, stop);
  const hooks: Hooks = {
    signal: stop.signal,
    onProgress: (progress) => post({ type: "progress", call, progress }),
    take: (bytes) => send(call, bytes),
  };
  try {
    if (type === "load") {
      post({ type: "done", call, result: await engine.load(message.request, hooks) });
    } else {
      const result = await run(message, hooks);
      const raw = Array.isArray(result) ? result : [result];
      // What has a buffer is handed over rather than copied.
      const parts = raw.flatMap((r) => (ArrayBuffer.isView(r) ? [r] : Object.values(r)));
      const arrays = parts.filter((value) => ArrayBuffer.isView(value));
      post({ type: "done", call, result }, arrays.map((array) => array.buffer as ArrayBuffer));
    }
  } catch (error) {
    const { code, message: words } = PplxEmbedError.from(error);
    post({ type: "failed", call, code, message: words });
  } finally {
    running.delete(call);
  }
}

function run(message: Exclude<ToWorker, { type: "load" | "abort" | "took" }>, hooks: Hooks): Promise<Result> {
  switch (message.type) {
    case "embed":
      return engine.embed(message.texts, message.request, hooks);
    case "embedContext":
      return engine.embedContext(message.documents, message.request, hooks);
    case "encode":
      return engine.encode(message.texts, message.request, hooks);
    case "score":
      return engine.score(message.request, hooks);
    case "index":
      return engine.index(message.op, message.request, hooks);
    case "splitText":
      return engine.splitText(message.text, message.request);
  }
}

function send(call: number, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
  return new Promise((resolve, reject) => {
    sending.set(call, (failed) => {
      sending.delete(call);
      if (failed === undefined) resolve();
      else reject(new Error(failed));
    });
    post({ type: "bytes", call, bytes }, [bytes.buffer]);
  });
}

function post(message: FromWorker, transfer: Transferable[] = []): void {
  page.postMessage(message, transfer);
}

// Somewhere else than in a worker, importing this file does nothing.
if ("importScripts" in globalThis) {
  page.onmessage = (event: MessageEvent<ToWorker>) => void answer(event.data);
}
