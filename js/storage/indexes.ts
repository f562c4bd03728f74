// The saved indexes, for the user's thread.

import { currentHost } from "../hosts/current.js";
import { listSaved, removeSaved, type SavedIndex } from "./saved.js";

/**
 * Lists the indexes that {@link SearchIndex.save} keeps by name on this device, sorted by name.
 *
 * @throws {@link PplxEmbedError} with code `"io"` if they cannot be read.
 *
 * @example
 * ```ts
 * for (const { name, bytes } of await listIndexes()) console.log(name, bytes);
 * ```
 */
export async function listIndexes(): Promise<SavedIndex[]> {
  return listSaved(await currentHost());
}

/**
 * Removes a saved index. Indexes that were opened from it stay usable.
 *
 * @param name - As given to {@link SearchIndex.save}.
 * @returns How many bytes were freed; 0 if no index has that name.
 * @throws {@link PplxEmbedError}: `"in-use"` if it is being saved or opened, here or elsewhere;
 * `"invalid-argument"`, `"io"`.
 */
export async function deleteIndex(name: string): Promise<number> {
  return removeSaved(await currentHost(), name);
}
