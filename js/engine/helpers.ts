// Helpers: workers by which the processor's engine uses several cores without sharing its memory. Those of a small model have
// a copy of it and embed some of the texts; those of a large one have a share of every weight.

import type { EngineWorker, ThreadHost } from "../hosts/host.js";
import { afterSilence, SILENCE } from "../hosts/silence.js";
import { Leader, newBox, type SharedBox } from "./mailbox.js";

/** Most threads that are used unless more are asked for. */
const DEFAULT_MAX = 8;
/** Most bytes that the copies of a model's weights may take in all threads together, as float32. */
const COPIES_BYTES = 256 << 20;

/** Outputs of float32, or, if there are none, why as UTF-8. */
export type HelperAnswer = Float32Array | Uint8Array;

/** What the wasm module reaches a helper by. Answers come in the order of the messages that want one. */
export interface HelperLink {
  /** Memory for a message of so many bytes, which is to be sent next. `asks` for one that wants an answer. */
  room(bytes: number, asks: boolean): Uint8Array;
  /** Sends what was written there. */
  send(message: Uint8Array): void;
  /** Starts its worker. Resolves when that has started; rejects if it cannot. */
  ready(): Promise<void>;
  /** The next answer, which lies where it does until the next call. Throws or rejects if the worker has ended. */
  receive(): HelperAnswer | Promise<HelperAnswer>;
}

/** What the wasm module is given. */
export interface StartedHelpers {
  /** Whether each embeds texts with a copy of the weights. They are started once the model is loaded. */
  texts: boolean;
  links: HelperLink[];
}

/** To a helper, first: the compiled module, and what it is to do. */
export interface HelperStart {
  module: WebAssembly.Module;
  texts: boolean;
  box?: SharedBox | undefined;
}

/** To a helper after that: bytes, or larger memory for the box. */
export type ToHelper = Uint8Array | { memory: SharedArrayBuffer };

/** From a helper: it is ready, or an answer. */
export type FromHelper = "ready" | HelperAnswer;

/** One helper, as the thread that starts it sees it. */
class Helper implements HelperLink {
  readonly #host: ThreadHost;
  readonly #start: HelperStart;
  #worker: EngineWorker | undefined;
  readonly #answers: HelperAnswer[] = [];
  /** The memory of the last answer that was posted. */
  #given: ArrayBufferLike | undefined;
  /** The memory of one before, which the next message travels in: fresh memory costs more than copying. */
  #spare: ArrayBufferLike | undefined;
  readonly #box: Leader | undefined;
  #waiting: { resolve(answer: HelperAnswer): void; reject(error: Error): void } | undefined;
  #failed: Error | undefined;
  #ready: Promise<void> | undefined;
  #refuse: ((error: Error) => void) | undefined;

  constructor(host: ThreadHost, start: HelperStart) {
    [this.#host, this.#start] = [host, start];
    if (start.box) this.#box = new Leader(start.box);
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

  room(bytes: number, asks: boolean): Uint8Array {
    const box = asks ? this.#box?.room(bytes) : undefined;
    if (box) return box;
    const spare = this.#spare;
    this.#spare = undefined;
    return spare && spare.byteLength >= bytes ? new Uint8Array(spare, 0, bytes) : new Uint8Array(bytes);
  }

  send(message: Uint8Array): void {
    if (this.#box?.ask(message)) return;
    // What lies in the box and is not taken from there is copied: memory that is shared cannot be handed over.
    const own = message.buffer instanceof ArrayBuffer ? (message as Uint8Array<ArrayBuffer>) : message.slice();
    this.#grow(own.byteLength);
    this.#post(own, [own.buffer]);
  }

  /** Has messages of so many bytes fit into the box from now on. */
  #grow(bytes: number): void {
    const memory = this.#box?.grown(bytes);
    if (memory) this.#post({ memory });
  }

  #post(message: ToHelper, transfer?: ArrayBuffer[]): void {
    this.#box?.posts();
    this.#worker?.post(message, transfer);
  }

  receive(): HelperAnswer | Promise<HelperAnswer> {
    // Whoever took the last answer has copied it.
    [this.#spare, this.#given] = [this.#given ?? this.#spare, undefined];
    const answer = this.#box?.asked ? this.#box.answer() : "posted";
    if (answer === "posted") return this.#posted();
    return answer ?? this.#later();
  }

  /** The next answer, once this thread's event loop has run: it may be that the worker has ended. */
  async #later(): Promise<HelperAnswer> {
    await new Promise((resolve) => setTimeout(resolve));
    if (this.#failed) throw this.#failed;
    return this.receive();
  }

  async #posted(): Promise<HelperAnswer> {
    let answer = this.#answers.shift();
    if (!answer) {
      if (this.#failed) throw this.#failed;
      this.#worker?.waits(true);
      answer = await new Promise<HelperAnswer>((resolve, reject) => (this.#waiting = { resolve, reject }));
    }
    this.#box?.took();
    this.#grow(answer.byteLength);
    this.#given = answer.buffer;
    return answer;
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
   * runs at once, but two where it runs two: there a helper brought 1.7 times the speed (docs/benchmarks.md). Where workers
   * cannot be made there are none, which `notice` is told.
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
    while (this.#all.length < count) this.#all.push(new Helper(host, { module, texts, box: texts ? undefined : newBox() }));
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
    const room: HelperLink["room"] = (bytes, asks) => helper.room(bytes, asks);
    return { ready, room, send: (message) => helper.send(message), receive: () => helper.receive() };
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
