// An end to waiting for what never answers: a script that is empty, a server that goes on sending nothing.

import { inBackground } from "./runtime.js";

/** How many seconds something may take to answer for the first time. */
export const SILENCE = 60;

/** Calls `give` when this thread has run for {@link SILENCE} seconds. Returns what ends the waiting. */
export function afterSilence(give: () => void): () => void {
  // Counted second by second: a page that was frozen for an hour has run for one of them, and finds the answers that came
  // in the meantime before the next.
  let left = SILENCE;
  const timer = setInterval(() => {
    if (--left > 0) return;
    clearInterval(timer);
    give();
  }, 1000);
  inBackground(timer);
  return () => clearInterval(timer);
}

/** What is at an address, if the server begins to send it in time. */
export async function answered(url: string, signal: AbortSignal): Promise<Response> {
  const stop = new AbortController();
  const end = () => stop.abort(signal.reason);
  signal.addEventListener("abort", end);
  const heard = afterSilence(() => stop.abort(new Error(`the server did not answer for ${SILENCE} seconds`)));
  try {
    const response = await fetch(url, { signal: stop.signal });
    if (!response.ok) throw new Error(`the server answered ${response.status}`);
    return response;
  } catch (error) {
    throw new Error(`${url}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  } finally {
    heard();
  }
}
