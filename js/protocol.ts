// What the page and the worker say to each other, and what both sides of it look like to the model.

import type { BundledFiles } from "./bundled.js";
import type { IndexCalls, IndexOp } from "./search/protocol.js";
import type { Dtype, ModelInfo, OnProgress, Progress, TokenDtype } from "./types.js";

/** What the wasm module needs to load a model; only what can be handed to a worker. */
export interface LoadRequest {
  id: string;
  revision: string | undefined;
  endpoint: string | undefined;
  token: string | undefined;
  weights: string | undefined;
  wasmUrl: string | undefined;
  /** The name of the cache; undefined for none. */
  cache: string | undefined;
  /** The files of a model that comes with the package, which are read instead of a server's. */
  bundled: BundledFiles | undefined;
}

/** What it needs to embed texts. */
export interface EmbedRequest {
  dtype: Dtype | undefined;
  dimensions: number | undefined;
  normalize: boolean | undefined;
}

/** What it gives: `data` has `[rows, columns]` numbers. */
export interface RawEmbeddings {
  data: Int8Array<ArrayBuffer> | Float32Array<ArrayBuffer> | Uint8Array<ArrayBuffer>;
  dtype: Dtype;
  rows: number;
  columns: number;
  dimensions: number;
  tokens: number;
  truncated: Uint32Array<ArrayBuffer>;
}

/** Token vectors of some items, in what the wasm module takes. */
export interface RawTokens {
  data: Float32Array | Uint16Array | Int8Array | Uint8Array;
  dtype: "float32" | "float16" | "int8" | "binary";
  offsets: Uint32Array;
  dim: number;
  scales: Float32Array | undefined;
}

/** What it needs to score them; with `explain`, the one pair in `pairs`. */
export interface ScoreRequest {
  queries: RawTokens;
  documents: RawTokens;
  pairs: Uint32Array | undefined;
  normalize: boolean | undefined;
  explain: boolean;
  wasmUrl: string | undefined;
}

/** What it gives: scores, or the matches of one pair. */
export type RawScores =
  | Float32Array<ArrayBuffer>
  | { tokens: Uint32Array<ArrayBuffer>; similarities: Float32Array<ArrayBuffer> };
/** What it needs to embed documents of chunks. */
export interface ContextRequest extends EmbedRequest {
  longDocuments: string | undefined;
}

/** What it needs to encode texts for late interaction. */
export interface EncodeRequest {
  role: "query" | "document";
  dtype: TokenDtype | undefined;
  markerPosition: number | undefined;
  poolFactor: number | undefined;
}

/** What it gives: N vectors, `ranges` with a start and an end for each. */
export interface RawTokenEmbeddings {
  data:
    | Float32Array<ArrayBuffer>
    | Uint16Array<ArrayBuffer>
    | Int8Array<ArrayBuffer>
    | Uint8Array<ArrayBuffer>;
  dtype: TokenDtype;
  dim: number;
  offsets: Uint32Array<ArrayBuffer>;
  scales: Float32Array<ArrayBuffer> | undefined;
  ids: Uint32Array<ArrayBuffer>;
  ranges: Uint32Array<ArrayBuffer>;
  tokens: number;
  truncated: Uint32Array<ArrayBuffer>;
}

/** What it needs to split a text. */
export interface SplitRequest {
  maxTokens: number | undefined;
  overlap: number | undefined;
}

/** What it gives, a number each a chunk. */
export interface RawChunks {
  starts: Uint32Array<ArrayBuffer>;
  ends: Uint32Array<ArrayBuffer>;
  tokens: Uint32Array<ArrayBuffer>;
}

/** The caller's side of one call. */
export interface Hooks {
  signal: AbortSignal;
  onProgress: OnProgress | undefined;
  /** Takes what is being saved, in order; the next bytes come when it is done with these. */
  take?: ((bytes: Uint8Array<ArrayBuffer>) => Promise<void>) | undefined;
}

/** One model, in this thread or in a worker. It runs one call at a time. */
export interface Engine {
  load(request: LoadRequest, hooks: Hooks): Promise<ModelInfo>;
  embed(texts: readonly string[], request: EmbedRequest, hooks: Hooks): Promise<RawEmbeddings>;
  /** Scores token vectors; no model is needed. */
  score(request: ScoreRequest, hooks: Hooks): Promise<RawScores>;
  embedContext(
    documents: readonly (readonly string[])[],
    request: ContextRequest,
    hooks: Hooks,
  ): Promise<RawEmbeddings[]>;
  encode(texts: readonly string[], request: EncodeRequest, hooks: Hooks): Promise<RawTokenEmbeddings>;
  splitText(text: string, request: SplitRequest, hooks: Hooks): Promise<RawChunks>;
  /** Does something with a search index: one of the model's, if there is one. */
  index<K extends IndexOp>(op: K, request: IndexCalls[K][0], hooks: Hooks): Promise<IndexCalls[K][1]>;
  /** Frees everything. Calls that are under way reject, or never settle. */
  close(): void;
}

/** To the worker. `call` is a number that the answers repeat; `took` answers `bytes`, with what went wrong if it did. */
export type ToWorker =
  | { type: "load"; call: number; request: LoadRequest }
  | { type: "embed"; call: number; request: EmbedRequest; texts: readonly string[] }
  | { type: "score"; call: number; request: ScoreRequest }
  | { type: "embedContext"; call: number; request: ContextRequest; documents: readonly (readonly string[])[] }
  | { type: "encode"; call: number; request: EncodeRequest; texts: readonly string[] }
  | { type: "splitText"; call: number; request: SplitRequest; text: string }
  | { type: "index"; call: number; op: IndexOp; request: IndexCalls[IndexOp][0] }
  | { type: "took"; call: number; failed: string | undefined }
  | { type: "abort"; call: number };

/** What a call ends with. */
export type Result =
  | ModelInfo | RawEmbeddings | RawEmbeddings[] | RawTokenEmbeddings | RawChunks | RawScores | IndexCalls[IndexOp][1];

/** From the worker: `done` or `failed` ends a call; `persist` asks for what only a page can ask the browser for. */
export type FromWorker =
  | { type: "persist" }
  | { type: "progress"; call: number; progress: Progress }
  | { type: "bytes"; call: number; bytes: Uint8Array<ArrayBuffer> }
  | { type: "done"; call: number; result: Result }
  | { type: "failed"; call: number; code: string; message: string };
