// What a search returns.

import type { RawHits, RawMatches } from "../engine/calls.js";
import type { Catalogue } from "./catalogue.js";

/** An item that was found. */
export interface Hit<Data = any> {
  /** The id of the item. */
  id: string;
  /** Dense: a cosine, -1 to 1. Late: a sum with one term for each query token. */
  score: number;
  /** The data of the item, after a round trip through JSON. */
  data: Data | undefined;
  /** Dense: which chunk or row of the item has that score, from 0; the first of equals. */
  chunk?: number;
}

/** A token of a match. */
export interface MatchedToken {
  /** Which row of the query or of the item, from 0. */
  token: number;
  /** Its id in the model's vocabulary. Only for a query that was a text. */
  id?: number;
  /** Its text. Only if the query was a text, or the text of the item was passed; never for the marker and for padding. */
  text?: string;
  /** Where its text starts, in UTF-16 code units. */
  start?: number;
  /** Where its text ends, in UTF-16 code units. */
  end?: number;
}

/** A token of a query, and the token of an item that it matched. */
export interface TokenMatch {
  /** The token of the query. */
  query: MatchedToken;
  /** The token of the item. */
  document: MatchedToken;
  /** Their dot product. Added up in order, in float32, those of all matches give exactly the score. */
  similarity: number;
}

/** @internal */
export function hitsOf<Data>(
  { offsets, positions, scores, chunks }: RawHits,
  items: Catalogue,
  kind: "dense" | "late",
): Hit<Data>[][] {
  const hit = (i: number): Hit<Data> => {
    const id = items.ids[positions[i] as number] as string;
    const found = { id, score: scores[i] as number, data: structuredClone(items.data(id)) as Data | undefined };
    return kind === "dense" ? { ...found, chunk: chunks[i] as number } : found;
  };
  return Array.from({ length: offsets.length - 1 }, (_, q) => {
    const [from, to] = [offsets[q] as number, offsets[q + 1] as number];
    return Array.from({ length: to - from }, (_, i) => hit(from + i));
  });
}

/** @internal `query` and `text` are the texts of the query and of the item, if they are known. */
export function explained(raw: RawMatches, query: string | undefined, text: string | undefined): TokenMatch[] {
  return Array.from(raw.tokens, (row, i) => ({
    query: token(i, query, raw.queryRanges, i, raw.queryIds?.[i]),
    document: token(row, text, raw.ranges, i),
    similarity: raw.similarities[i] as number,
  }));
}

function token(
  row: number,
  text: string | undefined,
  ranges: Uint32Array | undefined,
  at: number,
  id?: number,
): MatchedToken {
  const [start, end] = [ranges?.[2 * at] ?? 0, ranges?.[2 * at + 1] ?? 0];
  return {
    token: row,
    ...(id !== undefined && { id }),
    ...(text !== undefined && end > start && { text: text.slice(start, end), start, end }),
  };
}
