// Files that need no server: those that come with the package, and those of a folder. The wasm module asks a Hub, so a
// `fetch` answers as one.

import { PplxEmbedError } from "../errors.js";
import type { Fetch } from "../hosts/host.js";
import type { BundledFiles } from "./bundled.js";

/** Where a file is, or what is in it; undefined if there is no such file. */
type Find = (file: string) => { url: string } | { text: string } | undefined;

/** Files that are served without a server. */
export class ServedFiles {
  readonly #endpoint: string;
  readonly #find: Find;
  readonly #read: Fetch;
  /** Why a file that is there could not be read. The wasm module takes that for an error of a network. */
  #failed: PplxEmbedError | undefined;

  /**
   * @param endpoint - What the wasm module is told of the server, and errors say. Nothing is requested from it.
   * @param read - Reads the addresses that `find` gives.
   */
  constructor(endpoint: string, find: Find, read: Fetch) {
    this.#endpoint = endpoint;
    this.#find = find;
    this.#read = read;
  }

  /** Why loading failed: `error` of the wasm module, with the addresses that files really have. */
  why(error: unknown): unknown {
    if (this.#failed || !(error instanceof PplxEmbedError)) return this.#failed ?? error;
    const [before = "", ...after] = error.message.split(`${this.#endpoint}/`);
    const named = after.map((text) => `${this.#endpoint}/${text.replace(/^[^/]+\/resolve\/[^/]+\//, "")}`);
    return new PplxEmbedError(error.code, before + named.join(""), { cause: error.cause });
  }

  readonly fetch: Fetch = async (url, init) => {
    const [, name = ""] = /^\/[^/]+\/resolve\/[^/]+\/(.+)$/.exec(url.slice(this.#endpoint.length)) ?? [];
    const found = this.#find(decodeURIComponent(name));
    if (!found) return new Response(null, { status: 404 });
    if ("text" in found) return new Response(found.text);
    try {
      return await this.#read(found.url, init);
    } catch (error) {
      if (!(error instanceof PplxEmbedError)) throw error;
      this.#failed = error;
      return new Response(null, { status: 403 }); // which is not tried again
    }
  };
}

/** The files that come with the package. */
export function bundledFiles(endpoint: string, { urls, texts }: BundledFiles, read: Fetch): ServedFiles {
  const find: Find = (file) => {
    if (Object.hasOwn(texts, file)) return { text: texts[file] as string };
    return Object.hasOwn(urls, file) ? { url: urls[file] as string } : undefined;
  };
  return new ServedFiles(endpoint, find, read);
}

/** The files of the folder at `address`, which has no slash at its end. */
export function folderFiles(address: string, read: Fetch): ServedFiles {
  const find: Find = (file) => {
    const url = new URL(`${address}/${file.split("/").map(encodeURIComponent).join("/")}`).href;
    // A file's name is the repository's word: it must not lead out of the folder.
    return file !== "" && url.startsWith(`${address}/`) ? { url } : undefined;
  };
  return new ServedFiles(address, find, read);
}
