// Chooses where an engine runs.

import { currentHost } from "../hosts/current.js";
import { OtherOriginError } from "../hosts/host.js";
import { PplxEmbedError } from "../errors.js";
import type { LoadOptions, OnProgress } from "../types.js";
import type { Engine } from "./calls.js";
import { LocalEngine } from "./local.js";
import { WorkerEngine } from "./remote.js";

/** What decides where an engine runs. */
export interface EngineOptions {
  /** True for a worker, false for this thread; undefined for a worker where one can be made. */
  worker: boolean | undefined;
  /** Called instead of the global `fetch`. A worker cannot have it. */
  fetch?: LoadOptions["fetch"];
  onProgress: OnProgress | undefined;
}

/**
 * Starts an engine.
 *
 * @throws {@link PplxEmbedError} with code `"start"`.
 */
export async function startEngine({ worker, fetch, onProgress }: EngineOptions): Promise<Engine> {
  const host = await currentHost();
  if (!(worker ?? !fetch)) return new LocalEngine(host, fetch);
  try {
    return new WorkerEngine(host);
  } catch (error) {
    if (!(error instanceof OtherOriginError)) throw error;
    if (worker) throw new PplxEmbedError("start", `worker: true, but ${error.message}`, { cause: error });
    onProgress?.({ stage: "notice", message: `running in the page: ${error.message}` });
    return new LocalEngine(host);
  }
}
