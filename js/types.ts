// Types of the API that more than one file needs.

/**
 * The form of vectors. The names are those of sentence-transformers.
 *
 * - `"int8"`: `round(127 * tanh(x))`, -127 to 127. Compare with cosine.
 * - `"float32"`: the pooled vector `x`. Compare with cosine.
 * - `"binary"`: +1 where `x >= 0`, else -1. Compare with the Hamming distance.
 * - `"ubinary"`: the same as bits, eight to a byte, the first dimension in the highest bit. Compare with the Hamming
 *   distance.
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
 * - `"float32"`: the vectors `x`, of unit length for every pplx-embed model.
 * - `"float16"`: rounded to float16, whose bits are in a Uint16Array.
 * - `"int8"`: codes, and a scale for each vector, `max |x| / 127`.
 * - `"binary"`: the bits `x >= 0`, eight to a byte, the first dimension in the highest bit.
 */
export type TokenDtype = "float32" | "float16" | "int8" | "binary";

/** The typed array that holds token vectors of a form. */
export type TokenDataOf<D extends TokenDtype> = {
  float32: Float32Array;
  float16: Uint16Array;
  int8: Int8Array;
  binary: Uint8Array;
}[D];

/**
 * How far a long call is. The bytes of a file never go down, and neither do the tokens of a call of `embed`.
 */
export type Progress =
  /**
   * A weight file is being read and copied to the GPU: `loaded` of its `total` bytes, `allLoaded` of the `allTotal`
   * bytes of all weight files. `cached` is true if it comes from the cache on this device. `bytesPerSecond` and
   * `secondsLeft` are measured over the last few seconds, and undefined at first.
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
  /** Something the user may want to know that does not stop the call: that the model is not cached, for example. */
  | { stage: "notice"; message: string }
  /** Shaders are being compiled and checked on the adapter. */
  | { stage: "compile" }
  /** Texts are being embedded: `texts` of them are done, and `tokens` of all `total` tokens. */
  | { stage: "embed"; texts: number; tokens: number; total: number }
  /** Items are being added to an index, saved or opened: `done` of `total` items. */
  | { stage: "index"; done: number; total: number }
  /** Token vectors are being compared: `done` of `total` similarities. */
  | { stage: "score"; done: number; total: number };

/** Called from time to time during a long call. An error it throws is reported to the console and stops nothing. */
export type OnProgress = (progress: Progress) => void;

