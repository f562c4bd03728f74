// What this package needs from where it runs. A new host is one file that implements `Host`, and one line in current.ts.

import type { LoadOptions } from "../types.js";
import type { Files, Reading, Writing } from "./files.js";

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

/** What the wasm module is asked for. */
export type Device = NonNullable<LoadOptions["device"]>;

/** A function like the global `fetch`, for addresses only. */
export type Fetch = NonNullable<LoadOptions["fetch"]>;

/** What a host provides in every thread: the user's and the workers'. */
export interface ThreadHost {
  /**
   * Runs `act`, which opens a device, while the wasm module can reach WebGPU, where there is WebGPU. `act` is told what to
   * ask the module for: outside of pages `"auto"` is the processor.
   *
   * @throws {@link PplxEmbedError} with code `"no-adapter"` if `device` is `"webgpu"` and there is none.
   */
  withGpu<T>(device: LoadOptions["device"], act: (device: Device) => Promise<T>): Promise<T>;
  /** How many threads the machine runs at once; 1 if the host does not say. */
  cores(): number;
  /**
   * Starts a worker that helps an engine in this thread.
   *
   * @throws {@link PplxEmbedError} with code `"start"`.
   */
  startHelper(listener: WorkerListener): EngineWorker;
  /** What the host calls the GPU; empty if it does not say. */
  adapterName(): Promise<string>;
  /**
   * The wasm module at the caller's `wasmUrl`, or the one beside its script: its bytes, or a response that brings them
   * until `signal` is aborted.
   */
  wasm(wasmUrl: string | undefined, signal: AbortSignal): Promise<Response | Uint8Array<ArrayBuffer>>;
  /** Tells `listener` of every error in this thread that nobody catches. If it reports it, which it says, a worker does not
   *  fail. */
  onUncaught(listener: (thrown: unknown) => boolean): void;
  /** Reads an address, by `fetch` (the global one by default) unless it is that of a file which only the host can read. */
  read(url: string, init: RequestInit, fetch: Fetch | undefined): Promise<Response>;
  /** Opens the cache `name` in the first place that works, and creates it. @throws Error if no place works. */
  openFiles(name: string): Promise<Files>;
  /** Opens the cache `name` in every place that has one. */
  everyFiles(name: string): Promise<Files[]>;
  /** Opens the file at an address that `Host.address` gave; undefined if there is none. */
  openFile(address: string): Promise<Reading | undefined>;
  /** Replaces the file at an address that `Host.address` gave with what `write` writes, when all of it is written. */
  replaceFile(address: string, write: (file: Writing) => Promise<void>): Promise<void>;
  /**
   * Takes the lock `name` of the cache `cache`, shared by all threads that see the same files, until it is released or
   * the thread ends. Undefined if somebody else has it and the request does not wait.
   */
  lock(cache: string, name: string, request: LockRequest): Promise<Release | undefined>;
  /** How much space there is. */
  storage(): Promise<StorageState>;
  /** Asks the host not to remove files when space runs low. It need not do so. */
  persist(): void;
}

/** What a host provides to the user's thread. */
export interface Host extends ThreadHost {
  /** The address of a file or folder, given its path or address. @throws PplxEmbedError where paths mean nothing. */
  address(argument: string, path: string): string;
  /** Whether there is a folder at an address that `address` gave. */
  isFolder(address: string): Promise<boolean>;
  /**
   * Starts a worker that serves an engine.
   *
   * @throws {@link OtherOriginError} if the script is on another origin; PplxEmbedError with code `"start"` for any
   * other reason.
   */
  startWorker(listener: WorkerListener): EngineWorker;
}

/** What a worker tells the thread that started it. */
export interface WorkerListener {
  /** A message arrived. */
  received(message: unknown): void;
  /** The worker ended by itself, or could not be loaded. `why` may be empty. */
  failed(why: string): void;
}

/** A worker: one that serves an engine, or helps it. */
export interface EngineWorker {
  /** The name of its script. */
  readonly script: string;
  /** Sends a message, and hands over the buffers in `transfer`. */
  post(message: unknown, transfer?: ArrayBuffer[]): void;
  /** Whether somebody waits for the worker. A process does not end before, and does not wait for an idle worker. */
  waits(busy: boolean): void;
  /** Ends it, which frees its memory, its locks, its downloads and its GPU device. */
  end(): void;
}

/** A worker could not be started because its script is on another origin than the page, on a CDN for example. */
export class OtherOriginError extends Error {}
