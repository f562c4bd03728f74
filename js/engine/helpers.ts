// Helpers: workers that each have a share of every weight, so that the processor's engine uses several cores without
// shared memory, which only cross-origin isolated pages have.

import type { EngineWorker, ThreadHost } from "../hosts/host.js";
import { afterSilence, SILENCE } from "../hosts/silence.js";

/** Most threads that are used unless more are asked for. */
const DEFAULT_MAX = 8;

/** Outputs of float32, or, if there are none, why as UTF-8. */
export type HelperAnswer = Float32Array<ArrayBuffer> | Uint8Array<ArrayBuffer>;

/** What the wasm module reaches a helper by. Answers come in the order of the messages that want one. */
export interface HelperLink {
  /** Sends a message; its buffer is handed over. */
  send(message: Uint8Array<ArrayBuffer>): void;
  /** The next answer. Rejects if the worker has ended. */
  receive(): Promise<HelperAnswer>;
}

/** From a helper: it is ready, or an answer. */
export type FromHelper = "ready" | HelperAnswer;

/** One helper, as the thread that started it sees it. */
class Helper implements HelperLink {
  readonly #worker: EngineWorker;
  readonly #answers: HelperAnswer[] = [];
  #waiting: { resolve(answer: HelperAnswer): void; reject(error: Error): void } | undefined;
  #failed: Error | undefined;
  /** Resolves when it has started; rejects if it cannot. */
  readonly ready: Promise<void>;
  readonly #heard: () => void;

  constructor(host: ThreadHost, module: WebAssembly.Module) {
    let settle: { resolve(): void; reject(error: Error): void };
    this.ready = new Promise((resolve, reject) => (settle = { resolve, reject }));
    this.#worker = host.startHelper({
      received: (message) => {
        if (message === "ready") {
          this.#heard();
          this.#worker.waits(false);
          return settle.resolve();
        }
        const answer = message as HelperAnswer;
        if (!this.#waiting) return void this.#answers.push(answer);
        this.#worker.waits(false);
        this.#waiting.resolve(answer);
        this.#waiting = undefined;
      },
      failed: (why) => {
        this.#heard();
        this.#failed = new Error(`a worker thread failed: ${why || `${this.#worker.script} could not be loaded`}`);
        settle.reject(this.#failed);
        this.#waiting?.reject(this.#failed);
      },
    });
    this.#heard = afterSilence(() => {
      settle.reject(new Error(`${this.#worker.script} said nothing for ${SILENCE} seconds`));
    });
    this.#worker.waits(true); // the load does
    this.#worker.post(module);
  }

  send(message: Uint8Array<ArrayBuffer>): void {
    this.#worker.post(message, [message.buffer]);
  }

  async receive(): Promise<HelperAnswer> {
    const answer = this.#answers.shift();
    if (answer) return answer;
    if (this.#failed) throw this.#failed;
    this.#worker.waits(true);
    return new Promise((resolve, reject) => (this.#waiting = { resolve, reject }));
  }

  end(): void {
    this.#failed ??= new Error("the model was disposed of");
    this.#heard();
    this.#worker.end();
    this.#waiting?.reject(this.#failed);
  }
}

/** The helpers of one model. */
export class Helpers {
  #all: Helper[] = [];

  /**
   * Starts the helpers of a model that runs on `threads` threads. The default is half of what the machine says it
   * runs at once: where that is two, a helper lost against none with weights of 8 bits (docs/benchmarks.md). Where workers
   * cannot be made there are none, which `notice` is told.
   */
  async start(
    host: ThreadHost,
    module: WebAssembly.Module,
    threads: number | undefined,
    notice: (message: string) => void,
  ): Promise<HelperLink[]> {
    const count = (threads ?? Math.min(host.cores() >> 1, DEFAULT_MAX)) - 1;
    try {
      while (this.#all.length < count) this.#all.push(new Helper(host, module));
      await Promise.all(this.#all.map((helper) => helper.ready));
    } catch (error) {
      this.end();
      notice(`runs on one thread: ${error instanceof Error ? error.message : String(error)}`);
    }
    return this.#all;
  }

  /** Ends them, which frees their memory. */
  end(): void {
    for (const helper of this.#all) helper.end();
    this.#all = [];
  }
}
