// Writing to OPFS from a page: only workers can add to a file without copying all of it, so one is asked to.

import type { Writing } from "./files.js";

/** To the worker: a file to open, bytes to add, or what else to do. Each is answered in turn. */
export type ToWriter = FileSystemFileHandle | ArrayBuffer | "flush" | "close";
/** From the worker: the file's size, or what was thrown. */
export type FromWriter = { size: number } | { name: string; message: string };

export class RemoteWriting implements Writing {
  readonly #worker: Worker;
  readonly #discard: () => Promise<void>;
  readonly #waiting: { resolve: () => void; reject: (error: Error) => void }[] = [];
  size = 0;

  /** A worker that has the file open. */
  static async open(handle: FileSystemFileHandle, discard: () => Promise<void>): Promise<RemoteWriting> {
    const writing = new RemoteWriting(discard);
    try {
      await writing.#ask(handle);
      return writing;
    } catch (error) {
      writing.#worker.terminate();
      throw error;
    }
  }

  private constructor(discard: () => Promise<void>) {
    this.#discard = discard;
    this.#worker = new Worker(new URL("./writer-worker.js", import.meta.url), { type: "module" });
    this.#worker.onmessage = ({ data }: MessageEvent<FromWriter>) => {
      const asked = this.#waiting.shift();
      if ("size" in data) {
        this.size = data.size;
        asked?.resolve();
      } else {
        asked?.reject(new DOMException(data.message, data.name));
      }
    };
    this.#worker.onerror = (event) => {
      event.preventDefault(); // it is reported through the calls
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
