// The calls that reach an engine. The engine in this thread, the worker and the proxy of the worker are all typed from
// `CallMap`: a new call is one row of it, and its implementation in local.ts.

import type { Dtype, IndexInfo, LoadOptions, ModelInfo, OnProgress, Progress, TokenDtype } from "../types.js";
import type { BundledFiles } from "./bundled.js";

/** Every call: what it takes, and what it answers. Both can be sent to a worker. */
export interface CallMap {
  load: [LoadRequest, ModelInfo];
  embed: [EmbedRequest, RawEmbeddings];
  embedContext: [ContextRequest, RawEmbeddings[]];
  encode: [EncodeRequest, RawTokenEmbeddings];
  splitText: [SplitRequest, RawChunks];
  maxsim: [MaxsimRequest, Float32Array<ArrayBuffer>];
  explainMaxsim: [MaxsimRequest, RawExplanation];
  createIndex: [CreateIndexRequest, OpenedIndex];
  openIndex: [OpenIndexRequest, OpenedIndex];
  addItems: [AddItemsRequest, AddedItems];
  removeItems: [RemoveItemsRequest, IndexBytes];
  search: [SearchRequest, RawHits];
  explainHit: [ExplainHitRequest, RawMatches];
  saveIndex: [SaveIndexRequest, void];
  freeIndex: [IndexRequest, void];
}

export type CallName = keyof CallMap;
export type Request<K extends CallName> = CallMap[K][0];
export type Answer<K extends CallName> = CallMap[K][1];

/** What the caller hears while a call runs. */
export interface Hooks {
  signal: AbortSignal;
  onProgress: OnProgress | undefined;
  /** Takes the bytes of an index that is being saved, in order. The next bytes come when the promise resolves. */
  take?: ((bytes: Uint8Array<ArrayBuffer>) => Promise<void>) | undefined;
}

/** Runs calls, one at a time, in this thread or in a worker. It has at most one model and any number of indexes. */
export interface Engine {
  call<K extends CallName>(name: K, request: Request<K>, hooks: Hooks): Promise<Answer<K>>;
  /** Frees everything. Calls under way reject, or never settle. */
  close(): void;
}

/** An implementation of every call. */
export type Handlers = { [K in CallName]: (request: Request<K>, hooks: Hooks) => Promise<Answer<K>> };

/** To the worker. `call` numbers the call; `took` answers `bytes`, and says what went wrong if something did. */
export type ToWorker =
  | { type: "call"; call: number; name: CallName; request: Request<CallName> }
  | { type: "took"; call: number; failed: string | undefined }
  | { type: "abort"; call: number };

/**
 * From the worker. `ready` comes first, once; `done` or `failed` ends a call; `persist` asks for `ThreadHost.persist`, which
 * needs a page.
 */
export type FromWorker =
  | { type: "ready" }
  | { type: "persist" }
  | { type: "progress"; call: number; progress: Progress }
  | { type: "bytes"; call: number; bytes: Uint8Array<ArrayBuffer> }
  | { type: "done"; call: number; answer: Answer<CallName> }
  | { type: "failed"; call: number; code: string; message: string };

/** What loads a model. Like every request, it leaves the defaults to the wasm module: undefined means the default. */
export interface LoadRequest {
  /** What a server knows the model by. */
  id: string;
  /** What `info.id` says, if that is not `id`. */
  name: string | undefined;
  revision: string | undefined;
  endpoint: string | undefined;
  token: string | undefined;
  device: LoadOptions["device"];
  threads: number | undefined;
  weights: string | undefined;
  precision: string | undefined;
  wasmUrl: string | undefined;
  /** The name of the cache; undefined for none. */
  cache: string | undefined;
  /** The files of a model that comes with the package. They are read instead of a server's. */
  bundled: BundledFiles | undefined;
  /** The address of the model's folder, without a slash at its end. Its files are read instead of a server's. */
  folder: string | undefined;
}

/** How vectors are made. */
export interface VectorOptions {
  dtype: Dtype | undefined;
  dimensions: number | undefined;
  normalize: boolean | undefined;
}

export interface EmbedRequest extends VectorOptions {
  texts: readonly string[];
  prompt: string | undefined;
  promptName: string | undefined;
  role: "query" | "document" | undefined;
}

export interface ContextRequest extends VectorOptions {
  /** The chunks of each document. */
  documents: readonly (readonly string[])[];
  longDocuments: string | undefined;
}

/** `data` has shape `[rows, columns]`. */
export interface RawEmbeddings {
  data: Int8Array<ArrayBuffer> | Float32Array<ArrayBuffer> | Uint8Array<ArrayBuffer>;
  dtype: Dtype;
  rows: number;
  columns: number;
  dimensions: number;
  tokens: number;
  truncated: Uint32Array<ArrayBuffer>;
}

export interface EncodeRequest {
  role: "query" | "document";
  texts: readonly string[];
  dtype: TokenDtype | undefined;
  markerPosition: number | undefined;
  poolFactor: number | undefined;
}

