// Files in the Cache API, for browsers without OPFS. A file is a table of its pieces, and the pieces by number.

import type { Files, Reading, Writing } from "../files.js";

/** Bytes of a piece, except for the last one and those that were flushed early. */
const PIECE = 4 << 20;

/** The pieces of a file: the name they share, and the size of each in bytes. */
interface PieceTable {
  pieces: string;
  sizes: number[];
}

/** The Cache API as a place for files. */
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
    const table = await this.#table(name);
    return table && new PieceReading(table, (number) => this.#piece(table, number));
  }

  async append(name: string): Promise<Writing> {
    const table = (await this.#table(name)) ?? { pieces: crypto.randomUUID(), sizes: [] };
    const put = async (bytes: Uint8Array) => {
      await this.#put(`piece/${table.pieces}/${table.sizes.length}`, bytes);
      table.sizes.push(bytes.length);
      await this.#putTable(name, table);
    };
    // The table is written first, so that no piece is ever without one.
    if (table.sizes.length === 0) await this.#putTable(name, table);
    return new PieceWriting(table, put, () => this.remove(name));
  }

  async write(name: string, bytes: Uint8Array): Promise<void> {
    const old = await this.#table(name);
    const table: PieceTable = { pieces: crypto.randomUUID(), sizes: [bytes.length] };
    await this.#put(`piece/${table.pieces}/0`, bytes);
    await this.#putTable(name, table);
    if (old) await this.#drop(old);
  }

  async rename(from: string, to: string): Promise<void> {
    const table = await this.#table(from);
    if (!table) throw new Error(`${from} is not there`);
    const old = await this.#table(to);
    await this.#putTable(to, table);
    await this.#cache.delete(address(`file/${from}`));
    if (old) await this.#drop(old);
  }

  async remove(name: string): Promise<void> {
    const table = await this.#table(name);
    await this.#cache.delete(address(`file/${name}`));
    if (table) await this.#drop(table);
  }

  async list(): Promise<[string, number][]> {
    const files: [string, number][] = [];
    for (const { url } of await this.#cache.keys()) {
      const name = new URL(url).pathname.split(`${PATH}file/`)[1];
      const table = name && (await this.#table(name));
      if (table) files.push([name, total(table)]);
    }
    return files;
  }

  /** The pieces of a file; undefined if there is no file, or its table is damaged. */
  async #table(name: string): Promise<PieceTable | undefined> {
    const response = await this.#cache.match(address(`file/${name}`));
    const table = (await response?.json().catch(() => undefined)) as Partial<PieceTable> | undefined;
    const sizes = table?.sizes;
    const good = Array.isArray(sizes) && sizes.every((size) => Number.isSafeInteger(size) && size >= 0);
    return good && typeof table?.pieces === "string" ? { pieces: table.pieces, sizes } : undefined;
  }

  async #piece(table: PieceTable, number: number): Promise<Blob> {
    const response = await this.#cache.match(address(`piece/${table.pieces}/${number}`));
    if (!response) throw new Error(`piece ${number} of ${table.sizes.length} is gone`);
    return response.blob();
  }

  #putTable(name: string, table: PieceTable): Promise<void> {
    return this.#put(`file/${name}`, new TextEncoder().encode(JSON.stringify(table)));
  }

  async #put(path: string, bytes: Uint8Array): Promise<void> {
    await this.#cache.put(address(path), new Response(bytes as Uint8Array<ArrayBuffer>));
  }

  async #drop({ pieces, sizes }: PieceTable): Promise<void> {
    // A piece may have been written after the last one that the table counts.
    for (let number = 0; number <= sizes.length; number++) {
      await this.#cache.delete(address(`piece/${pieces}/${number}`));
    }
  }
}

const PATH = "/pplx-embed-web-cache/";

/** The address that stands for a path in the cache. Nothing is ever fetched from it. */
function address(path: string): string {
  return new URL(PATH + path, location.origin).href;
}

function total(table: PieceTable): number {
  return table.sizes.reduce((sum, size) => sum + size, 0);
}

class PieceReading implements Reading {
  readonly size: number;
  readonly #table: PieceTable;
  readonly #piece: (number: number) => Promise<Blob>;
  /** The piece that was read last; the next read mostly needs it again. */
  #last: { number: number; content: Blob } | undefined;

  constructor(table: PieceTable, piece: (number: number) => Promise<Blob>) {
    this.#table = table;
    this.#piece = piece;
    this.size = total(table);
  }

  readInto(): undefined {}

  async read(at: number, length: number): Promise<Uint8Array> {
    const parts: Blob[] = [];
    let start = 0;
    for (const [number, size] of this.#table.sizes.entries()) {
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
  /** Bytes that are not yet in a piece. */
  #parts: Uint8Array[] = [];
  #length = 0;
  size: number;

  constructor(table: PieceTable, put: (bytes: Uint8Array) => Promise<void>, discard: () => Promise<void>) {
    this.#put = put;
    this.#discard = discard;
    this.size = total(table);
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
