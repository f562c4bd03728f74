/// <reference lib="esnext.disposable" preserve="true" />
import { Calls, disposable } from "./calls.js";
import * as check from "./check.js";
import {
  CONTEXT_OPTIONS, type ContextOptions, checkDocuments, chunksOf, contextRequest, SPLIT_OPTIONS, type SplitOptions,
  splitRequest, type TextChunk,
} from "./context.js";
import { Embeddings } from "./embeddings.js";
import { invalid } from "./errors.js";
import {
  DOCUMENT_OPTIONS, type EncodeDocumentOptions, type EncodeOptions, encodeRequest, QUERY_OPTIONS, TokenEmbeddings,
} from "./late.js";
import type { Engine } from "./protocol.js";
import type { Dtype, EmbedOptions, ModelInfo, TokenDtype } from "./types.js";

const OPTIONS = ["dtype", "dimensions", "normalize", "signal", "onProgress"] as const;

/**
 * A model that is ready, made by {@link load}. Its calls run one after another, in the order they were made.
 *
 * `await using model = await load(...)` disposes of it at the end of the block, where the runtime has
 * `Symbol.asyncDispose`.
 */
export class Model implements AsyncDisposable {
  /** What is known of it. */
  readonly info: ModelInfo;
  /** {@link Model.dispose}, for `await using`; undefined where the runtime has no `Symbol.asyncDispose`. */
  declare readonly [Symbol.asyncDispose]: () => Promise<void>;

  readonly #engine: Engine;
  readonly #calls: Calls;

  /** @internal */
  constructor(engine: Engine, info: ModelInfo) {
    this.#engine = engine;
    this.info = info;
    this.#calls = new Calls(this, "model", () => engine.close());
  }

  /**
   * Vectors of texts, one row each, in their order. A row has the same bits whatever other texts are in the call. The
   * empty text is a row of zeros.
   *
   * @param texts - One text, or many. Lone surrogates, which are no Unicode text, are refused.
   * @returns Embeddings of shape `[texts, dimensions]`; `[texts, ceil(dimensions / 8)]` for `"ubinary"`.
   * @throws {@link PplxEmbedError}: `"invalid-argument"`, `"aborted"`, `"disposed"`, `"adapter-too-small"` for a text
   * that is too long for this GPU, `"out-of-memory"`, `"device-lost"`.
   *
   * @example
   * ```ts
   * // With the demo model, which has 128 dimensions.
   * const e = await model.embed(["a red bicycle", "a blue car"]);
   * console.log(e.dtype, e.shape, e.usage); // int8 [ 2, 128 ] { tokens: 13, truncated: [] }
   * const bits = await model.embed("a red bicycle", { dtype: "ubinary", dimensions: 64 });
   * console.log(bits.shape, bits.data); // [ 1, 8 ] Uint8Array(8) [ 255, 255, 169, 241, 137, 242, 90, 224 ]
   * ```
   */
  async embed<D extends Dtype = "int8" | "float32">(
    texts: string | readonly string[],
    options?: EmbedOptions<D>,
  ): Promise<Embeddings<D>> {
    const list = check.texts(texts);
    const o = check.options(options, OPTIONS);
    const request = check.embedRequest(o);
    return this.#calls.run(o, async (hooks) => new Embeddings<D>(await this.#engine.embed(list, request, hooks)));
  }

