// The engine in a worker, as the page sees it.

import { MOVED, PplxEmbedError, reason } from "../errors.js";
import type { EngineWorker, Host } from "../hosts/host.js";
import { afterSilence, SILENCE } from "../hosts/silence.js";
import type { Answer, CallName, Engine, FromWorker, Hooks, Request, ToWorker } from "./calls.js";

/** A call that the worker has not answered yet. */
interface PendingCall {
  hooks: Hooks;
  resolve(answer: Answer<CallName>): void;
  reject(reason: PplxEmbedError): void;
}

export class WorkerEngine implements Engine {
  readonly #host: Host;
  readonly #worker: EngineWorker;
  readonly #calls = new Map<number, PendingCall>();
  /** The load. What becomes of helpers that it does not wait for is told afterwards. */
  #load: { call: number; hooks: Hooks } | undefined;
  #next = 0;
  #ready = false;
  readonly #heard: () => void;
  #ended: PplxEmbedError | undefined;

  /** @throws as {@link Host.startWorker}. */
  constructor(host: Host) {
    this.#host = host;
    this.#worker = host.startWorker({
      received: (message) => this.#receive(message as FromWorker),
      failed: (why) => {
        if (this.#ready) return this.#end(new PplxEmbedError("internal", `the worker failed: ${why}`));
        const what = why || `check that it is served, and what the CSP allows; ${MOVED}`;
        this.#end(new PplxEmbedError("start", `${this.#worker.script} could not be loaded: ${what}`));
      },
    });
    this.#heard = afterSilence(() => {
      const what = `said nothing for ${SILENCE} seconds: check that it is what is served, whole; ${MOVED}`;
      this.#end(new PplxEmbedError("start", `${this.#worker.script} ${what}`));
    });
    this.#worker.waits(false);
  }

  async call<K extends CallName>(name: K, request: Request<K>, hooks: Hooks): Promise<Answer<K>> {
    if (this.#ended) throw this.#ended;
    const call = this.#next++;
    if (name === "load") this.#load = { call, hooks };
    const abort = () => this.#post({ type: "abort", call });
    const answer = new Promise<Answer<CallName>>((resolve, reject) => {
      this.#calls.set(call, { hooks, resolve, reject });
    });
    this.#worker.waits(true);
    hooks.signal.addEventListener("abort", abort, { once: true });
    try {
      try {
        const buffers: ArrayBuffer[] = [];
        this.#post({ type: "call", call, name, request: handedOver(request, buffers) }, buffers);
      } catch (cause) {
        // Arguments are copied before, field by field, so this is for what nobody foresaw.
        throw new PplxEmbedError("invalid-argument", `${name}: an argument cannot be sent to the worker: ${reason(cause)}`, { cause });
      }
      return (await answer) as Answer<K>;
    } finally {
      hooks.signal.removeEventListener("abort", abort);
      this.#calls.delete(call);
      if (this.#calls.size === 0) this.#worker.waits(false);
    }
  }

  close(): void {
    this.#end(new PplxEmbedError("disposed", "the model was disposed of"));
  }

  #post(message: ToWorker, buffers: ArrayBuffer[] = []): void {
    this.#worker.post(message, buffers);
  }

  #receive(message: FromWorker): void {
    if (!this.#ready) {
      // Whatever else is served in the place of the script may send messages too.
      if (message?.type !== "ready") return;
      this.#ready = true;
      this.#heard();
    }
    if (message.type === "ready") return;
    if (message.type === "persist") return this.#host.persist();
    const call = this.#calls.get(message.call);
    const hooks = call?.hooks ?? (message.call === this.#load?.call ? this.#load.hooks : undefined);
    if (message.type === "progress") hooks?.onProgress?.(message.progress);
    else if (message.type === "bytes") void this.#take(message.call, message.bytes);
    else if (message.type === "done") call?.resolve(message.answer);
    else call?.reject(PplxEmbedError.from(message));
  }

  async #take(call: number, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    let failed: string | undefined;
    try {
      await this.#calls.get(call)?.hooks.take?.(bytes);
    } catch (error) {
      failed = PplxEmbedError.from(error).message;
    }
    this.#post({ type: "took", call, failed });
  }

  /** Ends the worker, which frees its memory, its downloads and its GPU device. */
  #end(reason: PplxEmbedError): void {
    this.#ended ??= reason;
    this.#heard();
    this.#worker.end();
    for (const call of this.#calls.values()) call.reject(this.#ended);
  }
}

/**
 * A request with its arrays copied, so that `buffers` can be handed over: sending an array without that takes several times
 * as long, and all of its buffer goes, of which it may be a small part.
 */
function handedOver<T>(request: T, buffers: ArrayBuffer[]): T {
  if (ArrayBuffer.isView(request)) {
    const copy = (request as unknown as Uint8Array).slice();
    buffers.push(copy.buffer);
    return copy as unknown as T;
  }
  if (typeof request !== "object" || request === null || Object.getPrototypeOf(request) !== Object.prototype) return request;
  return Object.fromEntries(Object.entries(request).map(([key, value]) => [key, handedOver(value, buffers)])) as T;
}
