/// <reference lib="esnext.disposable" preserve="true" />
import { askToPersist } from "../cache/host.js";
import { Calls, disposable } from "../calls.js";
import * as check from "../check.js";
import { invalid } from "../errors.js";
import type { Engine, Hooks } from "../protocol.js";
import type { OnProgress, Usage } from "../types.js";
import { Catalogue } from "./catalogue.js";
import { explained, type Hit, hitsOf, type TokenMatch } from "./hits.js";
import { addRequest, type IndexItem } from "./items.js";
import type { IndexCalls, IndexOp, Opened, RawIndexInfo } from "./protocol.js";
import {
  EXPLAIN_OPTIONS, type ExplainOptions, type Query, rawQueries, SEARCH_OPTIONS, type SearchOptions, searchRequest,
} from "./queries.js";
import { blobOf, writeTo } from "./sinks.js";

/** What is known of an index. */
export interface IndexInfo {
  /** Whether a row is the vector of a text or chunk, scored by cosine, or of a token, scored by MaxSim. */
  readonly kind: "dense" | "late";
  /** The form that rows are kept in. */
  readonly dtype: "int8" | "binary" | "float32" | "float16";
  /** D, dimensions of a vector. */
  readonly dimensions: number;
  /** The name of the model that makes its vectors; undefined if it was made without one. */
  readonly model: string | undefined;
  /** Whether a search chooses candidates by the signs of rows first. */
  readonly firstPass: boolean;
  /** Where it is searched. */
  readonly device: "webgpu" | "cpu";
  /** What rows, ids and data take in the engine's main memory, and on the GPU. */
  readonly bytes: { readonly host: number; readonly device: number };
}

/** How an index is to be changed or saved. Every option may be left out. */
export interface ChangeOptions {
  /** Cancels the call: nothing has changed then. */
  signal?: AbortSignal | undefined;
  /** Hears how far the call is. */
  onProgress?: OnProgress | undefined;
}

const CHANGE_OPTIONS = ["signal", "onProgress"] as const;

/**
 * Items with vectors, searched exhaustively: every hit is exact, unless the index is `"binary"` or has a `firstPass`.
 * Made by {@link createIndex} and {@link openIndex}. Its calls run one after another, with those of its model.
 *
 * `await using index = await createIndex(...)` disposes of it at the end of the block, where the runtime has
 * `Symbol.asyncDispose`.
 */
export class SearchIndex<Data = unknown> implements AsyncDisposable {
  /** {@link SearchIndex.dispose}, for `await using`; undefined where the runtime has no `Symbol.asyncDispose`. */
  declare readonly [Symbol.asyncDispose]: () => Promise<void>;

  readonly #engine: Engine;
  readonly #number: number;
  readonly #calls: Calls;
  readonly #hasModel: boolean;
  readonly #items = new Catalogue();
  #info: RawIndexInfo;

  /**
   * @internal
   * @param model - The calls of the model whose engine it lives in; without, the engine is its own.
   */
  constructor(engine: Engine, number: number, { info, ids, data }: Opened, model: Calls | undefined) {
    this.#engine = engine;
    this.#number = number;
    this.#info = info;
    this.#hasModel = model !== undefined;
    this.#items.add(ids, data);
    this.#calls = new Calls(this, "index", model ? () => freeIndex(engine, number) : () => engine.close(), model);
  }

  /** What is known of it. */
  get info(): IndexInfo {
    return this.#info;
  }

  /** How many items there are. */
  get size(): number {
    return this.#items.size;
  }

  /** Whether there is an item of that id. */
  has(id: string): boolean {
    return this.#items.has(id);
  }

  /** The ids in the order of the index: that of adding. */
  ids(): string[] {
    return [...this.#items.ids];
  }

  /**
   * Adds items: texts, chunks or vectors. All or nothing: a call that fails or is cancelled leaves the index as it was.
   *
   * @returns What embedding cost; `truncated` has indices of `items`.
   * @throws {@link PplxEmbedError}: `"invalid-argument"` naming the item, also for an id that is there already;
   * `"aborted"`, `"disposed"`, `"out-of-memory"`, `"adapter-too-small"` for an item too large for this GPU,
   * `"device-lost"`.
   *
   * @example
   * ```ts
   * await index.add([
   *   { id: "a", text: "a red bicycle", data: { price: 120 } },
   *   { id: "b", chunks: ["Marie Curie was born in Warsaw.", "She moved to Paris."] },
   * ]);
   * ```
   */
  async add(items: readonly IndexItem<Data>[], options?: ChangeOptions): Promise<Usage> {
    return this.#add(items, options, false);
  }

  /** {@link SearchIndex.add}, but an item whose id is there already is replaced, and moves to the end of the order. */
  async upsert(items: readonly IndexItem<Data>[], options?: ChangeOptions): Promise<Usage> {
    return this.#add(items, options, true);
  }

  /** Takes items out, and gives how many of these there were. */
  async remove(ids: string | readonly string[]): Promise<number> {
    const list = check.strings("ids", ids);
    return this.#calls.run({}, async (hooks) => {
      const known = [...new Set(list)].filter((id) => this.#items.has(id));
      if (known.length === 0) return 0;
      // They are gone even where tidying up after them fails.
      this.#items.remove(known);
      const { bytes } = await this.#ask("remove", { index: this.#number, ids: known }, hooks);
      this.#info = { ...this.#info, bytes };
      return known.length;
    });
  }

