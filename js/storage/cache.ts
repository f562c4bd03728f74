// Lists and removes what is in the cache, without the wasm module. src/hub/cache/ is the module's side; refs.rs there
// says how the files are named.

import * as check from "../check.js";
import { invalid, PplxEmbedError } from "../errors.js";
import { currentHost } from "../hosts/current.js";
import type { Files } from "../hosts/files.js";
import type { Release } from "../hosts/host.js";

/** A revision of a model in the cache. */
export interface CachedModel {
  /** As given to `load`. */
  id: string;
  /** The address of the server it came from. */
  endpoint: string;
  /** The commit; on a server without commits, the revision as it was asked for. */
  revision: string;
  /** The branches and tags that meant this revision when it was last loaded: `"main"`, for example. */
  names: string[];
  /** Its size in bytes. A file that two revisions share counts for both. */
  bytes: number;
  /** How many files it has. */
  files: number;
  /** Whether it can be loaded without a network. */
  complete: boolean;
  /** When it was first written. */
  saved: Date;
  /** When it was last loaded. */
  used: Date;
}

/** Which cache is meant. Every option may be left out. */
export interface CacheOptions {
  /** The name of the cache, as given to `load`: 1 to 64 letters, digits, "-", "_" and ".". Default: `"models"`. */
  name?: string | undefined;
}

/** Which revisions of a model to delete. Every option may be left out. */
export interface DeleteOptions extends CacheOptions {
  /** Only this commit, or the one that this branch or tag meant when it was last loaded. Default: all. */
  revision?: string | undefined;
  /** Only what came from this server. Default: all. */
  endpoint?: string | URL | undefined;
}

/** How much space the cache takes, and how much there is. */
export interface CacheEstimate {
  /** The size of all files of the cache in bytes. */
  bytes: number;
  /**
   * Bytes that this origin may store, including what it stores now; outside of browsers, what fits on the disk. Undefined
   * if nobody says.
   */
  quota: number | undefined;
  /** Whether files stay when space runs low: what the browser promised; true outside of browsers. */
  persisted: boolean;
}

/**
 * The models that `load` keeps on this device: in this browser and for this origin, or in this user's folder.
 *
 * @example
 * ```ts
 * import { cache } from "pplx-embed-web";
 *
 * for (const model of await cache.list()) {
 *   console.log(model.id, model.revision, (model.bytes / 1e6).toFixed(1), "MB");
 * }
 * const freed = await cache.delete("perplexity-ai/pplx-embed-v1-0.6b");
 * const { bytes, quota, persisted } = await cache.estimate();
 * ```
 */
export const cache = {
  /**
   * Lists every revision of every model in the cache, the one used last first.
   *
   * @throws {@link PplxEmbedError}: `"invalid-argument"`; `"io"` if the files cannot be read.
   */
  async list(options?: CacheOptions): Promise<CachedModel[]> {
    const name = nameOf(options);
    const models: CachedModel[] = [];
    await reading(async () => {
      for (const place of await places(name)) {
        const blobs = await place.list();
        for (const { ref } of await refsOf(place, blobs)) models.push(describe(ref, blobs));
      }
    });
    return models.sort((a, b) => b.used.getTime() - a.used.getTime());
  },

  /**
   * Removes a model. Files that another model in the cache needs stay.
   *
   * @param id - As given to `load`.
   * @returns How many bytes were freed; 0 if there is no such model.
   * @throws {@link PplxEmbedError}: `"in-use"` if it is being loaded, here or elsewhere, and then nothing is
   * removed; `"invalid-argument"`, `"io"`.
   */
  async delete(id: string, options?: DeleteOptions): Promise<number> {
    if (typeof id !== "string") throw invalid("id", id, "a string");
    const o = check.options(options, ["name", "revision", "endpoint"]);
    const revision = check.primitive("revision", o.revision, "string");
    const endpoint = check.address("endpoint", o.endpoint)?.replace(/\/+$/, "");
    return remove(cacheName(o.name), (ref) => {
      const named = revision === undefined || ref.revision === revision || ref.names.includes(revision);
      return ref.id === id && named && (endpoint === undefined || ref.endpoint === endpoint);
    });
  },

  /**
   * Removes every model.
   *
   * @returns How many bytes were freed.
   * @throws {@link PplxEmbedError}: as {@link cache.delete}.
   */
  async clear(options?: CacheOptions): Promise<number> {
    return remove(nameOf(options), () => true);
  },

  /**
   * Tells how much space the cache takes, and how much there is.
   *
   * @throws {@link PplxEmbedError}: as {@link cache.list}.
   */
  async estimate(options?: CacheOptions): Promise<CacheEstimate> {
    const name = nameOf(options);
    return reading(async () => {
      let bytes = 0;
      for (const place of await places(name)) {
        for (const [, size] of await place.list()) bytes += size;
      }
      const { quota, persisted } = await (await currentHost()).storage();
      return { bytes, quota, persisted };
    });
  },
};

/** The name of a cache: the default, or a valid one. */
export function cacheName(name: string | undefined): string {
  return name === undefined ? "models" : check.name("name", name);
}