/** N vectors; `ranges` has a start and an end for each, in UTF-16 code units of its text. */
export interface RawTokenEmbeddings {
  data: Float32Array<ArrayBuffer> | Uint16Array<ArrayBuffer> | Int8Array<ArrayBuffer> | Uint8Array<ArrayBuffer>;
  dtype: TokenDtype;
  dim: number;
  offsets: Uint32Array<ArrayBuffer>;
  scales: Float32Array<ArrayBuffer> | undefined;
  ids: Uint32Array<ArrayBuffer>;
  ranges: Uint32Array<ArrayBuffer>;
  tokens: number;
  truncated: Uint32Array<ArrayBuffer>;
}

export interface SplitRequest {
  text: string;
  maxTokens: number | undefined;
  overlap: number | undefined;
}

/** One entry a chunk; starts and ends in UTF-16 code units. */
export interface RawChunks {
  starts: Uint32Array<ArrayBuffer>;
  ends: Uint32Array<ArrayBuffer>;
  tokens: Uint32Array<ArrayBuffer>;
}

/** The vectors of several items, end to end: those of item i are `offsets[i]` to `offsets[i + 1]`. */
export interface RawVectors {
  data: Float32Array | Uint16Array | Int8Array | Uint8Array;
  dtype: TokenDtype;
  offsets: Uint32Array;
  dim: number;
  scales: Float32Array | undefined;
}

export interface MaxsimRequest {
  queries: RawVectors;
  documents: RawVectors;
  /** Two numbers a pair; to explain, the one pair. */
  pairs: Uint32Array | undefined;
  normalize: boolean | undefined;
  wasmUrl: string | undefined;
}

/** One entry a query token: the document token that it matched, and their similarity. */
export interface RawExplanation {
  tokens: Uint32Array<ArrayBuffer>;
  similarities: Float32Array<ArrayBuffer>;
}

/** A call of one index. Whoever creates or opens an index chooses its number. */
export interface IndexRequest {
  index: number;
}

export interface CreateIndexRequest extends IndexRequest {
  kind: string | undefined;
  dtype: string | undefined;
  dimensions: number | undefined;
  device: LoadOptions["device"];
  memory: number | undefined;
  firstPass: boolean | undefined;
  wasmUrl: string | undefined;
}

export interface OpenIndexRequest extends IndexRequest {
  /** The name it was saved under, its file, or the address of that. */
  source: string | Blob | FileAddress;
  device: LoadOptions["device"];
  memory: number | undefined;
  recover: boolean | undefined;
  wasmUrl: string | undefined;
}

/** An index as it was created or opened. */
export interface OpenedIndex {
  info: IndexInfo;
  /** The ids of its items, in their order. */
  ids: string[];
  /** The data of each item as JSON. */
  data: (string | undefined)[];
}

/** What an index takes, in bytes. */
export type IndexBytes = IndexInfo["bytes"];

export interface AddItemsRequest extends IndexRequest {
  ids: string[];
  /** The data of each item as JSON. */
  data: (string | undefined)[];
  /** A text or a list of chunks for each item, or else `vectors`. */
  texts: (string | readonly string[])[] | undefined;
  vectors: RawVectors | undefined;
  /** Whether items replace those of the same id. */
  upsert: boolean;
}

export interface AddedItems {
  tokens: number;
  truncated: Uint32Array<ArrayBuffer>;
  bytes: IndexBytes;
}

export interface RemoveItemsRequest extends IndexRequest {
  ids: string[];
}

/** What to search for: texts, or else vectors. */
export interface RawQueries {
  texts: readonly string[] | undefined;
  vectors: RawVectors | undefined;
}

export interface SearchRequest extends IndexRequest, RawQueries {
  k: number | undefined;
  rescore: number | undefined;
  candidates: number | undefined;
  /** One bit a position, lowest bit first: 1 where the item may be a hit. */
  mask: Uint8Array | undefined;
}

/** The hits of query q are `offsets[q]` to `offsets[q + 1]`. */
export interface RawHits {
  offsets: Uint32Array<ArrayBuffer>;
  positions: Uint32Array<ArrayBuffer>;
  scores: Float32Array<ArrayBuffer>;
  chunks: Uint32Array<ArrayBuffer>;
}

export interface ExplainHitRequest extends IndexRequest, RawQueries {
  id: string;
  /** The item's text; without it, `ranges` is undefined. */
  text: string | undefined;
}

/** One match a row of the query. Ranges are starts and ends in UTF-16 code units; both are 0 where there is no text. */
export interface RawMatches {
  /** Rows of the item. */
  tokens: Uint32Array<ArrayBuffer>;
  similarities: Float32Array<ArrayBuffer>;
  /** Where those are in the item's text. */
  ranges: Uint32Array<ArrayBuffer> | undefined;
  /** For a query that was a text: the ids of its tokens, and where they are. */
  queryIds: Uint32Array<ArrayBuffer> | undefined;
  queryRanges: Uint32Array<ArrayBuffer> | undefined;
}

export interface SaveIndexRequest extends IndexRequest {
  /** The name to save under, or the file to write; undefined to hand the bytes to `Hooks.take`. */
  target: string | FileAddress | undefined;
}

/** A file of this machine, at an address that `Host.address` gave. */
export interface FileAddress {
  address: string;
}
