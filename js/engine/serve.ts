// The other end of a worker: one engine, driven by messages.

import { PplxEmbedError } from "../errors.js";
import type { ThreadHost } from "../hosts/host.js";
import type { Answer, CallName, FromWorker, Hooks, ToWorker } from "./calls.js";
import { LocalEngine } from "./local.js";

/** Sends a message, and hands its buffers over rather than copying them. */
export type Post = (message: FromWorker, transfer: ArrayBuffer[]) => void;

/** An engine on `host` that answers by `post`. Returns what takes the messages to it. */
export function serve(host: ThreadHost, post: Post): (message: ToWorker) => void {
  const engine = new LocalEngine(host);
  const running = new Map<number, AbortController>();
  /** By call: continues when the other side has taken the bytes that were sent. */
  const sending = new Map<number, (failed: string | undefined) => void>();

  async function run({ call, name, request }: Extract<ToWorker, { type: "call" }>): Promise<void> {
    const stop = new AbortController();
    running.set(call, stop);
    const hooks: Hooks = {
      signal: stop.signal,
      onProgress: (progress) => post({ type: "progress", call, progress }, []),
      take: (bytes) => send(call, bytes),
    };
    try {
      const answer = await engine.call(name, request, hooks);
      post({ type: "done", call, answer }, buffersOf(answer));
    } catch (error) {
      const { code, message } = PplxEmbedError.from(error);
      post({ type: "failed", call, code, message }, []);
    } finally {
      running.delete(call);
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

  post({ type: "ready" }, []);
  return (message) => {
    if (message.type === "abort") running.get(message.call)?.abort();
    else if (message.type === "took") sending.get(message.call)?.(message.failed);
    else void run(message);
  };
}

/** The buffers of an answer. */
function buffersOf(answer: Answer<CallName>): ArrayBuffer[] {
  const values = [answer].flat().flatMap((one) => (ArrayBuffer.isView(one) ? [one] : Object.values(one ?? {})));
  return values.filter((value) => ArrayBuffer.isView(value)).map((array) => array.buffer as ArrayBuffer);
}
