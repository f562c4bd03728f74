// Locks between the tabs and workers of an origin.

import { ROOT } from "../files.js";
import type { LockRequest, Release } from "../host.js";

/** `ThreadHost.lock`. In a browser without locks every request succeeds. */
export async function lock(
  cache: string,
  name: string,
  { exclusive, wait, signal }: LockRequest,
): Promise<Release | undefined> {
  const locks = globalThis.navigator?.locks;
  if (!locks) return () => {};
  const mode = exclusive ? "exclusive" : "shared";
  // The browser accepts a signal or `ifAvailable`, not both.
  const options: LockOptions = wait ? { mode, ...(signal && { signal }) } : { mode, ifAvailable: true };
  return new Promise((resolve, reject) => {
    const granted = (lock: Lock | null) => {
      if (!lock) return resolve(undefined);
      return new Promise<void>((release) => resolve(release));
    };
    locks.request(`${ROOT}/${cache}/${name}`, options, granted).catch(reject);
  });
}
