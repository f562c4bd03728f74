// What is asked of an index, wherever it runs; only what can be handed to a worker. An index is named by a number that
// whoever asks for it has chosen.

import type { RawTokens } from "../protocol.js";

/** For each thing that can be asked: what it takes, and what it gives. */
export interface IndexCalls {
  create: [CreateRequest, Opened];
  open: [OpenRequest, Opened];
  add: [AddRequest, Added];
  remove: [RemoveRequest, Removed];
  search: [SearchRequest, RawHits];
  explain: [ExplainRequest, RawMatches];
  save: [SaveRequest, Nothing];
  free: [FreeRequest, Nothing];
}

export type IndexOp = keyof IndexCalls;
type Nothing = Record<never, never>;

export interface CreateRequest {
  index: number;
  kind: string;
  dtype: string;
  dimensions: number;
  memory: number | undefined;
  firstPass: boolean | undefined;
  wasmUrl: string | undefined;
}

export interface OpenRequest {
  index: number;
  /** The name it was saved under, or the file. */
  source: string | Blob;
  memory: number | undefined;
  recover: boolean | undefined;
  wasmUrl: string | undefined;
}

/** An index as it is before anything is asked of it. */
export interface Opened {
  info: RawIndexInfo;
  /** Ids and data (JSON) of the items, in their order. */
  ids: string[];
  data: (string | undefined)[];
}

export interface RawIndexInfo {
  kind: "dense" | "late";
  dtype: "int8" | "binary" | "float32" | "float16";
  dimensions: number;
  model: string | undefined;
  firstPass: boolean;
  device: "webgpu" | "cpu";
  bytes: IndexBytes;
}

/** Bytes in main memory and on the GPU. */
export interface IndexBytes {
  host: number;
  device: number;
}

export interface AddRequest {
  index: number;
  ids: string[];
  /** JSON. */
  data: (string | undefined)[];
  /** What they are made of: texts and lists of chunks, or vectors. */
  texts: (string | readonly string[])[] | undefined;
  vectors: RawTokens | undefined;
  upsert: boolean;
}

export interface Added {
  tokens: number;
  truncated: Uint32Array<ArrayBuffer>;
  bytes: IndexBytes;
}

export interface RemoveRequest {
  index: number;
  ids: string[];
}

export interface Removed {
  bytes: IndexBytes;
}

/** What is looked for: texts, or vectors. */
export interface RawQueries {
  texts: readonly string[] | undefined;
  vectors: RawTokens | undefined;
}

export interface SearchRequest extends RawQueries {
  index: number;
  k: number | undefined;
  rescore: number | undefined;
  candidates: number | undefined;
  /** A bit for each position, the first in the lowest bit: 1 where the item may be a hit. */
  mask: Uint8Array | undefined;
}

/** The hits of query q are `offsets[q]` to `offsets[q + 1]`. */
export interface RawHits {
  offsets: Uint32Array<ArrayBuffer>;
  positions: Uint32Array<ArrayBuffer>;
  scores: Float32Array<ArrayBuffer>;
  chunks: Uint32Array<ArrayBuffer>;
}

export interface ExplainRequest extends RawQueries {
  index: number;
  id: string;
  /** The item's text, if its places are asked for. */
  text: string | undefined;
}

/** A match each row of the query; places are starts and ends in UTF-16 code units, both 0 for none. */
export interface RawMatches {
  /** Rows of the item. */
  tokens: Uint32Array<ArrayBuffer>;
  similarities: Float32Array<ArrayBuffer>;
  /** Places of those in the item's text. */
  ranges: Uint32Array<ArrayBuffer> | undefined;
  /** Of a query that was a text: its tokens' ids and places. */
  queryIds: Uint32Array<ArrayBuffer> | undefined;
  queryRanges: Uint32Array<ArrayBuffer> | undefined;
}

export interface SaveRequest {
  index: number;
  /** Left out, the bytes go to the page. */
  name: string | undefined;
}

export interface FreeRequest {
  index: number;
}
