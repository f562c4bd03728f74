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
  /**
   * A weight file is being read and put on the GPU: `loaded` of its `total` bytes, `allLoaded` of the `allTotal` bytes
   * of all weight files. `cached` says whether it comes from this machine's cache; the rate and the time left are
   * measured over the last few seconds, and missing at first.
   */
  | {
      stage: "download";
      file: string;
      loaded: number;
      total?: number | undefined;
      allLoaded: number;
      allTotal: number;
      cached: boolean;
      bytesPerSecond?: number | undefined;
      secondsLeft?: number | undefined;
    }
  /** Something the user may want to know, and no reason to stop: that the model is not cached, for example. */
  | { stage: "notice"; message: string }
  /** Shaders are being compiled and checked on the adapter. */
  | { stage: "compile" }
  /** Texts go through the model: the vectors of `texts` are ready, `tokens` of `total` tokens are done. */
  | { stage: "embed"; texts: number; tokens: number; total: number }
  /** Items are put into an index, or written or read with it: `done` of `total`. */
  | { stage: "index"; done: number; total: number }
  /** Token vectors are held against each other: `done` of `total` similarities. */
  | { stage: "score"; done: number; total: number };

/** Called now and then while a long call runs. What it throws is reported to the console and stops nothing. */
export type OnProgress = (progress: Progress) => void;

/** How a model is to be loaded. Every option may be left out. */
export interface LoadOptions {
  /** Where to run. `"auto"`, the default, and `"webgpu"` both mean WebGPU; `"cpu"` is not in this version. */
  device?: "auto" | "webgpu" | "cpu" | undefined;
  /**
   * How weights are held. `"auto"`, the default, keeps what the checkpoint stores if there is memory for it (half of
   * `navigator.deviceMemory`, and what the device then really gives), else the largest of the others that fits;
   * `info.weights` says which. `"f32"` is exact for every checkpoint, `"f16"` rounds, `"q8"` and `"q4"` quantise while
   * the file streams in: groups of 64 weights with a scale and a bias. What a checkpoint stores smaller stays as it is.
   */
  weights?: "auto" | "f32" | "f16" | "q8" | "q4" | undefined;
  /** A branch, tag or commit of the model's repository. Default: `"main"`. Refused for a model of the package. */
  revision?: string | undefined;
  /**
   * The server that has the model's files at `{endpoint}/{id}/resolve/{revision}/{file}`; relative to the page.
   * Default: `"https://huggingface.co"`.
   */
  endpoint?: string | URL | undefined;
  /**
   * An access token, sent as `Authorization: Bearer`. Anyone who can read the page's scripts can read it. Refused for a
   * model of the package.
   */
  token?: string | undefined;
  /**
   * Called instead of the global `fetch`. A function cannot be handed to a worker, so the model then runs in this
   * thread; together with `worker: true` it is an error.
   */
  fetch?: ((url: string, init: RequestInit) => Promise<Response>) | undefined;
  /**
   * Whether the model's files are kept on this device, to load without a download the next time, without a network if
   * need be, and to go on where a download broke off. Default: true; `{ name }` keeps them apart from those of other
   * names. Files are checked against the digests that the Hub has of them. Without room they are not kept, and
   * `onProgress` hears a notice. A model of the package is never kept here: its files are the page's own. See
   * {@link cache} for what is kept and how to remove it.
   */
  cache?: boolean | { name?: string | undefined } | undefined;
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
  /** How weights are held; where matrices differ, the way that takes most bytes. */
  weights: "f32" | "f16" | "bf16" | "q8" | "q4";
  /** Why they are not held as they are stored, where `weights: "auto"` had to choose. */
  weightsNote?: string | undefined;
  /** The shader modules in use. Each gave the right numbers on this adapter when the model was loaded. */
  kernels: string[];
  /**
   * Bytes of the weights in main memory (the embedding table) and on the GPU; and of the WebAssembly memory in which
   * that table is, which never shrinks: the most it has ever been.
   */
  bytes: { host: number; device: number; wasm: number };
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
