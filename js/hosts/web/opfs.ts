// Files in the origin private file system (OPFS).

import { BlobReading, type Files, type Reading, type Writing } from "../files.js";
import { type FileHandle, isNamed, openSync, retried, SyncReading } from "./sync.js";

type Folder = FileSystemDirectoryHandle & { entries(): AsyncIterable<[string, FileSystemHandle]> };

/** How a thread without synchronous access opens a file for writing. `discard` removes the file. */
type OpenWriting = (handle: FileSystemFileHandle, discard: () => Promise<void>) => Promise<Writing>;

/** Where a browser cannot rename files, a file with this ending holds the name of the file that is meant. */
const LINK = ".link";

/** OPFS as a place for files. A page has to say how it writes; a worker writes by itself. */
export function place(openWriting?: OpenWriting) {
  return async (root: string, name: string, create: boolean): Promise<Files> => {
    const storage = globalThis.navigator?.storage;
    if (!storage?.getDirectory) throw new Error("there is no OPFS");
    const top = await storage.getDirectory();
    const folder = await (await top.getDirectoryHandle(root, { create })).getDirectoryHandle(name, { create });
    return new OpfsFiles(folder as Folder, openWriting);
  };
}

/** A file's handle, or undefined if there is none. */
async function existing<T>(handle: Promise<T>): Promise<T | undefined> {
  try {
    return await handle;
  } catch (error) {
    if (isNamed(error, "NotFoundError")) return undefined;
    throw error;
  }
}

class OpfsFiles implements Files {
  readonly #root: Folder;
  readonly #openWriting: OpenWriting | undefined;

  constructor(root: Folder, openWriting: OpenWriting | undefined) {
    this.#root = root;
    this.#openWriting = openWriting;
  }

  async open(name: string): Promise<Reading | undefined> {
    const handle = (await this.#find(name)) ?? (await this.#linked(name));
    if (!handle) return undefined;
    try {
      const sync = await handle.createSyncAccessHandle?.({ mode: "read-only" });
      if (sync) return new SyncReading(sync);
    } catch {
      // A browser that ignores the mode lets only one reader in. The others read the Blob.
    }
    return new BlobReading(await handle.getFile());
  }

  async append(name: string): Promise<Writing> {
    const handle = await this.#make(name);
    const discard = () => this.remove(name);
    if (handle.createSyncAccessHandle) return openSync(handle, discard);
    if (this.#openWriting) return this.#openWriting(handle, discard);
    throw new Error("this browser gives its workers no access to files");
  }

  async write(name: string, bytes: Uint8Array): Promise<void> {
    const handle = await this.#make(name);
    if (handle.createWritable) {
      const file = await handle.createWritable(); // a copy, which replaces the file when it is closed
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
      await retried(() => handle.move!(last));
    } catch {
      // Not every browser lets a move replace a file.
      await this.remove(to);
      await handle.move(last);
    }
  }

  async remove(name: string): Promise<void> {
    for (const each of [await this.#target(name), name + LINK, name]) {
      if (each === undefined) continue;
      const [folder, file] = await this.#place(each, false);
      if (folder) await retried(() => existing(folder.removeEntry(file)));
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

  /** The name of the file that the link of `name` points to. */
  async #target(name: string): Promise<string | undefined> {
    const link = await this.#find(name + LINK);
    const target = await (await link?.getFile())?.text();
    return target && /^[\w.-]+\/[\w.-]+\.part$/.test(target) ? target : undefined;
  }

  async #linked(name: string): Promise<FileHandle | undefined> {
    const target = await this.#target(name);
    return target === undefined ? undefined : this.#find(target);
  }

  async #find(name: string): Promise<FileHandle | undefined> {
    const [folder, file] = await this.#place(name, false);
    return folder && existing(folder.getFileHandle(file));
  }

  async #make(name: string): Promise<FileHandle> {
    const [folder, file] = await this.#place(name, true);
    return folder!.getFileHandle(file, { create: true });
  }

  async #place(name: string, create: boolean): Promise<[FileSystemDirectoryHandle | undefined, string]> {
    const slash = name.indexOf("/");
    const folder = this.#root.getDirectoryHandle(name.slice(0, slash), { create });
    return [await existing(folder), name.slice(slash + 1)];
  }
}

/** Lists linked files under the names that link to them. */
async function withoutLinks(
  files: [string, number][],
  targetOf: (name: string) => Promise<string | undefined>,
): Promise<[string, number][]> {
  const sizes = new Map(files);
  for (const [link] of files.filter(([name]) => name.endsWith(LINK))) {
    const name = link.slice(0, -LINK.length);
    const target = (await targetOf(name)) ?? "";
    const size = sizes.get(target);
    sizes.delete(link);
    if (size === undefined) continue;
    sizes.delete(target);
    sizes.set(name, size);
  }
  return [...sizes];
}
