// What this package needs from where it runs. A new host is one file that implements `Host`, and one line in current.ts.

import type { LoadOptions } from "../types.js";
import type { Files } from "./files.js";

/** Ends a lock. */
export type Release = () => void;

/** How a lock is taken. */
export interface LockRequest {
  /** Whether nobody else may hold it at the same time. */
  exclusive: boolean;
  /** Whether to wait until it is free. */
  wait: boolean;
  /** Ends the waiting with an AbortError. */
  signal?: AbortSignal | undefined;
}

/** What the host knows about the space for files. */
export interface StorageState {
  /** Bytes that this origin may store; undefined if unknown. */
  quota: number | undefined;
  /** Bytes that it stores now. */
  usage: number;
  /** Whether the host promised not to remove files when space runs low. */
  persisted: boolean;
}

/** What a host provides in every thread, the page's and the workers'. */
export interface ThreadHost {
  /** What the host calls the GPU; empty if it does not say. */
  adapterName(): Promise<string>;
  /** Where the wasm module is, given the caller's `wasmUrl`; undefined for the default, beside its script. */
  wasm(wasmUrl: string | undefined): string | undefined;
  /** Opens the cache `name` in the first place that works, and creates it. @throws Error if no place works. */
  openFiles(name: string): Promise<Files>;
  /** Opens the cache `name` in every place that has one. */
  everyFiles(name: string): Promise<Files[]>;
  /**
   * Takes the lock `name` of the cache `cache`, shared by all threads of the origin, until it is released or the thread
   * ends. Undefined if somebody else has it and the request does not wait.
   */
  lock(cache: string, name: string, request: LockRequest): Promise<Release | undefined>;
  /** How much space there is. */
  storage(): Promise<StorageState>;
  /** Asks the host not to remove files when space runs low. It need not do so. */
  persist(): void;
}

/** What a host provides to the page. */
export interface Host extends ThreadHost {
  /** @throws {@link PplxEmbedError} with code `"no-adapter"` if models cannot run on `device` here. */
  requireDevice(device: LoadOptions["device"]): void;
  /**
   * Starts the worker that runs worker.js.
   *
   * @throws {@link OtherOriginError} if the script is on another origin; PplxEmbedError with code `"start"` for any
   * other reason.
   */
  startWorker(): Worker;
}

/** A worker could not be started because its script is on another origin than the page, on a CDN for example. */
export class OtherOriginError extends Error {}
