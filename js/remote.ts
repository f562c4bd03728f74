// The page's side of a model in a worker.

import { askToPersist } from "./cache/host.js";
import { PplxEmbedError } from "./errors.js";
import type {
  ContextRequest, EmbedRequest, EncodeRequest, Engine, FromWorker, Hooks, LoadRequest, RawChunks, RawEmbeddings, RawScores,
  RawTokenEmbeddings, Result, ScoreRequest, SplitRequest, ToWorker,
} from "./protocol.js";
import type { IndexCalls, IndexOp } from "./search/protocol.js";
import type { ModelInfo } from "./types.js";

interface Call {
  hooks: Hooks;
  resolve(result: Result): void;
  reject(reason: PplxEmbedError): void;
}

export class WorkerEngine implements Engine {
  readonly #worker: Worker;
  readonly #calls = new Map<number, Call>();
  #next = 0;
  #answered = false;
  #ended: PplxEmbedError | undefined;

  constructor() {
    try {
      // Bundlers look for exactly this expression.
      this.#worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
    } catch (cause) {
      throw new PplxEmbedError("start", `the worker could not be started: ${String(cause)}`, { cause });
    }
    this.#worker.onmessage = (event: MessageEvent<FromWorker>) => this.#hear(event.data);
    this.#worker.onerror = (event) => {
      event.preventDefault(); // it is reported through the calls
      const message = this.#answered
        ? `the worker failed: ${event.message}`
        : `worker.js could not be loaded: ${event.message || "see whether it is served, and what the CSP allows"}`;
      this.#end(new PplxEmbedError(this.#answered ? "internal" : "start", message));
    };
  }

  load(request: LoadRequest, hooks: Hooks): Promise<ModelInfo> {
    return this.#call((call) => ({ type: "load", call, request }), hooks) as Promise<ModelInfo>;
  }

  embed(texts: readonly string[], request: EmbedRequest, hooks: Hooks): Promise<RawEmbeddings> {
    return this.#call((call) => ({ type: "embed", call, request, texts }), hooks) as Promise<RawEmbeddings>;
  }

  score(request: ScoreRequest, hooks: Hooks): Promise<RawScores> {
    return this.#call((call) => ({ type: "score", call, request }), hooks) as Promise<RawScores>;
  }

  embedContext(
    documents: readonly (readonly string[])[],
    request: ContextRequest,
    hooks: Hooks,
  ): Promise<RawEmbeddings[]> {
    return this.#call((call) => ({ type: "embedContext", call, request, documents }), hooks) as Promise<RawEmbeddings[]>;
  }

  encode(texts: readonly string[], request: EncodeRequest, hooks: Hooks): Promise<RawTokenEmbeddings> {
    return this.#call((call) => ({ type: "encode", call, request, texts }), hooks) as Promise<RawTokenEmbeddings>;
  }

  splitText(text: string, request: SplitRequest, hooks: Hooks): Promise<RawChunks> {
    return this.#call((call) => ({ type: "splitText", call, request, text }), hooks) as Promise<RawChunks>;
  }

  index<K extends IndexOp>(op: K, request: IndexCalls[K][0], hooks: Hooks): Promise<IndexCalls[K][1]> {
    return this.#call((call) => ({ type: "index", call, op, request }), hooks) as Promise<IndexCalls[K][1]>;
  }

  close(): void {
    this.#end(new PplxEmbedError("disposed", "the model was disposed of"));
  }

  async #call(message: (call: number) => ToWorker, hooks: Hooks): Promise<Result> {
    if (this.#ended) throw this.#ended;
    const call = this.#next++;
    const abort = () => this.#post({ type: "abort", call });
    const result = new Promise<Result>((resolve, reject) => {
      this.#calls.set(call, { hooks, resolve, reject });
    });
    hooks.signal.addEventListener("abort", abort, { once: true });
    try {
      this.#post(message(call));
      return await result;
    } finally {
      hooks.signal.removeEventListener("abort", abort);
      this.#calls.delete(call);
    }
  }

  #post(message: ToWorker): void {
    this.#worker.postMessage(message);
  }

  #hear(message: FromWorker): void {
    this.#answered = true;
    if (message.type === "persist") return askToPersist();
    const call = this.#calls.get(message.call);
    if (message.type === "progress") call?.hooks.onProgress?.(message.progress);
    else if (message.type === "bytes") void this.#take(message.call, message.bytes);
    else if (message.type === "done") call?.resolve(message.result);
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

  /** Ending the worker takes its memory, its transfers and its GPU device with it. */
  #end(reason: PplxEmbedError): void {
    this.#ended ??= reason;
    this.#worker.terminate();
    for (const call of this.#calls.values()) call.reject(this.#ended);
  }
}
