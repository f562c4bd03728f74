// The cache as the wasm module uses it (src/hub/cache/browser.rs).

import type { Files, Reading, Writing } from "../hosts/files.js";
import type { Release, ThreadHost } from "../hosts/host.js";

/** The files, locks and free space of one cache. */
export class CacheStore {
  readonly #name: string;
  readonly #files: Files;
  readonly #host: ThreadHost;
  readonly #signal: AbortSignal;

  /** Opens the cache `name`. Once `signal` is aborted, waiting for a lock ends. @throws Error if no place works. */
  static async open(host: ThreadHost, name: string, signal: AbortSignal): Promise<CacheStore> {
    return new CacheStore(host, name, await host.openFiles(name), signal);
  }

  private constructor(host: ThreadHost, name: string, files: Files, signal: AbortSignal) {
    this.#host = host;
    this.#name = name;
    this.#files = files;
    this.#signal = signal;
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
    return this.#host.lock(this.#name, name, { exclusive, wait, signal: this.#signal });
  }

  /** Bytes that still fit; undefined if unknown. */
  async room(): Promise<number | undefined> {
    const { quota, usage } = await this.#host.storage();
    return quota === undefined ? undefined : Math.max(0, quota - usage);
  }

  /** Called before the first large file is written. */
  persist(): void {
    this.#host.persist();
  }
}
