import type { PplxEmbedError } from "./errors.js";

/**
 * A signal, and the error that a call rejects with once it is aborted. With `asks`, only as long as the work has not
 * begun: then it is asked to stop, and says itself how it ended.
 */
export type Stop = [signal: AbortSignal | undefined, error: () => PplxEmbedError, asks?: boolean];

/**
 * Does `work`, and rejects as soon as one of `stops` is aborted, however long the work itself takes to notice through
 * the signal that it is handed.
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
