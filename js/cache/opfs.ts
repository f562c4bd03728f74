// Files in the origin private file system (OPFS).

import type { Files, Reading, Writing } from "./files.js";
import { RemoteWriting } from "./writer.js";

/** What TypeScript's library for pages does not know: workers have it. */
interface SyncHandle {
  getSize(): number;
  read(into: Uint8Array, at: { at: number }): number;
  write(from: Uint8Array, at: { at: number }): number;
  flush(): void;
  close(): void;
}
type Handle = FileSystemFileHandle & {
  createSyncAccessHandle?(options?: { mode: "read-only" | "readwrite" }): Promise<SyncHandle>;
  move?(name: string): Promise<void>;
};
type Folder = FileSystemDirectoryHandle & { entries(): AsyncIterable<[string, FileSystemHandle]> };

/** Where a file cannot be renamed, an empty-handed one with this ending says by which name the other is to be found. */
const LINK = ".link";
/** A worker that ended a moment ago may still hold its files: how often to try again, and after how many ms. */
const TRIES = 40;
const PAUSE = 50;

export async function open(root: string, name: string, create: boolean): Promise<Files> {
  const storage = globalThis.navigator?.storage;
  if (!storage?.getDirectory) throw new Error("there is no OPFS");
  const top = await storage.getDirectory();
  const folder = await (await top.getDirectoryHandle(root, { create })).getDirectoryHandle(name, { create });
  return new OpfsFiles(folder as Folder);
}

/** A file's handle, or undefined if there is none. */
async function existing<T>(handle: Promise<T>): Promise<T | undefined> {
  try {
    return await handle;
  } catch (error) {
    if (named(error, "NotFoundError")) return undefined;
    throw error;
  }
}

export function named(error: unknown, name: string): boolean {
  return (error as { name?: unknown } | null)?.name === name;
}

/** Does what fails while somebody has the file open, again if it does. */
async function patiently<T>(act: () => Promise<T>): Promise<T> {
  for (let left = TRIES; ; left--) {
    try {
      return await act();
    } catch (error) {
      if (left === 0 || !named(error, "NoModificationAllowedError")) throw error;
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
    }
  }
}

class OpfsFiles implements Files {
  readonly #root: Folder;

  constructor(root: Folder) {
    this.#root = root;
  }

  async open(name: string): Promise<Reading | undefined> {
    const handle = (await this.#find(name)) ?? (await this.#linked(name));
    if (!handle) return undefined;
    try {
      const sync = await handle.createSyncAccessHandle?.({ mode: "read-only" });
      if (sync) return new SyncReading(sync);
    } catch {
      // Browsers that do not know the mode give the file to one reader alone; the others have this.
    }
    return new BlobReading(await handle.getFile());
  }

  async append(name: string): Promise<Writing> {
    const handle = await this.#make(name);
    const discard = () => this.remove(name);
    return handle.createSyncAccessHandle ? openWriting(handle, discard) : RemoteWriting.open(handle, discard);
  }

  async write(name: string, bytes: Uint8Array): Promise<void> {
    const handle = await this.#make(name);
    if (handle.createWritable) {
      const file = await handle.createWritable(); // a copy, which takes the file's place when it is closed
      await file.write(bytes as Uint8Array<ArrayBuffer>);
      return file.close();
    }
    await this.remove(name);
    const file = await this.append(name);
    await file.append(bytes);
    await file.flush();
    await file.close();
  }

  async rename(from: string, to: string): Promise<void> {
    const handle = await this.#find(from);
    if (!handle) throw new Error(`${from} is not there`);
    const last = to.slice(to.indexOf("/") + 1);
    if (!handle.move || (await this.#target(to))) await this.remove(to);
    if (!handle.move) return this.write(to + LINK, new TextEncoder().encode(from));
    try {
      await patiently(() => handle.move!(last));
    } catch {
      // Not every browser replaces a file by moving another to its name.
      await this.remove(to);
      await handle.move(last);
    }
  }

  async remove(name: string): Promise<void> {
    for (const each of [await this.#target(name), name + LINK, name]) {
      if (each === undefined) continue;
      const [folder, file] = await this.#place(each, false);
      if (folder) await patiently(() => existing(folder.removeEntry(file)));
    }
  }

  async list(): Promise<[string, number][]> {
    const files: [string, number][] = [];
    for await (const [folder, entry] of this.#root.entries()) {
      if (entry.kind !== "directory") continue;
      for await (const [file, handle] of (entry as Folder).entries()) {
        const size = (await existing((handle as FileSystemFileHandle).getFile()))?.size;
        if (size !== undefined) files.push([`${folder}/${file}`, size]);
      }
    }
    return withoutLinks(files, (name) => this.#target(name));
  }

  /** The file that the link `name` leads to. */
  async #target(name: string): Promise<string | undefined> {
    const link = await this.#find(name + LINK);
    const target = await (await link?.getFile())?.text();
    return target && /^[\w.-]+\/[\w.-]+\.part$/.test(target) ? target : undefined;
  }

  async #linked(name: string): Promise<Handle | undefined> {
    const target = await this.#target(name);
    return target === undefined ? undefined : this.#find(target);
  }

  async #find(name: string): Promise<Handle | undefined> {
    const [folder, file] = await this.#place(name, false);
    return folder && existing(folder.getFileHandle(file));
  }

  async #make(name: string): Promise<Handle> {
    const [folder, file] = await this.#place(name, true);
    return folder!.getFileHandle(file, { create: true });
  }

  async #place(name: string, create: boolean): Promise<[FileSystemDirectoryHandle | undefined, string]> {
    const slash = name.indexOf("/");
    const folder = this.#root.getDirectoryHandle(name.slice(0, slash), { create });
    return [await existing(folder), name.slice(slash + 1)];
  }
}

/** Linked files by the name that links to them. */
async function withoutLinks(
  files: [string, number][],
  target: (name: string) => Promise<string | undefined>,
): Promise<[string, number][]> {
  const sizes = new Map(files);
  for (const [link] of files.filter(([name]) => name.endsWith(LINK))) {
    const name = link.slice(0, -LINK.length);
    const size = sizes.get((await target(name)) ?? "");
    sizes.delete(link);
    if (size === undefined) continue;
    sizes.delete((await target(name))!);
    sizes.set(name, size);
  }
  return [...sizes];
}

class SyncReading implements Reading {
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

/** Reading what is at hand already: a file that was picked, or one of this page's. */
export class BlobReading implements Reading {
  readonly #file: Blob;

  constructor(file: Blob) {
    this.#file = file;
  }

  get size(): number {
    return this.#file.size;
  }

  readInto(): undefined {}

  async read(at: number, length: number): Promise<Uint8Array> {
    return new Uint8Array(await this.#file.slice(at, at + length).arrayBuffer());
  }

  close(): void {}
}

/** The file for writing, in a worker. */
export async function openWriting(handle: FileSystemFileHandle, discard = async () => {}): Promise<SyncWriting> {
  return new SyncWriting(await patiently(() => (handle as Handle).createSyncAccessHandle!()), discard);
}

/** Writing where files can be written at once: in a worker. */
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
      // Chromium throws where no more fits, or gives -8 as an unsigned number.
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
