// Writing to OPFS from a page. Only a worker can append to a file without copying all of it, so a worker does it.

import type { Writing } from "../files.js";

/** To the worker: a file to open, bytes to append, or what else to do. The worker answers each in turn. */
export type ToWriter = FileSystemFileHandle | ArrayBuffer | "flush" | "close";
/** From the worker: the size of the file in bytes, or the name and message of an exception. */
export type FromWriter = { size: number } | { name: string; message: string };

/** A file that a worker writes. */
export class WriterWorker implements Writing {
  readonly #worker: Worker;
  readonly #discard: () => Promise<void>;
  readonly #waiting: { resolve: () => void; reject: (error: Error) => void }[] = [];
  size = 0;

  /** Has `worker`, which runs writer-worker.js, open the file. `discard` removes it. */
  static async open(worker: Worker, handle: FileSystemFileHandle, discard: () => Promise<void>): Promise<WriterWorker> {
    const writing = new WriterWorker(worker, discard);
    try {
      await writing.#ask(handle);
      return writing;
    } catch (error) {
      worker.terminate();
      throw error;
    }
  }

  private constructor(worker: Worker, discard: () => Promise<void>) {
    this.#worker = worker;
    this.#discard = discard;
    worker.onmessage = ({ data }: MessageEvent<FromWriter>) => {
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
      const error = new Error(`writer-worker.js: ${event.message || "could not be loaded"}`);
      for (const asked of this.#waiting.splice(0)) asked.reject(error);
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
      this.#worker.terminate();
    }
  }

  discard(): Promise<void> {
    this.#worker.terminate();
    return this.#discard();
  }

  #ask(message: ToWriter): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#worker.postMessage(message, message instanceof ArrayBuffer ? [message] : []);
    });
  }
}
