// The worker: one engine, driven by messages. Nothing that it imports may make workers (tests/web/imports.test.mjs).

import type { Answer, CallName, FromWorker, Hooks, ToWorker } from "./engine/calls.js";
import { LocalEngine } from "./engine/local.js";
import { PplxEmbedError } from "./errors.js";
import * as opfs from "./hosts/web/opfs.js";
import * as pieces from "./hosts/web/pieces.js";
import { webThread } from "./hosts/web/thread.js";

const places = [opfs.place(), pieces.open];
const engine = new LocalEngine({ ...webThread(() => places), persist: () => post({ type: "persist" }) });
const running = new Map<number, AbortController>();
/** By call: continues when the page has taken the bytes that were sent. */
const sending = new Map<number, (failed: string | undefined) => void>();
const page = globalThis as unknown as MessagePort;

function receive(message: ToWorker): void {
  if (message.type === "abort") running.get(message.call)?.abort();
  else if (message.type === "took") sending.get(message.call)?.(message.failed);
  else void run(message);
}

async function run({ call, name, request }: Extract<ToWorker, { type: "call" }>): Promise<void> {
  const stop = new AbortController();
  running.set(call, stop);
  const hooks: Hooks = {
    signal: stop.signal,
    onProgress: (progress) => post({ type: "progress", call, progress }),
    take: (bytes) => send(call, bytes),
  };
  try {
    const answer = await engine.call(name, request, hooks);
    post({ type: "done", call, answer }, buffersOf(answer));
  } catch (error) {
    const { code, message } = PplxEmbedError.from(error);
    post({ type: "failed", call, code, message });
  } finally {
    running.delete(call);
  }
}

/** The buffers of an answer, which are handed over rather than copied. */
function buffersOf(answer: Answer<CallName>): ArrayBuffer[] {
  const values = [answer].flat().flatMap((one) => (ArrayBuffer.isView(one) ? [one] : Object.values(one ?? {})));
  return values.filter((value) => ArrayBuffer.isView(value)).map((array) => array.buffer as ArrayBuffer);
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

// Outside a worker, importing this file does nothing.
if ("importScripts" in globalThis) {
  page.onmessage = (event: MessageEvent<ToWorker>) => receive(event.data);
}
