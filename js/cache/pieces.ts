// Files in the Cache API, for browsers without OPFS: a file is an index and numbered pieces.

import type { Files, Reading, Writing } from "./files.js";

/** Bytes of a piece, but for the last and for those that were flushed early. */
const PIECE = 4 << 20;

/** The pieces of a file: by what they are called, and how long each is. */
interface Index {
  pieces: string;
  sizes: number[];
}

export async function open(root: string, name: string, create: boolean): Promise<Files> {
  if (!globalThis.caches) throw new Error("there is no Cache API");
  if (!create && !(await caches.has(`${root}/${name}`))) throw new Error("there is no such cache");
  return new PieceFiles(await caches.open(`${root}/${name}`));
}

class PieceFiles implements Files {
  readonly #cache: Cache;

  constructor(cache: Cache) {
    this.#cache = cache;
  }

  async open(name: string): Promise<Reading | undefined> {
    const index = await this.#index(name);
    return index && new PieceReading(index, (number) => this.#piece(index, number));
  }

  async append(name: string): Promise<Writing> {
    const index = (await this.#index(name)) ?? { pieces: crypto.randomUUID(), sizes: [] };
    const put = async (bytes: Uint8Array) => {
      await this.#put(`piece/${index.pieces}/${index.sizes.length}`, bytes);
      index.sizes.push(bytes.length);
      await this.#putIndex(name, index);
    };
    // Before its first piece, so that no piece is without an index.
    if (index.sizes.length === 0) await this.#putIndex(name, index);
    return new PieceWriting(index, put, () => this.remove(name));
  }

  async write(name: string, bytes: Uint8Array): Promise<void> {
    const old = await this.#index(name);
    const index: Index = { pieces: crypto.randomUUID(), sizes: [bytes.length] };
    await this.#put(`piece/${index.pieces}/0`, bytes);
    await this.#putIndex(name, index);
    if (old) await this.#drop(old);
  }

  async rename(from: string, to: string): Promise<void> {
    const index = await this.#index(from);
    if (!index) throw new Error(`${from} is not there`);
    const old = await this.#index(to);
    await this.#putIndex(to, index);
    await this.#cache.delete(address(`file/${from}`));
    if (old) await this.#drop(old);
  }

  async remove(name: string): Promise<void> {
    const index = await this.#index(name);
    await this.#cache.delete(address(`file/${name}`));
    if (index) await this.#drop(index);
  }

  async list(): Promise<[string, number][]> {
    const files: [string, number][] = [];
    for (const { url } of await this.#cache.keys()) {
      const name = new URL(url).pathname.split(`${PATH}file/`)[1];
      const index = name && (await this.#index(name));
      if (index) files.push([name, total(index)]);
    }
    return files;
  }

  /** The pieces of a file; one whose index is damaged is none. */
  async #index(name: string): Promise<Index | undefined> {
    const response = await this.#cache.match(address(`file/${name}`));
    const index = (await response?.json().catch(() => undefined)) as Partial<Index> | undefined;
    const sizes = index?.sizes;
    const good = Array.isArray(sizes) && sizes.every((size) => Number.isSafeInteger(size) && size >= 0);
    return good && typeof index?.pieces === "string" ? { pieces: index.pieces, sizes } : undefined;
  }

  async #piece(index: Index, number: number): Promise<Blob> {
    const response = await this.#cache.match(address(`piece/${index.pieces}/${number}`));
    if (!response) throw new Error(`piece ${number} of ${index.sizes.length} is gone`);
    return response.blob();
  }

  #putIndex(name: string, index: Index): Promise<void> {
    return this.#put(`file/${name}`, new TextEncoder().encode(JSON.stringify(index)));
  }

  async #put(path: string, bytes: Uint8Array): Promise<void> {
    await this.#cache.put(address(path), new Response(bytes as Uint8Array<ArrayBuffer>));
  }

  async #drop({ pieces, sizes }: Index): Promise<void> {
    // The one behind the last may have been written without being counted.
    for (let number = 0; number <= sizes.length; number++) {
      await this.#cache.delete(address(`piece/${pieces}/${number}`));
    }
  }
}

const PATH = "/pplx-embed-web-cache/";

/** What the cache calls a path; nothing is ever fetched from there. */
function address(path: string): string {
  return new URL(PATH + path, location.origin).href;
}

function total(index: Index): number {
  return index.sizes.reduce((sum, size) => sum + size, 0);
}

class PieceReading implements Reading {
  readonly size: number;
  readonly #index: Index;
  readonly #piece: (number: number) => Promise<Blob>;
  /** The piece read last: the next read mostly wants it too. */
  #last: { number: number; content: Blob } | undefined;

  constructor(index: Index, piece: (number: number) => Promise<Blob>) {
    this.#index = index;
    this.#piece = piece;
    this.size = total(index);
  }

  readInto(): undefined {}

  async read(at: number, length: number): Promise<Uint8Array> {
    const parts: Blob[] = [];
    let start = 0;
    for (const [number, size] of this.#index.sizes.entries()) {
      const [from, to] = [Math.max(at - start, 0), Math.min(at + length - start, size)];
      if (from < to) {
        if (this.#last?.number !== number) this.#last = { number, content: await this.#piece(number) };
        parts.push(this.#last.content.slice(from, to));
      }
      start += size;
    }
    return new Uint8Array(await new Blob(parts).arrayBuffer());
  }

  close(): void {}
}

class PieceWriting implements Writing {
  readonly #put: (bytes: Uint8Array) => Promise<void>;
  readonly #discard: () => Promise<void>;
  /** What is not yet a piece. */
  #parts: Uint8Array[] = [];
  #length = 0;
  size: number;

  constructor(index: Index, put: (bytes: Uint8Array) => Promise<void>, discard: () => Promise<void>) {
    this.#put = put;
    this.#discard = discard;
    this.size = total(index);
  }

  async append(bytes: Uint8Array): Promise<void> {
    this.#parts.push(bytes.slice());
    this.#length += bytes.length;
    this.size += bytes.length;
    if (this.#length >= PIECE) await this.flush();
  }

  async flush(): Promise<void> {
    if (this.#length === 0) return;
    const bytes = new Uint8Array(this.#length);
    let at = 0;
    for (const part of this.#parts) {
      bytes.set(part, at);
      at += part.length;
    }
    [this.#parts, this.#length] = [[], 0];
    await this.#put(bytes);
  }

  close(): Promise<void> {
    return this.flush();
  }

  discard(): Promise<void> {
    [this.#parts, this.#length] = [[], 0];
    return this.#discard();
  }
}
