// Files in a folder of this machine, for all processes of a user.

import * as fs from "node:fs";
import { basename, dirname, join } from "node:path";

import type { Files, Reading, Writing } from "../files.js";

/** Errors of the system that mean that there is no room. */
const FULL = new Set(["ENOSPC", "EDQUOT", "EFBIG"]);
/** Files that are being written, before they get their names. */
const ASIDE = "aside";
/** After how many milliseconds without a change such a file was left behind by a process that is gone. */
const OLD = 24 * 3600 * 1000;
/** Locks, which are not files of the cache. */
export const LOCKS = "locks";

/** The code of an error of the system. */
export function codeOf(error: unknown): string {
  return String((error as { code?: unknown } | null)?.code ?? "");
}

/** Whether an error means that there is no such file. */
export function isMissing(error: unknown): boolean {
  return ["ENOENT", "ENOTDIR"].includes(codeOf(error));
}

/** Does `act`, and names an error for want of room as browsers do. */
function roomy<T>(act: () => T): T {
  try {
    return act();
  } catch (error) {
    throw FULL.has(codeOf(error)) ? new DOMException((error as Error).message, "QuotaExceededError") : error;
  }
}

/** Does `make`, and if that fails for want of the file's folder, once more with the folder. */
export function inFolder<T>(path: string, make: () => T): T {
  try {
    return make();
  } catch (error) {
    if (codeOf(error) !== "ENOENT") throw error;
    fs.mkdirSync(dirname(path), { recursive: true });
    return make();
  }
}

/** The names in a folder; none if there is no folder. */
export function namesIn(folder: string): string[] {
  try {
    return fs.readdirSync(folder);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

/** Removes the files of a folder that were left behind. */
function removeOld(folder: string, meant: (name: string) => boolean): void {
  for (const name of namesIn(folder).filter(meant)) {
    const changed = fs.statSync(join(folder, name), { throwIfNoEntry: false })?.mtimeMs ?? Date.now();
    if (Date.now() - changed > OLD) fs.rmSync(join(folder, name), { force: true });
  }
}

/** The files of one cache, in the folder `path`. */
export class FolderFiles implements Files {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  /** Makes the folder, and removes what a process that was ended while it wrote has left behind. */
  create(): this {
    const aside = join(this.#path, ASIDE);
    fs.mkdirSync(aside, { recursive: true });
    removeOld(aside, () => true);
    return this;
  }

  async open(name: string): Promise<Reading | undefined> {
    return openReading(this.#at(name));
  }

  async append(name: string): Promise<Writing> {
    const path = this.#at(name);
    return inFolder(path, () => new FileWriting(path));
  }

  async write(name: string, bytes: Uint8Array): Promise<void> {
    const aside = join(this.#path, ASIDE, crypto.randomUUID());
    const file = inFolder(aside, () => new FileWriting(aside));
    try {
      file.append(bytes);
      await file.close();
      inFolder(this.#at(name), () => renameOver(aside, this.#at(name)));
    } catch (error) {
      file.discard();
      throw error;
    }
  }

  async rename(from: string, to: string): Promise<void> {
    renameOver(this.#at(from), this.#at(to));
  }

  async remove(name: string): Promise<void> {
    // Somebody may have put a folder in its place.
    fs.rmSync(this.#at(name), { force: true, recursive: true });
  }

  async list(): Promise<[string, number][]> {
    const files: [string, number][] = [];
    for (const folder of namesIn(this.#path)) {
      if (folder === LOCKS || folder === ASIDE) continue;
      for (const name of namesIn(join(this.#path, folder))) {
        const file = fs.statSync(join(this.#path, folder, name), { throwIfNoEntry: false });
        if (file?.isFile()) files.push([`${folder}/${name}`, file.size]);
      }
    }
    return files.sort(([a], [b]) => (a < b ? -1 : 1));
  }

  /** Where a file is. Names are made of what servers say, so they must not lead out of the folder. */
  #at(name: string): string {
    if (!/^[\w-][\w.-]*\/[\w-][\w.-]*$/.test(name)) throw new Error(`${name} is not the name of a file in the cache`);
    return join(this.#path, name);
  }
}

/** Renames a file, even to where somebody put a folder. */
function renameOver(from: string, to: string): void {
  if (fs.statSync(to, { throwIfNoEntry: false })?.isDirectory()) fs.rmSync(to, { force: true, recursive: true });
  fs.renameSync(from, to);
}

/** Opens a file for reading; undefined if there is none. */
export function openReading(path: string): Reading | undefined {
  try {
    return new FileReading(fs.openSync(path, "r"));
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** Replaces the file at `path` with what `write` writes, when all of it is written. */
export async function replace(path: string, write: (file: Writing) => Promise<void>): Promise<void> {
  const aside = `${path}.${crypto.randomUUID()}.part`;
  const left = (name: string) => name.startsWith(`${basename(path)}.`) && /\.[0-9a-f-]{36}\.part$/.test(name);
  removeOld(dirname(path), left);
  const file = new FileWriting(aside);
  try {
    await write(file);
    await file.close();
    fs.renameSync(aside, path);
  } catch (error) {
    file.discard();
    throw error;
  }
}

class FileReading implements Reading {
  readonly size: number;
  readonly #fd: number;

  constructor(fd: number) {
    this.#fd = fd;
    this.size = fs.fstatSync(fd).size;
  }

  readInto(at: number, into: Uint8Array): number {
    let done = 0;
    while (done < into.length) {
      const count = fs.readSync(this.#fd, into, done, into.length - done, at + done);
      if (count === 0) break;
      done += count;
    }
    return done;
  }

  read(at: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    return bytes.subarray(0, this.readInto(at, bytes));
  }

  close(): void {
    fs.closeSync(this.#fd);
  }
}

/**
 * A file that is written at its end. Bytes go to their place rather than to wherever the end is: should two processes
 * write the same download after all, they write the same bytes to the same places.
 */
class FileWriting implements Writing {
  readonly #path: string;
  readonly #fd: number;
  #open = true;
  size: number;

  constructor(path: string) {
    this.#path = path;
    this.#fd = roomy(() => fs.openSync(path, fs.constants.O_RDWR | fs.constants.O_CREAT));
    this.size = fs.fstatSync(this.#fd).size;
  }

  append(bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; ) {
      const count = roomy(() => fs.writeSync(this.#fd, bytes, done, bytes.length - done, this.size));
      done += count;
      this.size += count;
    }
  }

  flush(): Promise<void> {
    return new Promise((resolve, reject) => {
      fs.fdatasync(this.#fd, (error) => (error ? reject(error) : resolve()));
    });
  }

  async close(): Promise<void> {
    try {
      await this.flush();
    } finally {
      this.#close();
    }
  }

  discard(): void {
    this.#close();
    fs.rmSync(this.#path, { force: true });
  }

  #close(): void {
    if (this.#open) fs.closeSync(this.#fd);
    this.#open = false;
  }
}
