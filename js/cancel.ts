import type { PplxEmbedError } from "./errors.js";

/** A signal, and the error that a call rejects with once it is aborted. */
export type Stop = [signal: AbortSignal | undefined, error: () => PplxEmbedError];

/**
 * Does `work`, and rejects as soon as one of `stops` is aborted, however long the work itself takes to notice through
 * the signal that it is handed.
 */
export function cancellable<T>(stops: Stop[], work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const controller = new AbortController();
    const listeners: [AbortSignal, () => void][] = [];
    const settle = () => {
      for (const [signal, listener] of listeners) signal.removeEventListener("abort", listener);
    };
    for (const [signal, error] of stops) {
      if (!signal) continue;
      const stop = () => {
        settle();
        reject(error());
        controller.abort();
      };
      if (signal.aborted) return stop();
      signal.addEventListener("abort", stop);
      listeners.push([signal, stop]);
    }
    work(controller.signal).finally(settle).then(resolve, reject);
  });
}
