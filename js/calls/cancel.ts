// Calls that can be cancelled.

import type { PplxEmbedError } from "../errors.js";

/**
 * A signal, and the error that a call rejects with when it is aborted. With `asks`, a call whose work has begun is only
 * asked to stop, and reports itself how it ended.
 */
export type Stop = [signal: AbortSignal | undefined, error: () => PplxEmbedError, asks?: boolean];

/**
 * Runs `work`, and rejects as soon as one of `stops` is aborted, even if the work has not yet noticed that its signal is
 * aborted too. The work calls `begin` when it begins.
 */
export function cancellable<T>(
  stops: Stop[],
  work: (signal: AbortSignal, begin: () => void) => Promise<T>,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const controller = new AbortController();
    const listeners: [AbortSignal, () => void][] = [];
    let begun = false;
    const settle = () => {
      for (const [signal, listener] of listeners) signal.removeEventListener("abort", listener);
    };
    for (const [signal, error, asks] of stops) {
      if (!signal) continue;
      const stop = () => {
        if (!(begun && asks)) {
          settle();
          reject(error());
        }
        controller.abort();
      };
      if (signal.aborted) return stop();
      signal.addEventListener("abort", stop);
      listeners.push([signal, stop]);
    }
    work(controller.signal, () => (begun = true)).finally(settle).then(resolve, reject);
  });
}