/** Options of {@link load}. Every option may be left out. */
export interface LoadOptions {
  /**
   * What to run on. `"auto"`, the default, is WebGPU, or the processor where there is no GPU, one that is emulated in
   * software, or one that is slower than the processor; `info.why` says which it was. `"webgpu"` and `"cpu"` ask for one of
   * them. Outside of pages `"auto"` is the processor, and in Node.js and Bun `"webgpu"` needs the package `webgpu`
   * installed.
   */
  device?: "auto" | "webgpu" | "cpu" | undefined;
  /**
   * How many threads the processor uses, 1 to 256. Those beyond the first are workers without shared memory, so they need
   * no cross-origin isolation. Workers of a small model (fewer than 512 hidden dimensions) each embed some of the texts; the
   * default is one thread a core, at most 8. Those of a large one each hold a share of the weights; the default is half of
   * the cores, but two where there are two. Vectors have the same bits with any number.
   */
  threads?: number | undefined;
  /**
   * How weights are held in memory. `"auto"`, the default, keeps the form of the checkpoint if it fits into memory
   * (half of `navigator.deviceMemory`, and what the device really provides), and otherwise the largest form that fits;
   * `info.weights` says which. `"f32"` is exact for every checkpoint. `"f16"` rounds. `"q8"` and `"q4"` quantize to 8 or
   * 4 bits while the file is read, with a scale and a bias for each group of 64 weights. Weights that the checkpoint
   * stores in a smaller form stay in that form.
   */
  weights?: "auto" | "f32" | "f16" | "q8" | "q4" | undefined;
  /**
   * How exactly activations are taken where weights are 8- or 4-bit codes. `"exact"`, the default, keeps them in float32 on a
   * GPU and rounds them to 16 bits on the processor, which vectors hardly show. `"fast"` rounds them to 8 bits, which changes
   * vectors by about 1e-4 of cosine distance. It is refused with `weights: "f32"` and `"f16"`. Where there are no
   * instructions for it, where a GPU is not faster with them, and where weights turn out not to be codes, everything is as with
   * `"exact"`; `info.precision` says what runs.
   */
  precision?: "exact" | "fast" | undefined;
  /**
   * A branch, tag or commit of the model's repository. Default: `"main"`. Not allowed for a model of the package or in a
   * folder.
   */
  revision?: string | undefined;
  /**
   * The address of the server, which has the files at `{endpoint}/{id}/resolve/{revision}/{file}`. In a page it may be
   * relative to the page. Default: `"https://huggingface.co"`.
   */
  endpoint?: string | URL | undefined;
  /**
   * An access token, sent to the endpoint as `Authorization: Bearer`. Anyone who can read the page's scripts can read
   * it. Not allowed for a model of the package or in a folder.
   */
  token?: string | undefined;
  /**
   * Called instead of the global `fetch`. A function cannot be sent to a worker, so the model then runs in this thread.
   * Not allowed together with `worker: true`.
   */
  fetch?: ((url: string, init: RequestInit) => Promise<Response>) | undefined;
  /**
   * Whether to keep the model's files on this device. The next load then needs no download, nor a network, and a
   * download that was interrupted continues where it stopped. Files are checked against the digests of the Hub. If there
   * is no room, they are not kept, and `onProgress` gets a notice. Default: true. `{ name }` uses a cache of that name.
   * A model of the package or in a folder is never kept here. {@link cache} lists and removes what is kept. In Node.js,
   * Deno and Bun the files are in the folder `js` of `$PPLX_EMBED_CACHE`, which by default is `pplx-embed` in the
   * platform's folder for caches.
   */
  cache?: boolean | { name?: string | undefined } | undefined;
  /**
   * Whether the model runs in a worker, which keeps the page or the server responsive and returns all memory when the model is
   * disposed of. Default: true, unless there is a `fetch`. Where the browser makes no worker because this package's
   * scripts are on another origin (a CDN), the default is to run in this thread, and `onProgress` gets a notice. In this
   * thread, the memory that WebAssembly took for the embedding table is kept for the next model.
   */
  worker?: boolean | undefined;
  /** The address of the wasm module, if it is not beside the script. In a page it may be relative to the page. */
  wasmUrl?: string | URL | undefined;
  /** Called from time to time with how far the call is. */
  onProgress?: OnProgress | undefined;
  /** Cancels the call, and frees everything that was loaded. */
  signal?: AbortSignal | undefined;
}

/** Options of {@link Model.embed}. Every option may be left out. */
export interface EmbedOptions<D extends Dtype = Dtype> {
  /** The form of the vectors. Default: `model.info.defaultDtype`, which is `"int8"` for every pplx-embed model. */
  dtype?: D | undefined;
  /**
   * How many of the first dimensions to keep (Matryoshka), 1 to `model.info.dimensions`. Default:
   * `model.info.defaultDimensions`, which is all for every pplx-embed model.
   */
  dimensions?: number | undefined;
  /**
   * Whether to scale `"float32"` vectors to unit length. Default: `model.info.defaultNormalize`, which is false for every
   * pplx-embed model.
   */
  normalize?: boolean | undefined;
  /**
   * Put before each text, in the place of the prompt that the model's repository uses by default
   * (`model.info.defaultPromptName`); `""` puts nothing. The pplx-embed models have no prompts.
   */
  prompt?: string | undefined;
  /** The name of one of `model.info.prompts`, to be put before each text. Not together with `prompt`. */
  promptName?: string | undefined;
  /** Cancels the call. The model stays usable. */
  signal?: AbortSignal | undefined;
  /** Called from time to time with how far the call is. */
  onProgress?: OnProgress | undefined;
}

/** What a model's vectors stand for: a text, a chunk of a document, or a token of a query or document. */
export type ModelKind = "embed" | "context" | "late";

