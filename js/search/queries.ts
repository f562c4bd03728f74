// What is looked for in an index, checked by name.

import * as check from "../check.js";
import { invalid, PplxEmbedError } from "../errors.js";
import type { RawTokens } from "../protocol.js";
import type { OnProgress } from "../types.js";
import { joined, rows, type TokenArray } from "../vectors.js";
import type { RawIndexInfo, RawQueries, SearchRequest } from "./protocol.js";

/**
 * A text, for an index with a model; or a vector: one row of a dense index, the rows of a query's tokens of a late one,
 * with a factor a row where those are int8.
 */
export type Query = string | TokenArray | { vector: TokenArray; scales?: Float32Array | undefined };

/** How to search. Every option may be left out. */
export interface SearchOptions<Data = unknown> {
  /** Most hits of a query. Default: 10. */
  k?: number | undefined;
  /**
   * Which items may be hits. It is called once for each item, in the page; what it throws, the search rejects with. The
   * data is the index's own: do not change it.
   */
  filter?: ((id: string, data: Data | undefined) => boolean) | undefined;
  /** For dense `"binary"`: how many rows for each of the `k` are scored exactly, and at least 256. Default: 4. */
  rescore?: number | undefined;
  /** With `firstPass`: how many items are scored exactly, and at least `k`. Default: 256. */
  candidates?: number | undefined;
  /** Cancels the call. */
  signal?: AbortSignal | undefined;
  /** Hears how far the call is. */
  onProgress?: OnProgress | undefined;
}

/** How to explain. Every option may be left out. */
export interface ExplainOptions {
  /** The item's text, as it was added: with it matches say where in the text they are. The index does not keep it. */
  text?: string | undefined;
  /** Cancels the call. */
  signal?: AbortSignal | undefined;
  /** Hears how far the call is. */
  onProgress?: OnProgress | undefined;
}

/** @internal */
export const SEARCH_OPTIONS = ["k", "filter", "rescore", "candidates", "signal", "onProgress"] as const;
/** @internal */
export const EXPLAIN_OPTIONS = ["text", "signal", "onProgress"] as const;

/** @internal The numbers of a search. */
export function searchRequest(
  o: Pick<SearchOptions, "k" | "rescore" | "candidates">,
): Pick<SearchRequest, "k" | "rescore" | "candidates"> {
  return {
    k: check.primitive("k", o.k, "number"),
    rescore: check.primitive("rescore", o.rescore, "number"),
    candidates: check.primitive("candidates", o.candidates, "number"),
  };
}

/** @internal Queries of one sort, at least one, by the names that errors give them. `model`: whether the index has one. */
export function rawQueries(
  queries: readonly Query[],
  name: (index: number) => string,
  info: RawIndexInfo,
  model: boolean,
): RawQueries {
  const texts: string[] = [];
  const vectors: RawTokens[] = [];
  // By index, because forEach and the like pass over holes.
  for (let i = 0; i < queries.length; i++) {
    const query = queries[i] as Query;
    if (typeof query !== "string") vectors.push(vector(name(i), query, info));
    else if (model) texts.push(query);
    else throw new PplxEmbedError("invalid-argument", `${name(i)}: the index has no model, allowed is a vector`);
    if (texts.length > 0 && vectors.length > 0) {
      const message = `${name(i)}: a ${typeof query === "string" ? "text" : "vector"}, allowed is what ${name(0)} is`;
      throw new PplxEmbedError("invalid-argument", message);
    }
  }
  if (vectors.length === 0) return { texts, vectors: undefined };
  return { texts: undefined, vectors: joined(vectors, (i) => () => name(i)) };
}

function vector(name: string, query: Exclude<Query, string>, { kind, dimensions }: RawIndexInfo): RawTokens {
  const bare = ArrayBuffer.isView(query);
  if (!bare && (typeof query !== "object" || query === null || !("vector" in query))) {
    throw invalid(name, query, "a string, a typed array or { vector, scales }");
  }
  const { vector: data, scales } = bare ? { vector: query, scales: undefined } : query;
  const names = (field: string) => (bare ? name : `${name}.${field === "scales" ? field : "vector"}`);
  const { count, ...numbers } = rows({ data, scales }, dimensions, names);
  const dense = kind === "dense";
  if (count === 0 || (dense && count !== 1)) {
    const allowed = `${dense ? "one row" : "one or more rows"} of ${dimensions} dimensions`;
    throw new PplxEmbedError("invalid-argument", `${names("data")}: has ${numbers.data.length} numbers, allowed is ${allowed}`);
  }
  if (dense && scales !== undefined) throw invalid(names("scales"), scales, "none: a cosine does not see them");
  return { ...numbers, offsets: Uint32Array.of(0, count), dim: dimensions };
}
