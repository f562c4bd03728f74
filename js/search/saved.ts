// Indexes kept in the browser: one file each, beside the caches and with the same means.

import { everyFiles, type Files, openFiles, type Reading, type Writing } from "../cache/files.js";
import { lock, type Release } from "../cache/locks.js";
import * as check from "../check.js";
import { PplxEmbedError } from "../errors.js";

/** What their place is called; no cache can be, since its name does not begin with a dot. */
const PLACE = ".indexes";
const FOLDER = "saved/";
const WHOLE = ".index";
/** What is being written is called after the index, a number of its own, and this. */
const PART = ".part";
const NUMBER = /\.[0-9a-f-]{36}$/;

/** An index that was saved in this browser. */
export interface SavedIndex {
  /** As given to `save`. */
  name: string;
  /** What it takes. */
  bytes: number;
}

/**
 * The indexes that {@link SearchIndex.save} has kept in this browser for this origin, by name.
 *
 * @throws {@link PplxEmbedError} with code `"io"` if the browser does not let them be read.
 *
 * @example
 * ```ts
 * for (const { name, bytes } of await listIndexes()) console.log(name, bytes);
 * ```
 */
export async function listIndexes(): Promise<SavedIndex[]> {
  try {
    const found: SavedIndex[] = [];
    for (const files of await everyFiles(PLACE)) {
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

/**
 * Removes a saved index, and gives the bytes that were freed: 0 if there is none of that name. Indexes that were opened
 * from it stay as they are.
 *
 * @throws {@link PplxEmbedError} with code `"in-use"` if it is being saved or opened, here or in another tab.
 */
export async function deleteIndex(name: string): Promise<number> {
  const what = described(check.name("name", name));
  let release: Release | undefined;
  try {
    release = await lock(PLACE, fileOf(name), { exclusive: true, wait: false });
    if (!release) throw new PplxEmbedError("in-use", `${what} is in use`);
    let freed = 0;
    for (const files of await everyFiles(PLACE)) freed += await sweep(files, name, true);
    return freed;
  } catch (error) {
    throw failed(what, error);
  } finally {
    release?.();
  }
}

/** Hands the index that was saved as `name` to `read`, which closes it; nobody replaces or removes it meanwhile. */
export async function readSaved<T>(
  name: string,
  signal: AbortSignal,
  read: (file: Reading) => Promise<T>,
): Promise<T> {
  const what = described(name);
  return locked(name, false, signal, async () => {
    for (const files of await everyFiles(PLACE)) {
      const file = await files.open(fileOf(name));
      if (file) return await read(file);
    }
    throw new PplxEmbedError("not-found", `${what} is not there: nothing was saved under that name`);
  });
}

/** Saves what `write` writes as `name`. Until all of it is there, whatever had that name stays. */
export async function replaceSaved(
  name: string,
  signal: AbortSignal,
  write: (file: Writing) => Promise<void>,
): Promise<void> {
  return locked(name, true, signal, async () => {
    const files = await openFiles(PLACE);
    await sweep(files, name, false);
    const part = `${FOLDER}${name}.${crypto.randomUUID()}${PART}`;
    const file = await files.append(part);
    try {
      await write(file);
      await file.close();
    } catch (error) {
      await Promise.resolve(file.discard()).catch(() => {}); // the next to save removes it
      throw error;
    }
    await files.rename(part, fileOf(name));
  });
}

async function locked<T>(name: string, exclusive: boolean, signal: AbortSignal, act: () => Promise<T>): Promise<T> {
  let release: Release | undefined;
  try {
    release = await lock(PLACE, fileOf(name), { exclusive, wait: true, signal });
    return await act();
  } catch (error) {
    throw failed(described(name), error);
  } finally {
    release?.();
  }
}

/** Removes what saves of `name` that broke off have left behind, and with `all` the index itself. */
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
    return new PplxEmbedError("storage-full", `${what} was not saved: the browser has no room for more`, { cause: error });
  }
  if (name === "AbortError") return new PplxEmbedError("aborted", "cancelled by the caller", { cause: error });
  if (error instanceof PplxEmbedError) return error;
  return new PplxEmbedError("io", `${what}: ${message}`, { cause: error });
}
