// A place of the browser's that keeps files: what the cache is made of, here and in src/hub/cache/.

import * as opfs from "./opfs.js";
import * as pieces from "./pieces.js";

/**
 * Files that are written from front to back and then only read, each named `folder/name`. What a method returns as a
 * value was done at once; a promise was not.
 */
export interface Files {
  /** The file for reading, or undefined if there is none. */
  open(name: string): Promise<Reading | undefined>;
  /** The file for writing at its end; a new one if there is none. */
  append(name: string): Promise<Writing>;
  /** Makes `bytes` the content of a file, all at once. */
  write(name: string, bytes: Uint8Array): Promise<void>;
  /** Renames a file that nobody has open; one that had the new name is replaced. */
  rename(from: string, to: string): Promise<void>;
  /** Removes a file; one that is not there is removed already. */
  remove(name: string): Promise<void>;
  /** Every file's name and size in bytes. */
  list(): Promise<[name: string, size: number][]>;
}

/** A file being read. */
export interface Reading {
  readonly size: number;
  /**
   * Fills `into`, which may be memory of the wasm module, with the bytes from `at` on, and gives how many they were;
   * undefined where that cannot be done at once.
   */
  readInto(at: number, into: Uint8Array): number | undefined;
  /** The bytes from `at` on: `length` of them, or as many as there are. */
  read(at: number, length: number): Uint8Array | Promise<Uint8Array>;
  close(): void;
}

/** A file being written. */
export interface Writing {
  readonly size: number;
  /** Adds bytes. They are used or copied before this returns: the array may be a view of memory that goes on living. */
  append(bytes: Uint8Array): void | Promise<void>;
  /** What was added outlives this page. */
  flush(): void | Promise<void>;
  /** Ends writing, after a flush. */
  close(): void | Promise<void>;
  /** Ends writing, and removes the file. */
  discard(): void | Promise<void>;
}

/** Where everything is; below it a folder for each cache. */
export const ROOT = "pplx-embed-web";

/** The cache that is called `name`, in the first place that works: OPFS, or else the Cache API. */
export async function openFiles(name: string): Promise<Files> {
  const reasons: string[] = [];
  for (const place of [opfs, pieces]) {
    try {
      return await place.open(ROOT, name, true);
    } catch (error) {
      reasons.push(error instanceof Error ? error.message : String(error));
    }
  }
  throw new Error(`this browser keeps no files for this page (${reasons.join("; ")})`);
}

/** The cache that is called `name`, wherever it is: one page may find OPFS, another, of the same origin, not. */
export async function everyFiles(name: string): Promise<Files[]> {
  const places = await Promise.allSettled([opfs, pieces].map((place) => place.open(ROOT, name, false)));
  return places.flatMap((place) => (place.status === "fulfilled" ? [place.value] : []));
}
