// Locks between tabs and workers of one origin.

import { ROOT } from "./files.js";

/** Ends a lock. */
export type Release = () => void;

/**
 * A lock of the cache `cache`, held until it is released or this thread ends. Without `wait`, undefined if it is taken;
 * waiting ends in an AbortError once `signal` is aborted. Where the browser has no locks, everybody gets every lock.
 */
export async function lock(
  cache: string,
  name: string,
  { exclusive, wait, signal }: { exclusive: boolean; wait: boolean; signal?: AbortSignal | undefined },
): Promise<Release | undefined> {
  const locks = globalThis.navigator?.locks;
  if (!locks) return () => {};
  const mode = exclusive ? "exclusive" : "shared";
  // A request can be cancelled, or not wait; not both.
  const options: LockOptions = wait ? { mode, ...(signal && { signal }) } : { mode, ifAvailable: true };
  return new Promise((resolve, reject) => {
    const held = (granted: Lock | null) => {
      if (!granted) return resolve(undefined);
      return new Promise<void>((release) => resolve(release));
    };
    locks.request(`${ROOT}/${cache}/${name}`, options, held).catch(reject);
  });
}
