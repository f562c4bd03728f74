// Saved indexes: one file each, in a place of their own beside the caches.

import * as check from "../check.js";
import { PplxEmbedError } from "../errors.js";
import type { Files, Reading, Writing } from "../hosts/files.js";
import type { Release, ThreadHost } from "../hosts/host.js";

/** An index that was saved under a name. */
export interface SavedIndex {
  /** As given to `save`. */
  name: string;
  /** The size of its file in bytes. */
  bytes: number;
}

/** The name of their place. No cache has it, because the name of a cache does not begin with a dot. */
const PLACE = ".indexes";
const FOLDER = "saved/";
const WHOLE = ".index";
/** A file that is being written is named after the index, followed by a random number and this ending. */
const PART = ".part";
const NUMBER = /\.[0-9a-f-]{36}$/;

/** The saved indexes, sorted by name. */
export async function listSaved(host: ThreadHost): Promise<SavedIndex[]> {
  try {
    const found: SavedIndex[] = [];
    for (const files of await host.everyFiles(PLACE)) {
      for (const [file, bytes] of await files.list()) {
        const name = file.slice(FOLDER.length, -WHOLE.length);
        if (file === fileOf(name)) found.push({ name, bytes });
      }
    }
    return found.sort((a, b) => (a.name < b.name ? -1 : 1));
  } catch (error) {
    throw failed("the saved indexes", error);
  }
}

/** Removes the index `name`, and returns how many bytes that freed. */
export async function removeSaved(host: ThreadHost, name: string): Promise<number> {
  const what = described(check.name("name", name));
  let release: Release | undefined;
  try {
    release = await host.lock(PLACE, fileOf(name), { exclusive: true, wait: false });
    if (!release) throw new PplxEmbedError("in-use", `${what} is in use`);
    let freed = 0;
    for (const files of await host.everyFiles(PLACE)) freed += await sweep(files, name, true);
    return freed;
  } catch (error) {
    throw failed(what, error);
  } finally {
    release?.();
  }
}

/** Has `read` read, and close, the file of the index `name`. Meanwhile nobody replaces or removes it. */
export async function readSaved<T>(
  host: ThreadHost,
  name: string,
  signal: AbortSignal,
  read: (file: Reading) => Promise<T>,
): Promise<T> {
  return locked(host, name, false, signal, async () => {
    for (const files of await host.everyFiles(PLACE)) {
      const file = await files.open(fileOf(name));
      if (file) return await read(file);
    }
    throw new PplxEmbedError("not-found", `${described(name)} is not there: nothing was saved under that name`);
  });
}

/** Saves what `write` writes under `name`. The index that had that name stays until all of the new one is written. */
export async function replaceSaved(
  host: ThreadHost,
  name: string,
  signal: AbortSignal,
  write: (file: Writing) => Promise<void>,
): Promise<void> {
  return locked(host, name, true, signal, async () => {
    const files = await host.openFiles(PLACE);
    await sweep(files, name, false);
    const part = `${FOLDER}${name}.${crypto.randomUUID()}${PART}`;
    const file = await files.append(part);
    try {
      await write(file);
      await file.close();
    } catch (error) {
      await Promise.resolve(file.discard()).catch(() => {}); // the next save removes it
      throw error;
    }
    await files.rename(part, fileOf(name));
  });
}

/** Has `read` read, and close, the file at an address that `Host.address` gave. */
export async function readFile<T>(
  host: ThreadHost,
  address: string,
  read: (file: Reading) => Promise<T>,
): Promise<T> {
  try {
    const file = await host.openFile(address);
    if (file) return await read(file);
  } catch (error) {
    throw failed(address, error);
  }
  throw new PplxEmbedError("not-found", `${address} is not there`);
}

/** Replaces the file at an address that `Host.address` gave, when `write` has written all of the new one. */
export async function replaceFile(
  host: ThreadHost,
  address: string,
  write: (file: Writing) => Promise<void>,
): Promise<void> {
  try {
    await host.replaceFile(address, write);
  } catch (error) {
    throw failed(address, error);
  }
}

async function locked<T>(
  host: ThreadHost,
  name: string,
  exclusive: boolean,
  signal: AbortSignal,
  act: () => Promise<T>,
): Promise<T> {
  let release: Release | undefined;
  try {
    release = await host.lock(PLACE, fileOf(name), { exclusive, wait: true, signal });
    return await act();
  } catch (error) {
    throw failed(described(name), error);
  } finally {
    release?.();
  }
}

/** Removes what unfinished saves of `name` left behind, and with `all` the index itself. Returns the bytes freed. */
async function sweep(files: Files, name: string, all: boolean): Promise<number> {
  let freed = 0;
  for (const [file, size] of await files.list()) {
    const part = file.endsWith(PART) ? file.slice(0, -PART.length) : "";
    const left = NUMBER.test(part) && part.replace(NUMBER, "") === FOLDER + name;
    if (!left && !(all && file === fileOf(name))) continue;
    await files.remove(file);
    freed += size;
  }
  return freed;
}

function fileOf(name: string): string {
  return FOLDER + name + WHOLE;
}

function described(name: string): string {
  return `index ${JSON.stringify(name)}`;
}

function failed(what: string, error: unknown): PplxEmbedError {
  const { name, code, message = String(error) } = (error ?? {}) as { name?: string; code?: unknown; message?: string };
  if (name === "QuotaExceededError" || code === "storage-full") {
    return new PplxEmbedError("storage-full", `${what} was not saved: there is no room for more`, { cause: error });
  }
  if (name === "AbortError") return new PplxEmbedError("aborted", "cancelled by the caller", { cause: error });
  if (error instanceof PplxEmbedError) return error;
  return new PplxEmbedError("io", `${what}: ${message}`, { cause: error });
}
