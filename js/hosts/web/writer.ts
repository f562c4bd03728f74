// Writing to OPFS from a page. Only a worker can append to a file without copying all of it, so a worker does it.

import type { Writing } from "../files.js";
import { afterSilence, SILENCE } from "../silence.js";

/** To the worker: a file to open, bytes to append, or what else to do. The worker answers each in turn. */
export type ToWriter = FileSystemFileHandle | ArrayBuffer | "flush" | "close";
/** From the worker: the size of the file in bytes, or the name and message of an exception. */
export type FromWriter = { size: number } | { name: string; message: string };

/** A file that a worker writes. */
export class WriterWorker implements Writing {
  readonly #worker: Worker;
  readonly #discard: () => Promise<void>;
  readonly #waiting: { resolve: () => void; reject: (error: Error) => void }[] = [];
  readonly #heard: () => void;
  size = 0;

  /** Fails if `worker`, which should run writer-worker.js, cannot be loaded or does not answer. Ends it. */
  static async probe(worker: Worker): Promise<void> {
    await new WriterWorker(worker, async () => {}).close();
  }

  /** Has `worker`, which runs writer-worker.js, open the file. `discard` removes it. */
  static async open(worker: Worker, handle: FileSystemFileHandle, discard: () => Promise<void>): Promise<WriterWorker> {
    const writing = new WriterWorker(worker, discard);
    try {
      await writing.#ask(handle);
      return writing;
    } catch (error) {
      writing.#end();
      throw error;
    }
  }

  private constructor(worker: Worker, discard: () => Promise<void>) {
    this.#worker = worker;
    this.#discard = discard;
    const failed = (why: string) => {
      this.#heard();
      for (const asked of this.#waiting.splice(0)) asked.reject(new Error(`writer-worker.js: ${why}`));
    };
    this.#heard = afterSilence(() => failed(`said nothing for ${SILENCE} seconds`));
    worker.onmessage = ({ data }: MessageEvent<FromWriter>) => {
      this.#heard();
      const asked = this.#waiting.shift();
      if ("size" in data) {
        this.size = data.size;
        asked?.resolve();
      } else {
        asked?.reject(new DOMException(data.message, data.name));
      }
    };
    worker.onerror = (event) => {
      event.preventDefault(); // the calls report it
      failed(event.message || "could not be loaded");
    };
  }

  append(bytes: Uint8Array): Promise<void> {
    return this.#ask(bytes.slice().buffer);
  }

  flush(): Promise<void> {
    return this.#ask("flush");
  }

  async close(): Promise<void> {
    try {
      await this.#ask("close");
    } finally {
      this.#end();
    }
  }

  discard(): Promise<void> {
    this.#end();
    return this.#discard();
  }

  #end(): void {
    this.#heard();
    this.#worker.terminate();
  }

  #ask(message: ToWriter): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#worker.postMessage(message, message instanceof ArrayBuffer ? [message] : []);
    });
  }
}