/** Facts about a loaded model. */
export interface ModelInfo {
  /** As given to `load`. */
  id: string;
  /** The commit; on a server without commits, the revision as given to `load`, or `"main"`. */
  revision: string;
  /**
   * What a vector stands for: `"embed"` a text, `"context"` a chunk of a document, `"late"` a token of a query or
   * document.
   */
  kind: ModelKind;
  /** The token between the chunks of a document. Only for `"context"`. */
  separator?: { token: string; id: number } | undefined;
  /** The settings of late interaction. Only for `"late"`. */
  late?: LateInfo | undefined;
  /** Dimensions of a full vector. */
  dimensions: number;
  /** How many tokens a text may have. Longer texts are cut, and `usage.truncated` names them. */
  maxTokens: number;
  /** How many transformer layers there are. */
  layers: number;
  /** How token vectors become one. */
  pooling: "mean" | "last" | "first" | "weighted-mean" | "mean-sqrt-length";
  /** The form of the vectors that `embed` returns by default. */
  defaultDtype: Dtype;
  /** Whether `embed` scales `"float32"` vectors to unit length by default. */
  defaultNormalize: boolean;
  /** How many dimensions `embed` keeps by default: all, unless the model's repository says otherwise. */
  defaultDimensions: number;
  /** Texts that can be put before texts, by name. `query` and `document` are always there, if only as `""`. */
  prompts: Record<string, string>;
  /** The name of the prompt that `embed` puts before texts by default. */
  defaultPromptName?: string | undefined;
  /** Where it runs. */
  device: "webgpu" | "cpu";
  /** Why it runs there. */
  why: string;
  /** Threads of the processor that work, with those that are being started; 0 with WebGPU. */
  threads: number;
  /** The GPU: what the browser calls it, and whether it is a software renderer, which is correct but slow. */
  adapter: { name: string; backend: string; software: boolean };
  /** How weights are held; where matrices differ, the form that takes the most bytes in total. */
  weights: "f32" | "f16" | "bf16" | "q8" | "q4";
  /** Why weights are not held in the form of the checkpoint, if `weights: "auto"` chose another. */
  weightsNote?: string | undefined;
  /** How exactly activations are taken where weights are codes: what runs, whatever was asked for. */
  precision: "exact" | "fast";
  /**
   * The kernels in use, `<operation>.<family>.<format>`. Each shader was checked on this GPU when the model was loaded;
   * the family of the processor's is its kind of vector instructions.
   */
  kernels: string[];
  /**
   * Bytes of the weights in main memory (`host`: the embedding table) and on the GPU (`device`), and of the WebAssembly
   * memory that holds that table (`wasm`), which never shrinks.
   */
  bytes: { host: number; device: number; wasm: number };
}

/** How a late interaction model reads queries and documents. Lengths are in tokens, including those of the prompt. */
export interface LateInfo {
  /** The text before a query. */
  queryPrompt: string;
  /** The text before a document. */
  documentPrompt: string;
  /** How many tokens a query may have. */
  queryLength: number;
  /** How many tokens a document may have. */
  documentLength: number;
  /** Queries shorter than `length` are padded with `token`; `attend` says whether the query's own tokens attend to it. */
  queryExpansion?: { token: number; length: number; attend: boolean } | undefined;
  /** Ids of the tokens that get no vector in a document. */
  documentSkiplist: number[];
  /** Ids of the tokens that get no vector in a query. */
  querySkiplist: number[];
}

/** What embedding cost. */
export interface Usage {
  /** How many tokens went through the model, those of prompts included. */
  tokens: number;
  /** Indices of the texts that were longer than the model's limit and were cut. */
  truncated: number[];
}

/** Facts about a search index. */
export interface IndexInfo {
  /** What a row is: `"dense"`, the vector of a text or chunk, scored by cosine; `"late"`, that of a token, by MaxSim. */
  readonly kind: "dense" | "late";
  /** The form of the rows. */
  readonly dtype: "int8" | "binary" | "float32" | "float16";
  /** D, the dimensions of a vector. */
  readonly dimensions: number;
  /** The id of the model that makes its vectors; undefined if it was created without one. */
  readonly model: string | undefined;
  /** Whether a search first chooses candidates by the signs of the rows. */
  readonly firstPass: boolean;
  /** Where it is searched. */
  readonly device: "webgpu" | "cpu";
  /** Bytes of rows, ids and data in main memory (`host`) and on the GPU (`device`). */
  readonly bytes: { readonly host: number; readonly device: number };
}