  /**
   * The best items for a query, best first; of equal scores, the item that was added first. Late items without tokens
   * are never found.
   *
   * @param queries - A text or a vector; or an array of such, all of one sort, which gives an array of results.
   * @throws {@link PplxEmbedError}: `"invalid-argument"`, `"aborted"`, `"disposed"`, `"out-of-memory"`, `"device-lost"`.
   *
   * @example
   * ```ts
   * const hits = await index.search("something to ride", { k: 3, filter: (id, data) => data?.price < 200 });
   * for (const { id, score, data } of hits) console.log(id, score.toFixed(2), data);
   * ```
   */
  async search(query: Query, options?: SearchOptions<Data>): Promise<Hit<Data>[]>;
  async search(queries: readonly Query[], options?: SearchOptions<Data>): Promise<Hit<Data>[][]>;
  async search(
    queries: Query | readonly Query[],
    options?: SearchOptions<Data>,
  ): Promise<Hit<Data>[] | Hit<Data>[][]> {
    const o = check.options(options, SEARCH_OPTIONS);
    const numbers = searchRequest(o);
    const filter = check.primitive("filter", o.filter, "function") as ((id: string, data: unknown) => boolean) | undefined;
    const many = Array.isArray(queries);
    const list = (many ? queries : [queries]) as readonly Query[];
    const asked = rawQueries(list, (i) => `queries[${i}]`, this.#info, this.#hasModel);
    return this.#calls.run(o, async (hooks) => {
      if (list.length === 0) return [];
      const mask = filter && this.#items.mask(filter);
      const raw = await this.#ask("search", { index: this.#number, ...asked, ...numbers, mask }, hooks);
      const hits = hitsOf<Data>(raw, this.#items, this.#info.kind);
      return many ? hits : (hits[0] as Hit<Data>[]);
    });
  }

  /**
   * What each token of a query matched in a late item; the similarities add up to the score. Nothing for an item without
   * tokens.
   *
   * @throws {@link PplxEmbedError}: `"unsupported"` for a dense index; `"invalid-argument"` for an id that is not there,
   * or a text that is not the item's; and as {@link SearchIndex.search}.
   *
   * @example
   * ```ts
   * for (const { query, document, similarity } of await index.explain("Who is she?", id, { text })) {
   *   console.log(query.text, "->", document.text, similarity.toFixed(2));
   * }
   * ```
   */
  async explain(query: Query, id: string, options?: ExplainOptions): Promise<TokenMatch[]> {
    const o = check.options(options, EXPLAIN_OPTIONS);
    const text = check.primitive("text", o.text, "string");
    if (typeof id !== "string") throw invalid("id", id, "a string");
    const asked = rawQueries([query], () => "query", this.#info, this.#hasModel);
    return this.#calls.run(o, async (hooks) => {
      if (!this.has(id)) throw invalid("id", id, "the id of an item");
      const raw = await this.#ask("explain", { index: this.#number, ...asked, id, text }, hooks);
      return explained(raw, typeof query === "string" ? query : undefined, text);
    });
  }

  /**
   * Saves the index in this browser (OPFS) under a name, for {@link openIndex}, or into a stream, which is closed then.
   * What was saved under that name stays until the new one is whole; two tabs wait for each other.
   *
   * @param target - 1 to 64 letters, digits, "-", "_" and "."; or a stream, of `showSaveFilePicker` for example.
   * @throws {@link PplxEmbedError}: `"storage-full"`, which leaves what was there; `"invalid-argument"`, `"io"`,
   * `"aborted"`, `"disposed"`.
   */
  async save(target: string | WritableStream<Uint8Array>, options?: ChangeOptions): Promise<void> {
    const o = check.options(options, CHANGE_OPTIONS);
    if (typeof target === "string") {
      const name = check.name("target", target);
      askToPersist();
      return this.#calls.run(o, async (hooks) => this.#save(name, hooks), true);
    }
    await writeTo(target, (take) => this.#calls.run(o, async (hooks) => this.#save(undefined, { ...hooks, take })));
  }

  /** The index as a file, for {@link openIndex}. */
  async toBlob(options?: ChangeOptions): Promise<Blob> {
    const o = check.options(options, CHANGE_OPTIONS);
    return blobOf((take) => this.#calls.run(o, async (hooks) => this.#save(undefined, { ...hooks, take })));
  }

  /**
   * Frees the index's memory; its model stays. Calls that are under way reject with code `"disposed"`, and so do later
   * ones. It may be called more than once. Disposing of the model ends its indexes, too.
   */
  async dispose(): Promise<void> {
    this.#calls.end();
  }

  async #add(items: readonly IndexItem<Data>[], options: ChangeOptions | undefined, upsert: boolean): Promise<Usage> {
    const o = check.options(options, CHANGE_OPTIONS);
    const request = addRequest(items, this.#info, this.#hasModel);
    const call = async (hooks: Hooks) => {
      if (items.length === 0) return { tokens: 0, truncated: [] };
      const added = await this.#ask("add", { index: this.#number, ...request, upsert }, hooks);
      this.#items.add(request.ids, request.data);
      this.#info = { ...this.#info, bytes: added.bytes };
      return { tokens: added.tokens, truncated: [...added.truncated] };
    };
    return this.#calls.run(o, call, true);
  }

  async #save(name: string | undefined, hooks: Hooks): Promise<void> {
    await this.#ask("save", { index: this.#number, name }, hooks);
  }

  #ask<K extends IndexOp>(op: K, request: IndexCalls[K][0], hooks: Hooks): Promise<IndexCalls[K][1]> {
    return this.#engine.index(op, request, hooks);
  }
}

disposable(SearchIndex);

/** @internal Frees an index of an engine that goes on, or that has ended. */
export function freeIndex(engine: Engine, index: number): void {
  const hooks = { signal: new AbortController().signal, onProgress: undefined };
  engine.index("free", { index }, hooks).catch(() => {});
}
