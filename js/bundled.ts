// Models whose files come with the package. This module names them; an entry of the package for each has the files.

import { PplxEmbedError } from "./errors.js";
import type { LoadOptions } from "./types.js";

/** The files of a model, by their paths within it. It has no others. */
export interface BundledFiles {
  /** Where the large ones are. */
  urls: Record<string, string>;
  /** What is in the small ones. A bundler would make data: addresses of them, which strict pages do not let us fetch. */
  texts: Record<string, string>;
}

/** The models, and the import that brings the files of each. */
const ENTRIES: Record<string, string> = {
  "mini": "pplx-embed-web/mini",
  "mini-context": "pplx-embed-web/mini",
  "mini-late": "pplx-embed-web/mini",
};

/** The files of those that were imported. */
const imported = new Map<string, BundledFiles>();

/** Makes a model loadable by its name. */
export function bundle(id: string, files: BundledFiles): void {
  imported.set(id, files);
}

/**
 * The files of `id`; undefined if it is no model that comes with the package.
 *
 * @throws {@link PplxEmbedError} with code `"not-found"` if it is one, and was not imported.
 */
export function bundled(id: string): BundledFiles | undefined {
  const entry = Object.hasOwn(ENTRIES, id) ? ENTRIES[id] : undefined;
  const files = imported.get(id);
  if (entry === undefined || files) return files;
  const other = "To load a model of that name from a server give its endpoint.";
  throw new PplxEmbedError("not-found", `${id}: comes with this package, after import "${entry}". ${other}`);
}

/** The server that errors name; nothing is asked of it. */
export const PACKAGE = "pplx-embed-web";

/** A fetch for a host that has these files and no others, laid out as on the Hub. */
export function bundledFetch(
  { urls, texts }: BundledFiles,
  fetch: NonNullable<LoadOptions["fetch"]> = (url, init) => globalThis.fetch(url, init),
): NonNullable<LoadOptions["fetch"]> {
  return async (url, init) => {
    const file = decodeURIComponent(/\/resolve\/[^/]+\/(.+)$/.exec(url)?.[1] ?? "");
    if (Object.hasOwn(texts, file)) return new Response(texts[file]);
    if (Object.hasOwn(urls, file)) return fetch(urls[file] as string, init);
    return new Response(null, { status: 404 });
  };
}
