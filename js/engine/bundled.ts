// Models whose files come with the package. This file knows their names; mini.ts knows where their files are.

import { MOVED, PplxEmbedError } from "../errors.js";

/** All files of a model, by their paths within it. */
export interface BundledFiles {
  /** The addresses of the large files. */
  urls: Record<string, string>;
  /** The text of the small files. A bundler would make them data: addresses, which a strict CSP does not let us fetch. */
  texts: Record<string, string>;
}

/** The import that brings the files of each model. */
const ENTRIES: Record<string, string> = {
  "mini": "pplx-embed-web/mini",
  "mini-context": "pplx-embed-web/mini",
  "mini-late": "pplx-embed-web/mini",
};

/** The files of the models that were imported. */
const imported = new Map<string, () => BundledFiles>();

/** Makes a model loadable by its name. `files` is called when it is loaded. */
export function bundle(id: string, files: () => BundledFiles): void {
  imported.set(id, files);
}

/**
 * The files of the model `id`; undefined if it does not come with the package.
 *
 * @throws {@link PplxEmbedError} with code `"not-found"` if it does, but was not imported; `"start"` if a bundler has left no
 * way to tell where the files are.
 */
export function bundled(id: string): BundledFiles | undefined {
  const entry = Object.hasOwn(ENTRIES, id) ? ENTRIES[id] : undefined;
  const files = imported.get(id);
  if (entry === undefined) return undefined;
  if (files) {
    try {
      return files();
    } catch (cause) {
      throw new PplxEmbedError("start", `${id}: its files have no address: ${String(cause)}; ${MOVED}`, { cause });
    }
  }
  const other = "To load a model of that name from a server, pass the endpoint.";
  throw new PplxEmbedError("not-found", `${id}: comes with this package; add import "${entry}". ${other}`);
}

/** Stands for the server in errors. Nothing is requested from it. */
export const PACKAGE = "pplx-embed-web";
