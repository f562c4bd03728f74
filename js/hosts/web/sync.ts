// Synchronous access to a file of OPFS, which only workers have.

import type { Reading, Writing } from "../files.js";

/** What TypeScript's library for pages lacks. */
interface SyncHandle {
  getSize(): number;
  read(into: Uint8Array, at: { at: number }): number;
  write(from: Uint8Array, at: { at: number }): number;
  flush(): void;
  close(): void;
}
/** The handle of a file, with the methods that only some threads or browsers have. */
export type FileHandle = FileSystemFileHandle & {
  createSyncAccessHandle?(options?: { mode: "read-only" | "readwrite" }): Promise<SyncHandle>;
  move?(name: string): Promise<void>;
};

/** A worker that ended a moment ago may still hold its files: how often to try again, and after how many milliseconds. */
const TRIES = 40;
const PAUSE = 50;

/** Whether an error is the DOMException `name`. */
export function isNamed(error: unknown, name: string): boolean {
  return (error as { name?: unknown } | null)?.name === name;
}

/** Runs `act`, again and again for two seconds as long as somebody else has the file open. */
export async function retried<T>(act: () => Promise<T>): Promise<T> {
  for (let left = TRIES; ; left--) {
    try {
      return await act();
    } catch (error) {
      if (left === 0 || !isNamed(error, "NoModificationAllowedError")) throw error;
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
    }
  }
}

/** Opens a file for writing at its end. `discard` removes it. */
export async function openSync(handle: FileSystemFileHandle, discard = async () => {}): Promise<SyncWriting> {
  return new SyncWriting(await retried(() => (handle as FileHandle).createSyncAccessHandle!()), discard);
}

/** A file that is read synchronously. */
export class SyncReading implements Reading {
  readonly size: number;
  readonly #handle: SyncHandle;

  constructor(handle: SyncHandle) {
    this.#handle = handle;
    this.size = handle.getSize();
  }

  readInto(at: number, into: Uint8Array): number {
    return this.#handle.read(into, { at });
  }

  read(at: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    return bytes.subarray(0, this.readInto(at, bytes));
  }

  close(): void {
    this.#handle.close();
  }
}

/** A file that is written synchronously. */
export class SyncWriting implements Writing {
  readonly #handle: SyncHandle;
  readonly #discard: () => Promise<void>;
  size: number;

  constructor(handle: SyncHandle, discard: () => Promise<void>) {
    this.#handle = handle;
    this.#discard = discard;
    this.size = handle.getSize();
  }

  append(bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; ) {
      const count = this.#handle.write(bytes.subarray(done), { at: this.size });
      // When the disk is full Chromium throws, or returns -8 as an unsigned number.
      if (count === 0 || count > bytes.length - done) throw new DOMException("no more bytes fit", "QuotaExceededError");
      done += count;
      this.size += count;
    }
  }

  flush(): void {
    this.#handle.flush();
  }

  close(): void {
    this.#handle.flush();
    this.#handle.close();
  }

  discard(): Promise<void> {
    this.#handle.close();
    return this.#discard();
  }
}
