// What the wasm module calls (src/hub/cache/browser.rs): files, locks and what the browser knows of its storage.

import { type Files, openFiles, type Reading, type Writing } from "./files.js";
import { lock, type Release } from "./locks.js";

/** Asks the browser not to remove what this origin keeps when space runs low. Workers cannot ask. */
export function askToPersist(): void {
  globalThis.navigator?.storage?.persist?.().catch(() => {});
}

export class Host {
  readonly #name: string;
  readonly #files: Files;
  readonly #signal: AbortSignal;
  readonly #persist: () => void;

  /** The cache `name`. `persist` is called before the first large file is written; only a page can do what it asks. */
  static async open(name: string, signal: AbortSignal, persist: () => void): Promise<Host> {
    return new Host(name, await openFiles(name), signal, persist);
  }

  private constructor(name: string, files: Files, signal: AbortSignal, persist: () => void) {
    this.#name = name;
    this.#files = files;
    this.#signal = signal;
    this.#persist = persist;
  }

  open(name: string): Promise<Reading | undefined> {
    return this.#files.open(name);
  }

  append(name: string): Promise<Writing> {
    return this.#files.append(name);
  }

  write(name: string, bytes: Uint8Array): Promise<void> {
    return this.#files.write(name, bytes.slice());
  }

  rename(from: string, to: string): Promise<void> {
    return this.#files.rename(from, to);
  }

  remove(name: string): Promise<void> {
    return this.#files.remove(name);
  }

  list(): Promise<[string, number][]> {
    return this.#files.list();
  }

  lock(name: string, exclusive: boolean, wait: boolean): Promise<Release | undefined> {
    return lock(this.#name, name, { exclusive, wait, signal: this.#signal });
  }

  /** Bytes that still fit, as far as the browser tells. */
  async room(): Promise<number | undefined> {
    const { quota, usage } = (await navigator.storage?.estimate?.()) ?? {};
    return quota === undefined ? undefined : Math.max(0, quota - (usage ?? 0));
  }

  persist(): void {
    this.#persist();
  }
}