function nameOf(options: CacheOptions | undefined): string {
  return cacheName(check.options(options, ["name"]).name);
}

/** What `read` gives; whatever it throws is an error of this package. */
async function reading<T>(read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    throw failed(error);
  }
}

async function places(name: string): Promise<Files[]> {
  return (await currentHost()).everyFiles(name);
}

/** `Ref` in src/hub/cache/refs.rs. */
interface Ref {
  version: 1;
  id: string;
  endpoint: string;
  revision: string;
  names: string[];
  complete: boolean;
  saved: number;
  used: number;
  files: Record<string, { key: string; size: number; derived?: string[] }>;
}
/** The files of a cache and their sizes. */
type Blobs = [name: string, size: number][];

/** Every ref and the name of its file. Damaged refs count as absent; loading a model removes them. */
async function refsOf(place: Files, blobs: Blobs): Promise<{ name: string; ref: Ref }[]> {
  const refs: { name: string; ref: Ref }[] = [];
  for (const [name, size] of blobs) {
    if (!/^refs\/.*\.json$/.test(name) || size > 4 << 20) continue;
    const file = await place.open(name);
    if (!file) continue;
    try {
      const ref: unknown = JSON.parse(new TextDecoder().decode(await file.read(0, file.size)));
      if (isRef(ref)) refs.push({ name, ref });
    } catch {
      // Not JSON: damaged.
    } finally {
      file.close();
    }
  }
  return refs;
}

function isRef(value: unknown): value is Ref {
  const ref = value as Ref | null;
  const strings = [ref?.id, ref?.endpoint, ref?.revision];
  const files = typeof ref?.files === "object" && ref.files !== null ? Object.values(ref.files) : undefined;
  return (
    ref?.version === 1 && strings.every((s) => typeof s === "string") && Array.isArray(ref.names) &&
    Number.isFinite(ref.saved) && Number.isFinite(ref.used) && files !== undefined &&
    files.every((file) => typeof file?.key === "string" && file.key !== "" && Number.isFinite(file.size))
  );
}

function describe(ref: Ref, blobs: Blobs): CachedModel {
  const sizes = new Map(blobs);
  const files = Object.values(ref.files);
  const whole = files.every(
    ({ key, size, derived = [] }) => sizes.get(`blobs/${key}`) === size || derived.some((d) => sizes.has(`blobs/${d}`)),
  );
  const bytes = blobs.reduce((sum, [name, size]) => sum + (owns(ref, name) && !isSums(name) ? size : 0), 0);
  const { id, endpoint, revision, names } = ref;
  const [saved, used] = [new Date(ref.saved), new Date(ref.used)];
  return { id, endpoint, revision, names, bytes, files: files.length, complete: ref.complete && whole, saved, used };
}

/** Whether a file of the cache is a blob of the model, a part of one, or made from one. */
function owns(ref: Ref, name: string): boolean {
  if (!name.startsWith("blobs/")) return false;
  return Object.values(ref.files).some(({ key }) => {
    const rest = name.startsWith(`blobs/${key}`) ? name[`blobs/${key}`.length] : "none";
    return rest === undefined || rest === "." || rest === "-";
  });
}

/** Sums of blocks are the cache's own, a 65,536th of what they are of, and not counted. */
function isSums(name: string): boolean {
  return name.endsWith(".sums");
}

/** Removes the refs that are `meant`, and then every blob without a ref. Returns the bytes freed. */
async function remove(cache: string, meant: (ref: Ref) => boolean): Promise<number> {
  const host = await currentHost();
  const locks = new Map<string, Release>();
  // A model may lie in two places, if one of them failed once: its lock is one.
  const locked = async (name: string, wait: boolean) => {
    if (locks.has(name)) return true;
    const release = await host.lock(cache, name, { exclusive: true, wait });
    if (release) locks.set(name, release);
    return release !== undefined;
  };
  try {
    await locked("refs/all", true);
    const found: { place: Files; name: string }[] = [];
    const all = await places(cache);
    for (const place of all) {
      for (const { name, ref } of await refsOf(place, await place.list())) {
        if (!meant(ref)) continue;
        if (!(await locked(name, false))) throw new PplxEmbedError("in-use", `${ref.id} is in use`);
        found.push({ place, name });
      }
    }
    for (const { place, name } of found) await place.remove(name);
    let freed = 0;
    for (const place of all) freed += await sweep(place);
    return freed;
  } catch (error) {
    throw failed(error);
  } finally {
    for (const release of locks.values()) release();
  }
}

async function sweep(place: Files): Promise<number> {
  const blobs = await place.list();
  const refs = await refsOf(place, blobs);
  let freed = 0;
  for (const [name, size] of blobs) {
    if (!name.startsWith("blobs/") || refs.some(({ ref }) => owns(ref, name))) continue;
    try {
      await place.remove(name);
      freed += isSums(name) ? 0 : size;
    } catch {
      // The next sweep tries again.
    }
  }
  return freed;
}

function failed(error: unknown): PplxEmbedError {
  if (error instanceof PplxEmbedError) return error;
  return new PplxEmbedError("io", `the cache: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
}
