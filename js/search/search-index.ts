/// <reference lib="esnext.disposable" preserve="true" />
import { CallQueue, disposable } from "../calls/queue.js";
import * as check from "../check.js";
import type { Engine, Hooks, OpenedIndex, SaveIndexRequest } from "../engine/calls.js";
import { invalid } from "../errors.js";
import { currentHost } from "../hosts/current.js";
import type { IndexInfo, OnProgress, Usage } from "../types.js";
import { Catalogue } from "./catalogue.js";
import { explained, type Hit, hitsOf, type TokenMatch } from "./hits.js";
import { addRequest, type IndexItem } from "./items.js";
import {
  EXPLAIN_OPTIONS, type ExplainOptions, type Query, rawQueries, SEARCH_OPTIONS, type SearchOptions, searchRequest,
} from "./queries.js";
import { blobOf, writeTo } from "./sinks.js";

/** Options of the calls that change or save an index. Every option may be left out. */
export interface ChangeOptions {
  /** Cancels the call. The index is then as it was before. */
  signal?: AbortSignal | undefined;
  /** Called from time to time with how far the call is. */
  onProgress?: OnProgress | undefined;
}

const CHANGE_OPTIONS = ["signal", "onProgress"] as const;

/**
 * A search index, made by {@link createIndex} or {@link openIndex}. A search compares the query with every item, so hits
 * are exact, unless the index is `"binary"` or has a `firstPass`. Its calls, and those of its model, run one after
 * another.
 *
 * `await using index = await createIndex(...)` disposes of it at the end of the block, where the runtime has
 * `Symbol.asyncDispose`.
 */
export class SearchIndex<Data = any> implements AsyncDisposable {
  /** {@link SearchIndex.dispose}, for `await using`; undefined where the runtime has no `Symbol.asyncDispose`. */
  declare readonly [Symbol.asyncDispose]: () => Promise<void>;

  readonly #engine: Engine;
  readonly #number: number;
  readonly #calls: CallQueue;
  readonly #hasModel: boolean;
  readonly #items = new Catalogue();
  #info: IndexInfo;

  /**
   * @internal
   * @param model - The calls of the model whose engine this is; undefined if the engine belongs to the index.
   */
  constructor(engine: Engine, number: number, { info, ids, data }: OpenedIndex, model: CallQueue | undefined) {
    this.#engine = engine;
    this.#number = number;
    this.#info = info;
    this.#hasModel = model !== undefined;
    this.#items.add(ids, data);
    this.#calls = new CallQueue(this, "index", model ? () => freeIndex(engine, number) : () => engine.close(), model);
  }

  /** Facts about the index. */
  get info(): IndexInfo {
    return this.#info;
  }

  /** How many items it has. */
  get size(): number {
    return this.#items.size;
  }

  /** Whether it has an item with this id. */
  has(id: string): boolean {
    return this.#items.has(id);
  }

  /** The ids of its items, in the order in which they were added. */
  ids(): string[] {
    return [...this.#items.ids];
  }

  /**
   * Adds items, either texts and chunks or vectors. A call that fails or is cancelled leaves the index as it was.
   *
   * @returns What embedding cost. `truncated` has indices of `items`.
   * @throws {@link PplxEmbedError}: `"invalid-argument"`, naming the item, also if its id is already in the index;
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

  /**
   * Adds items as {@link SearchIndex.add} does. An item whose id is already in the index is replaced, and moves to the
   * end.
   *
   * @returns As {@link SearchIndex.add}.
   * @throws {@link PplxEmbedError}: as {@link SearchIndex.add}.
   */
  async upsert(items: readonly IndexItem<Data>[], options?: ChangeOptions): Promise<Usage> {
    return this.#add(items, options, true);
  }

  /**
   * Removes items.
   *
   * @param ids - One id, or many. Ids that are not in the index are ignored.
   * @returns How many items were removed.
   * @throws {@link PplxEmbedError}: `"invalid-argument"`, `"disposed"`, `"device-lost"`.
   */
  async remove(ids: string | readonly string[]): Promise<number> {
    const list = check.strings("ids", ids);
    return this.#calls.run({}, async (hooks) => {
      const known = [...new Set(list)].filter((id) => this.#items.has(id));
      if (known.length === 0) return 0;
      // The items are gone even if freeing their memory fails.
      this.#items.remove(known);
      const bytes = await this.#engine.call("removeItems", { index: this.#number, ids: known }, hooks);
      this.#info = { ...this.#info, bytes };
      return known.length;
    });
  }

