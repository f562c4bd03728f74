// Files as a host keeps them. The cache of models (src/hub/cache/) and saved indexes are made of them.

/** The folder that holds everything this package stores; inside it there is one folder for each cache. */
export const ROOT = "pplx-embed-web";

/**
 * Files that are written from front to back and then only read. A name has the form `folder/name`. Where a method may
 * return a value or a promise, a value means that the work is already done.
 */
export interface Files {
  /** Opens a file for reading; undefined if there is none. */
  open(name: string): Promise<Reading | undefined>;
  /** Opens a file for writing at its end, and creates it if there is none. */
  append(name: string): Promise<Writing>;
  /** Replaces the content of a file with `bytes` in one step. */
  write(name: string, bytes: Uint8Array): Promise<void>;
  /** Renames a file that nobody has open. A file that already has the new name is replaced. */
  rename(from: string, to: string): Promise<void>;
  /** Removes a file. Does nothing if there is none. */
  remove(name: string): Promise<void>;
  /** The name and the size in bytes of every file. */
  list(): Promise<[name: string, size: number][]>;
}

/** A file that is open for reading. */
export interface Reading {
  /** In bytes. */
  readonly size: number;
  /**
   * Fills `into`, which may be memory of the wasm module, with the bytes from offset `at` on, and returns how many it
   * read; undefined if this file cannot be read synchronously.
   */
  readInto(at: number, into: Uint8Array): number | undefined;
  /** Up to `length` bytes from offset `at` on; fewer at the end of the file. */
  read(at: number, length: number): Uint8Array | Promise<Uint8Array>;
  close(): void;
}

/** A file that is open for writing. */
export interface Writing {
  /** In bytes, with everything that was appended. */
  readonly size: number;
  /** Appends bytes. They are used or copied before this returns, so the array may be a view of the module's memory. */
  append(bytes: Uint8Array): void | Promise<void>;
  /** Makes sure that what was appended survives the end of this page. */
  flush(): void | Promise<void>;
  /** Flushes, and closes the file. */
  close(): void | Promise<void>;
  /** Closes the file and removes it. */
  discard(): void | Promise<void>;
}

/** Reads a Blob: a file the user picked, or one without a synchronous handle. */
export class BlobReading implements Reading {
  readonly #blob: Blob;

  constructor(blob: Blob) {
    this.#blob = blob;
  }

  get size(): number {
    return this.#blob.size;
  }

  readInto(): undefined {}

  async read(at: number, length: number): Promise<Uint8Array> {
    return new Uint8Array(await this.#blob.slice(at, at + length).arrayBuffer());
  }

  close(): void {}
}
