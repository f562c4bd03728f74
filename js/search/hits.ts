// What a search gives.

import type { Catalogue } from "./catalogue.js";
import type { RawHits, RawMatches } from "./protocol.js";

/** An item that was found. */
export interface Hit<Data = unknown> {
  /** As it was added. */
  id: string;
  /** Dense: a cosine, -1 to 1. Late: a sum, one term a query token. */
  score: number;
  /** What was given with the item, as JSON keeps it. */
  data: Data | undefined;
  /** Dense: which of the item's chunks or rows has that score, from 0; the first of equals. */
  chunk?: number;
}

/** A token that takes part in a match. */
export interface MatchedToken {
  /** Which of the query's or the item's rows it is, from 0. */
  token: number;
  /** Its id in the model's vocabulary; there for a query that was a text. */
  id?: number;
  /** Its text; there if it stands for any, and the text is known: that of the query, and of the item if it was given. */
  text?: string;
  /** Where that starts, in UTF-16 code units as everywhere in JavaScript. */
  start?: number;
  /** Where that ends. */
  end?: number;
}

/** A token of a query, and the token of an item that it matched. */
export interface TokenMatch {
  /** Of the query. */
  query: MatchedToken;
  /** Of the item. */
  document: MatchedToken;
  /** Their dot product; in order these add up to the score, in float32 to the bit. */
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

/** @internal `query` and `text` are those that the places are in. */
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