  /**
   * Finds the items with the highest scores for a query. Of items with equal scores, the one that was added first comes
   * first. Late items without tokens are never found.
   *
   * @param query - A text or a vector. An array of queries, all texts or all vectors, gives an array of results.
   * @returns At most `k` hits, best first.
   * @throws {@link PplxEmbedError}: `"invalid-argument"`, `"aborted"`, `"disposed"`, `"out-of-memory"`, `"device-lost"`.
   *
   * @example
   * ```ts
   * const hits = await index.search("something to ride", { k: 3, filter: (id, data) => data?.price < 200 });
   * for (const { id, score, data } of hits) console.log(id, score.toFixed(2), data);
   * ```
   */
  async search(query: Query, options?: SearchOptions<Data>): Promise<Hit<Data>[]>;
  async search(query: readonly Query[], options?: SearchOptions<Data>): Promise<Hit<Data>[][]>;
  async search(
    queries: Query | readonly Query[],
    options?: SearchOptions<Data>,
  ): Promise<Hit<Data>[] | Hit<Data>[][]> {
    const o = check.options(options, SEARCH_OPTIONS);
    const numbers = searchRequest(o);
    const filter = check.primitive("filter", o.filter, "function") as ((id: string, data: unknown) => boolean) | undefined;
    const several = check.array("queries", queries) as Query[] | undefined;
    const list = several ?? [queries as Query];
    const asked = rawQueries(list, (i) => `queries[${i}]`, this.#info, this.#hasModel);
    return this.#calls.run(o, async (hooks) => {
      if (list.length === 0) return [];
      const mask = filter && this.#items.mask(filter);
      const raw = await this.#engine.call("search", { index: this.#number, ...asked, ...numbers, mask }, hooks);
      const hits = hitsOf<Data>(raw, this.#items, this.#info.kind);
      return several ? hits : (hits[0] as Hit<Data>[]);
    });
  }

  /**
   * Explains the score of an item of a late index: what each token of the query matched in the item.
   *
   * @param query - A text or a vector, as for {@link SearchIndex.search}.
   * @param id - The id of the item.
   * @returns One match for each token of the query; none if the item has no tokens.
   * @throws {@link PplxEmbedError}: as {@link SearchIndex.search}; `"unsupported"` for a dense index;
   * `"invalid-argument"` for an unknown id, or a text that is not the item's.
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
      const raw = await this.#engine.call("explainHit", { index: this.#number, ...asked, id, text }, hooks);
      return explained(raw, typeof query === "string" ? query : undefined, text);
    });
  }

  /**
   * Saves the index, for {@link openIndex}: on this device under a name, or to a stream. An index that was saved under
   * the same name is replaced when all of the new one is written. Tabs and processes that save under the same name wait
   * for each other.
   *
   * @param target - A name of 1 to 64 letters, digits, "-", "_" and "."; or a stream, for example from
   * `showSaveFilePicker`, which is closed at the end. In Node.js, Deno and Bun also the path of a file, which begins
   * with `"/"`, `"./"`, `"../"` or a drive, or a `file:` URL; a file that is there is replaced in the same way.
   * @throws {@link PplxEmbedError}: `"storage-full"`, `"invalid-argument"`, `"io"`, `"aborted"`, `"disposed"`. What was
   * saved under the name before is still there.
   */
  async save(target: string | URL | WritableStream<Uint8Array>, options?: ChangeOptions): Promise<void> {
    const o = check.options(options, CHANGE_OPTIONS);
    const path = check.path(target);
    if (path !== undefined) {
      const address = async () => (await currentHost()).address("target", path);
      return this.#calls.run(o, async (hooks) => this.#save({ address: await address() }, hooks), true);
    }
    if (typeof target === "string") {
      const name = check.name("target", target);
      void currentHost().then((host) => host.persist());
      return this.#calls.run(o, async (hooks) => this.#save(name, hooks), true);
    }
    await writeTo(target as WritableStream<Uint8Array>, (take) => this.#calls.run(o, async (hooks) => this.#save(undefined, { ...hooks, take })));
  }

  /**
   * Saves the index to a Blob, for {@link openIndex}.
   *
   * @throws {@link PplxEmbedError}: `"invalid-argument"`, `"aborted"`, `"disposed"`, `"out-of-memory"`.
   */
  async toBlob(options?: ChangeOptions): Promise<Blob> {
    const o = check.options(options, CHANGE_OPTIONS);
    return blobOf((take) => this.#calls.run(o, async (hooks) => this.#save(undefined, { ...hooks, take })));
  }

  /**
   * Frees the memory of the index. Its model stays usable. Calls under way, and later ones, reject with code
   * `"disposed"`. It may be called more than once. Disposing of a model disposes of its indexes too.
   */
  async dispose(): Promise<void> {
    this.#calls.end();
  }

  async #add(items: readonly IndexItem<Data>[], options: ChangeOptions | undefined, upsert: boolean): Promise<Usage> {
    const o = check.options(options, CHANGE_OPTIONS);
    const request = addRequest(items, this.#info, this.#hasModel);
    const call = async (hooks: Hooks) => {
      if (request.ids.length === 0) return { tokens: 0, truncated: [] };
      const added = await this.#engine.call("addItems", { index: this.#number, ...request, upsert }, hooks);
      this.#items.add(request.ids, request.data);
      this.#info = { ...this.#info, bytes: added.bytes };
      return { tokens: added.tokens, truncated: [...added.truncated] };
    };
    return this.#calls.run(o, call, true);
  }

  async #save(target: SaveIndexRequest["target"], hooks: Hooks): Promise<void> {
    await this.#engine.call("saveIndex", { index: this.#number, target }, hooks);
  }
}

disposable(SearchIndex);

/** Frees an index of an engine that others may go on using. */
function freeIndex(engine: Engine, index: number): void {
  const hooks = { signal: new AbortController().signal, onProgress: undefined };
  engine.call("freeIndex", { index }, hooks).catch(() => {}); // the engine may have ended
}
