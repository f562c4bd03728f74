// What to search for in an index, checked.

import * as check from "../check.js";
import type { RawQueries, RawVectors, SearchRequest } from "../engine/calls.js";
import { attempt, invalid, PplxEmbedError } from "../errors.js";
import type { IndexInfo, OnProgress } from "../types.js";
import { joined, rows, type TokenArray } from "../vectors/token-vectors.js";

/**
 * What to search for: a text, if the index has a model; or a vector, which is one row of D numbers for a dense index,
 * and one row for each token of the query for a late one. `scales` has one factor for each row, if rows are int8.
 */
export type Query = string | TokenArray | { vector: TokenArray; scales?: Float32Array | undefined };

/** Options of {@link SearchIndex.search}. Every option may be left out. */
export interface SearchOptions<Data = any> {
  /** How many hits a query may have. Default: 10. */
  k?: number | undefined;
  /**
   * Says which items may be hits. It is called once for each item, in the page. If it throws, the search rejects with
   * what it threw. The data is not a copy, so do not change it.
   */
  filter?: ((id: string, data: Data | undefined) => boolean) | undefined;
  /** For dense `"binary"`: this many times `k` rows, and at least 256, are scored exactly. Default: 4. */
  rescore?: number | undefined;
  /** With `firstPass`: this many items, and at least `k`, are scored exactly. Default: 256. */
  candidates?: number | undefined;
  /** Cancels the call. */
  signal?: AbortSignal | undefined;
  /** Called from time to time with how far the call is. */
  onProgress?: OnProgress | undefined;
}

/** Options of {@link SearchIndex.explain}. Every option may be left out. */
export interface ExplainOptions {
  /** The text of the item, as it was added. With it, matches say where in the text they are. */
  text?: string | undefined;
  /** Cancels the call. */
  signal?: AbortSignal | undefined;
  /** Called from time to time with how far the call is. */
  onProgress?: OnProgress | undefined;
}

/** @internal */
export const SEARCH_OPTIONS = ["k", "filter", "rescore", "candidates", "signal", "onProgress"] as const;
/** @internal */
export const EXPLAIN_OPTIONS = ["text", "signal", "onProgress"] as const;

/** @internal The options of a search that are numbers. */
export function searchRequest(
  o: Pick<SearchOptions, "k" | "rescore" | "candidates">,
): Pick<SearchRequest, "k" | "rescore" | "candidates"> {
  return {
    k: check.primitive("k", o.k, "number"),
    rescore: check.primitive("rescore", o.rescore, "number"),
    candidates: check.primitive("candidates", o.candidates, "number"),
  };
}

/**
 * @internal One or more queries, all texts or all vectors. `name` names a query in errors; `model` says whether the index
 * has a model.
 */
export function rawQueries(
  queries: readonly Query[],
  name: (index: number) => string,
  info: IndexInfo,
  model: boolean,
): RawQueries {
  const texts: string[] = [];
  const vectors: RawVectors[] = [];
  for (const [i, query] of queries.entries()) {
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

function vector(name: string, query: Exclude<Query, string>, { kind, dimensions }: IndexInfo): RawVectors {
  const bare = ArrayBuffer.isView(query);
  if (!bare && (typeof query !== "object" || query === null || !attempt(() => "vector" in query, true))) {
    throw invalid(name, query, "a string, a typed array or { vector, scales }");
  }
  const { vector: data, scales } = bare ? { vector: query } : check.fields(name, query, ["vector", "scales"]);
  const names = (field: string) => (bare ? name : `${name}.${field === "scales" ? field : "vector"}`);
  const { count, ...numbers } = rows({ data, scales }, dimensions, names);
  const dense = kind === "dense";
  if (count === 0 || (dense && count !== 1)) {
    const allowed = `${dense ? "one row" : "one or more rows"} of ${dimensions} dimensions`;
    throw new PplxEmbedError("invalid-argument", `${names("data")}: has ${numbers.data.length} numbers, allowed is ${allowed}`);
  }
  if (dense && scales !== undefined) throw invalid(names("scales"), scales, "undefined: they do not change a cosine");
  return { ...numbers, offsets: Uint32Array.of(0, count), dim: dimensions };
}
