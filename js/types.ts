/**
 * The form of vectors, with the names that sentence-transformers uses.
 *
 * - `"int8"`: `round(127 * tanh(x))`, -127 to 127. Compare with cosine.
 * - `"float32"`: the pooled vector `x` itself. Compare with cosine.
 * - `"binary"`: +1 where `x >= 0`, else -1. Compare with the Hamming distance.
 * - `"ubinary"`: the same as bits, eight a byte, the first dimension in the highest bit.
 */
export type Dtype = "int8" | "float32" | "binary" | "ubinary";

/** The typed array that holds vectors of a form. */
export type DataOf<D extends Dtype> = {
  int8: Int8Array;
  float32: Float32Array;
  binary: Int8Array;
  ubinary: Uint8Array;
}[D];

/**
 * The form of token vectors.
 *
 * - `"float32"`: the vectors themselves, of unit length for every pplx-embed model.
 * - `"float16"`: rounded; the bits of float16 in a Uint16Array.
 * - `"int8"`: codes with a scale for each vector, which is `max |x| / 127`.
 * - `"binary"`: the bits `x >= 0`, eight a byte, the first dimension in the highest bit.
 */
export type TokenDtype = "float32" | "float16" | "int8" | "binary";

/** The typed array that holds token vectors of a form. */
export type TokenDataOf<D extends TokenDtype> = {
  float32: Float32Array;
  float16: Uint16Array;
  int8: Int8Array;
  binary: Uint8Array;
}[D];

/** Where a long call stands. Byte and token counts never go down within a file, or within a call of `embed`. */
export type Progress =
  /** A weight file is being read: `loaded` of its `total` bytes, where the server tells the total. */
  | { stage: "download"; file: string; loaded: number; total?: number | undefined }
  /** Shaders are being compiled and checked on the adapter. */
  | { stage: "compile" }
  /** Texts go through the model: the vectors of `texts` are ready, `tokens` of `total` tokens are done. */
  | { stage: "embed"; texts: number; tokens: number; total: number };

/** Called now and then while a long call runs. What it throws is reported to the console and stops nothing. */
export type OnProgress = (progress: Progress) => void;

/** How a model is to be loaded. Every option may be left out. */
export interface LoadOptions {
  /** Where to run. `"auto"`, the default, and `"webgpu"` both mean WebGPU; `"cpu"` is not in this version. */
  device?: "auto" | "webgpu" | "cpu" | undefined;
  /**
   * How linear weights are held on the GPU. `"auto"`, the default, keeps what the checkpoint stores; `"f32"` is exact
   * for all of them; `"f16"` rounds. `"q8"` and `"q4"` are not in this version.
   */
  weights?: "auto" | "f32" | "f16" | "q8" | "q4" | undefined;
  /** A branch, tag or commit of the model's repository. Default: `"main"`. */
  revision?: string | undefined;
  /**
   * The server that has the model's files at `{endpoint}/{id}/resolve/{revision}/{file}`; relative to the page.
   * Default: `"https://huggingface.co"`.
   */
  endpoint?: string | URL | undefined;
  /** An access token, sent as `Authorization: Bearer`. Anyone who can read the page's scripts can read it. */
  token?: string | undefined;
  /**
   * Called instead of the global `fetch`. A function cannot be handed to a worker, so the model then runs in this
   * thread; together with `worker: true` it is an error.
   */
  fetch?: ((url: string, init: RequestInit) => Promise<Response>) | undefined;
  /** Not in this version; the browser's HTTP cache is used as the server's headers say. */
  cache?: false | undefined;
  /**
   * Whether the model runs in a worker of its own, which keeps the page smooth and gives all memory back when the
   * model is disposed of. Default: true. In this thread (false) the memory that WebAssembly took for the embedding
   * table stays with the page, to be used by the next model.
   */
  worker?: boolean | undefined;
  /** Where the wasm module is, if a bundler cannot find it beside the script; relative to the page. */
  wasmUrl?: string | URL | undefined;
  /** Hears of the download. */
  onProgress?: OnProgress | undefined;
  /** Cancels the call: the worker ends, and everything it held is freed. */
  signal?: AbortSignal | undefined;
}

/** How texts are to be embedded. Every option may be left out. */
export interface EmbedOptions<D extends Dtype = Dtype> {
  /** The form. Default: the model's own, `model.info.defaultDtype`; `"int8"` for every pplx-embed model. */
  dtype?: D | undefined;
  /** How many of the leading dimensions to keep (Matryoshka), 1 to `model.info.dimensions`. Default: all. */
  dimensions?: number | undefined;
  /** Scale `"float32"` vectors to unit length. Default: the model's own; false for every pplx-embed model. */
  normalize?: boolean | undefined;
  /** Cancels the call. The model stays usable. */
  signal?: AbortSignal | undefined;
  /** Hears how far the call is. */
  onProgress?: OnProgress | undefined;
}

/** What is known of a loaded model. */
export interface ModelInfo {
  /** As given to `load`. */
  id: string;
  /** As given to `load`, or `"main"`. */
  revision: string;
  /**
   * What it makes of its input: `"embed"` one vector a text, `"context"` one for each chunk of a document, `"late"` one
   * for each token of a query or document.
   */
  kind: "embed" | "context" | "late";
  /** What stands between the chunks of a document; there for `"context"`. */
  separator?: { token: string; id: number } | undefined;
  /** The settings of late interaction; there for `"late"`. */
  late?: LateInfo | undefined;
  /** Dimensions of a full vector. */
  dimensions: number;
  /** Most tokens of a text. Longer ones are cut, and `usage.truncated` says which. */
  maxTokens: number;
  /** Transformer layers. */
  layers: number;
  /** How token vectors become one. */
  pooling: "mean" | "last";
  /** The form that `embed` gives by default. */
  defaultDtype: Dtype;
  /** Whether `embed` scales `"float32"` vectors to unit length by default. */
  defaultNormalize: boolean;
  /** Where it runs. */
  device: "webgpu";
  /** The GPU: what the browser calls it, and whether it is a software renderer (right, but slow). */
  adapter: { name: string; backend: string; software: boolean };
  /** How linear weights are held. */
  weights: "f32" | "f16" | "bf16";
  /** The shader modules in use. Each gave the right numbers on this adapter when the model was loaded. */
  kernels: string[];
  /** Bytes of the weights in main memory (the embedding table) and on the GPU. */
  bytes: { host: number; device: number };
}

/** How a late interaction model reads queries and documents. Lengths are in tokens, with those of the prompt. */
export interface LateInfo {
  /** Put before a query. */
  queryPrompt: string;
  /** Put before a document. */
  documentPrompt: string;
  /** Most tokens of a query. */
  queryLength: number;
  /** Most tokens of a document. */
  documentLength: number;
  /** Queries shorter than `length` are filled up with `token`; `attend` says whether their own tokens see it. */
  queryExpansion?: { token: number; length: number; attend: boolean } | undefined;
  /** Ids of the tokens whose vectors are left out of documents. */
  documentSkiplist: number[];
  /** Ids of the tokens whose vectors are left out of queries. */
  querySkiplist: number[];
}

/** What embedding cost. */
export interface Usage {
  /** Tokens that went through the model. */
  tokens: number;
  /** Indices of the texts that were longer than the model's limit and lost their end. */
  truncated: number[];
}
