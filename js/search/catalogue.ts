// The page's list of the items of an index, in the order of the index.

/** The ids and data of items. A position is a place in their order, from 0. */
export class Catalogue {
  readonly #data = new Map<string, unknown>();
  #ids: string[] = [];

  get size(): number {
    return this.#ids.length;
  }

  get ids(): readonly string[] {
    return this.#ids;
  }

  has(id: string): boolean {
    return this.#data.has(id);
  }

  /** The data of an item, after a round trip through JSON. */
  data(id: string): unknown {
    return this.#data.get(id);
  }

  /** Appends items. Items that are already there move to the end. `data` is JSON. */
  add(ids: readonly string[], data: readonly (string | undefined)[]): void {
    this.remove(ids);
    for (const [i, id] of ids.entries()) {
      const json = data[i];
      this.#data.set(id, json === undefined ? undefined : JSON.parse(json));
      this.#ids.push(id);
    }
  }

  /** Removes items. The others keep their order. */
  remove(ids: readonly string[]): void {
    const before = this.#data.size;
    for (const id of ids) this.#data.delete(id);
    if (this.#data.size < before) this.#ids = this.#ids.filter((id) => this.#data.has(id));
  }

  /** One bit for each position, lowest bit first: 1 where `filter` returns true. */
  mask(filter: (id: string, data: unknown) => boolean): Uint8Array {
    const mask = new Uint8Array(Math.ceil(this.size / 8));
    for (const [position, id] of this.#ids.entries()) {
      if (filter(id, this.#data.get(id))) mask[position >> 3]! |= 1 << (position & 7);
    }
    return mask;
  }
}
