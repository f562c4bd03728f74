// Helpers: workers by which the processor's engine uses several cores without shared memory, which only cross-origin
// isolated pages have. Those of a small model have a copy of it and embed some of the texts; those of a large one have a
// share of every weight.

import type { EngineWorker, ThreadHost } from "../hosts/host.js";
import { afterSilence, SILENCE } from "../hosts/silence.js";

/** Most threads that are used unless more are asked for. */
const DEFAULT_MAX = 8;
/** Most bytes that the copies of a model's weights may take in all threads together, as float32. */
const COPIES_BYTES = 256 << 20;

/** Outputs of float32, or, if there are none, why as UTF-8. */
export type HelperAnswer = Float32Array<ArrayBuffer> | Uint8Array<ArrayBuffer>;

/** What the wasm module reaches a helper by. Answers come in the order of the messages that want one. */
export interface HelperLink {
  /** Sends a message; its buffer is handed over. */
  send(message: Uint8Array<ArrayBuffer>): void;
  /** Starts its worker. Resolves when that has started; rejects if it cannot. */
  ready(): Promise<void>;
  /** The next answer. Rejects if the worker has ended. */
  receive(): Promise<HelperAnswer>;
}

/** What the wasm module is given. */
export interface StartedHelpers {
  /** Whether each embeds texts with a copy of the weights. They are started once the model is loaded. */
  texts: boolean;
  links: HelperLink[];
}

/** To a helper, first: the compiled module, and what it is to do. Then come bytes. */
export interface HelperStart {
  module: WebAssembly.Module;
  texts: boolean;
}

/** From a helper: it is ready, or an answer. */
export type FromHelper = "ready" | HelperAnswer;

/** One helper, as the thread that starts it sees it. */
class Helper implements HelperLink {
  readonly #host: ThreadHost;
  readonly #start: HelperStart;
  #worker: EngineWorker | undefined;
  readonly #answers: HelperAnswer[] = [];
  #waiting: { resolve(answer: HelperAnswer): void; reject(error: Error): void } | undefined;
  #failed: Error | undefined;
  #ready: Promise<void> | undefined;
  #refuse: ((error: Error) => void) | undefined;

  constructor(host: ThreadHost, start: HelperStart) {
    [this.#host, this.#start] = [host, start];
  }

  /** The first call starts its worker. */
  ready(): Promise<void> {
    return (this.#ready ??= this.#failed ? Promise.reject(this.#failed) : this.#started());
  }

  async #started(): Promise<void> {
    let heard = () => {};
    try {
      await new Promise<void>((resolve, reject) => {
        this.#refuse = reject;
        const worker = this.#host.startHelper({
          received: (message) => (message === "ready" ? resolve() : this.#take(message as HelperAnswer)),
          failed: (why) => {
            this.#failed = new Error(`a worker thread failed: ${why || `${worker.script} could not be loaded`}`);
            reject(this.#failed);
            this.#waiting?.reject(this.#failed);
          },
        });
        this.#worker = worker;
        heard = afterSilence(() => reject(new Error(`${worker.script} said nothing for ${SILENCE} seconds`)));
        worker.waits(true);
        worker.post(this.#start);
      });
      this.#worker?.waits(false);
    } finally {
      heard();
    }
  }

  #take(answer: HelperAnswer): void {
    if (!this.#waiting) return void this.#answers.push(answer);
    this.#worker?.waits(false);
    this.#waiting.resolve(answer);
    this.#waiting = undefined;
  }

  send(message: Uint8Array<ArrayBuffer>): void {
    this.#worker?.post(message, [message.buffer]);
  }

  async receive(): Promise<HelperAnswer> {
    const answer = this.#answers.shift();
    if (answer) return answer;
    if (this.#failed) throw this.#failed;
    this.#worker?.waits(true);
    return new Promise((resolve, reject) => (this.#waiting = { resolve, reject }));
  }

  end(): void {
    this.#failed ??= new Error("the model was disposed of");
    this.#worker?.end();
    this.#refuse?.(this.#failed);
    this.#waiting?.reject(this.#failed);
  }
}

/** The helpers of one model. */
export class Helpers {
  #all: Helper[] = [];

  /**
   * Starts the helpers of a model that runs on `threads` threads and a copy of whose weights takes `bytes`. They have copies
   * of it where these fit {@link COPIES_BYTES}; the default is then one a core. Else it is half of what the machine says it
   * runs at once, but two where it runs two: there a helper brought 1.7 times the speed (docs/benchmarks.md). Where workers cannot be made there are none, which `notice` is told.
   */
  async start(
    host: ThreadHost,
    module: WebAssembly.Module,
    threads: number | undefined,
    bytes: number,
    notice: (message: string) => void,
  ): Promise<StartedHelpers> {
    const copies = Math.floor(COPIES_BYTES / bytes);
    const texts = copies >= 2 && (threads ?? 2) <= copies;
    const usual = texts ? Math.min(host.cores(), copies) : Math.max(Math.min(host.cores(), 2), host.cores() >> 1);
    const count = (threads ?? Math.min(usual, DEFAULT_MAX)) - 1;
    while (this.#all.length < count) this.#all.push(new Helper(host, { module, texts }));
    if (!texts) await this.#started(notice);
    return { texts, links: this.#all.map((helper) => (texts ? this.#told(helper, notice) : helper)) };
  }

  async #started(notice: (message: string) => void): Promise<void> {
    try {
      await Promise.all(this.#all.map((helper) => helper.ready()));
    } catch (error) {
      this.#fail(error, notice);
    }
  }

  /** A helper of which `notice` hears if it cannot be started. */
  #told(helper: Helper, notice: (message: string) => void): HelperLink {
    const ready = async () => {
      try {
        await helper.ready();
      } catch (error) {
        this.#fail(error, notice);
        throw error;
      }
    };
    return { ready, send: (message) => helper.send(message), receive: () => helper.receive() };
  }

  #fail(error: unknown, notice: (message: string) => void): void {
    // Once for all of them, and not if the model was disposed of.
    if (this.#all.length > 0) notice(`runs on one thread: ${error instanceof Error ? error.message : String(error)}`);
    this.end();
  }

  /** Resolves once those that cannot even be started have said so. It waits for no worker. */
  async begun(): Promise<void> {
    if (this.#all.length > 0) await new Promise((resolve) => setTimeout(resolve));
  }

  /** Ends them, which frees their memory. */
  end(): void {
    const all = this.#all;
    this.#all = [];
    for (const helper of all) helper.end();
  }
}