  /**
   * Vectors of the chunks of documents, each made with its whole document in view (late chunking), for models of the kind
   * `"context"`. A document's vectors have the same bits whatever other documents are in the call. An empty chunk is a
   * row of zeros. A query is a document of one chunk, or a text for {@link Model.embed}.
   *
   * @param documents - Each an array of its chunks, as {@link Model.splitText} makes them from a text.
   * @returns For each document the Embeddings of its chunks.
   * @throws {@link PplxEmbedError}: as {@link Model.embed}; `"unsupported"` for a model of another kind,
   * `"invalid-argument"` for a document beyond the model's limit, unless `longDocuments` is `"window"`.
   *
   * @example
   * ```ts
   * const model = await load("perplexity-ai/pplx-embed-context-v1-0.6b");
   * const [report] = await model.embedContext([["Marie Curie was born in Warsaw.", "She moved to Paris."]]);
   * console.log(report.shape); // [ 2, 1024 ]
   * ```
   */
  async embedContext<D extends Dtype = "int8" | "float32">(
    documents: readonly (readonly string[])[],
    options?: ContextOptions<D>,
  ): Promise<Embeddings<D>[]> {
    const list = checkDocuments(documents);
    const o = check.options(options, CONTEXT_OPTIONS);
    const request = contextRequest(o);
    return this.#calls.run(o, async (hooks) =>
      (await this.#engine.embedContext(list, request, hooks)).map((raw) => new Embeddings<D>(raw)),
    );
  }

  /**
   * Token vectors of queries, for models of the kind `"late"`: of each the marker, its tokens, and what fills it up to
   * the length that `info.late` names. A query's vectors have the same bits whatever else is in the call.
   *
   * @param texts - One query, or many.
   * @throws {@link PplxEmbedError}: as {@link Model.embed}; `"unsupported"` for a model of another kind.
   */
  async encodeQuery<D extends TokenDtype = "float32">(
    texts: string | readonly string[],
    options?: EncodeOptions<D>,
  ): Promise<TokenEmbeddings<D>> {
    return this.#encode<D>("query", texts, check.options(options, QUERY_OPTIONS));
  }

  /**
   * Token vectors of documents, for models of the kind `"late"`: of each the marker and its tokens, but not those of
   * `info.late.documentSkiplist`. A document longer than `info.late.documentLength` loses its end, which `usage` tells.
   *
   * @param texts - One document, or many.
   * @throws {@link PplxEmbedError}: as {@link Model.encodeQuery}.
   */
  async encodeDocument<D extends TokenDtype = "float32">(
    texts: string | readonly string[],
    options?: EncodeDocumentOptions<D>,
  ): Promise<TokenEmbeddings<D>> {
    return this.#encode<D>("document", texts, check.options(options, DOCUMENT_OPTIONS));
  }

  /**
   * Splits a text into chunks of so many tokens, at the ends of paragraphs and sentences where that is possible, else of
   * words, else of graphemes. The chunks cover all of the text, in order; without an overlap they add up to it.
   *
   * @param text - Any text; it need not have spaces between words.
   * @throws {@link PplxEmbedError}: `"invalid-argument"`, `"aborted"`, `"disposed"`.
   *
   * @example
   * ```ts
   * const chunks = await model.splitText(report, { maxTokens: 200 });
   * const [vectors] = await model.embedContext([chunks.map((chunk) => chunk.text)]);
   * ```
   */
  async splitText(text: string, options?: SplitOptions): Promise<TextChunk[]> {
    if (typeof text !== "string") throw invalid("text", text, "a string");
    const o = check.options(options, SPLIT_OPTIONS);
    const request = splitRequest(o);
    return this.#calls.run(o, async (hooks) => chunksOf(text, await this.#engine.splitText(text, request, hooks)));
  }

  /**
   * Frees the GPU's memory and ends the worker. Calls that are under way reject with code `"disposed"`, and so do
   * later ones. It may be called more than once.
   */
  async dispose(): Promise<void> {
    this.#calls.end();
  }

  async #encode<D extends TokenDtype>(
    role: "query" | "document",
    texts: string | readonly string[],
    o: Partial<EncodeDocumentOptions<D>>,
  ): Promise<TokenEmbeddings<D>> {
    const list = check.texts(texts);
    const request = encodeRequest(role, o);
    return this.#calls.run(o, async (hooks) => new TokenEmbeddings<D>(await this.#engine.encode(list, request, hooks)));
  }

  /** @internal Where it runs and how its calls take turns, if `value` is a model. */
  static partsOf(value: unknown): { engine: Engine; calls: Calls } | undefined {
    if (typeof value !== "object" || value === null || !(#engine in value)) return undefined;
    return { engine: value.#engine, calls: value.#calls };
  }
}

disposable(Model);
