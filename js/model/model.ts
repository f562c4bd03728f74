/// <reference lib="esnext.disposable" preserve="true" />
import { CallQueue, disposable } from "../calls/queue.js";
import * as check from "../check.js";
import type { Engine } from "../engine/calls.js";
import { invalid } from "../errors.js";
import type { Dtype, EmbedOptions, ModelInfo, TokenDtype } from "../types.js";
import {
  CONTEXT_OPTIONS, type ContextOptions, checkDocuments, chunksOf, contextRequest, SPLIT_OPTIONS, type SplitOptions,
  splitRequest, type TextChunk,
} from "./context.js";
import { Embeddings, vectorOptions } from "./embeddings.js";
import {
  DOCUMENT_OPTIONS, type EncodeDocumentOptions, type EncodeOptions, encodeRequest, QUERY_OPTIONS, TokenEmbeddings,
} from "./late.js";

const OPTIONS = ["dtype", "dimensions", "normalize", "signal", "onProgress"] as const;

/**
 * A loaded model, made by {@link load}. Its calls run one after another, in the order they were made.
 *
 * `await using model = await load(...)` disposes of it at the end of the block, where the runtime has
 * `Symbol.asyncDispose`.
 */
export class Model implements AsyncDisposable {
  /** Facts about the model. */
  readonly info: ModelInfo;
  /** {@link Model.dispose}, for `await using`; undefined where the runtime has no `Symbol.asyncDispose`. */
  declare readonly [Symbol.asyncDispose]: () => Promise<void>;

  readonly #engine: Engine;
  readonly #calls: CallQueue;

  /** @internal */
  constructor(engine: Engine, info: ModelInfo) {
    this.#engine = engine;
    this.info = info;
    this.#calls = new CallQueue(this, "model", () => engine.close());
  }

  /**
   * Makes the vectors of texts. A vector has the same bits whatever other texts are in the call. The empty text gives a
   * row of zeros.
   *
   * @param texts - One text, or many. Lone surrogates are not allowed, because they are not Unicode text.
   * @returns One row a text, in their order, of shape `[texts, dimensions]`; `[texts, ceil(dimensions / 8)]` for
   * `"ubinary"`.
   * @throws {@link PplxEmbedError}: `"invalid-argument"`, `"aborted"`, `"disposed"`, `"adapter-too-small"` for a text
   * too long for this GPU, `"out-of-memory"`, `"device-lost"`.
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
    const request = { texts: list, ...vectorOptions(o) };
    return this.#calls.run(o, async (hooks) => new Embeddings<D>(await this.#engine.call("embed", request, hooks)));
  }

  /**
   * Makes the vectors of the chunks of documents. The model reads each document as a whole (late chunking). Only for
   * models of the kind `"context"`. The vectors of a document have the same bits whatever other documents are in the call.
   * An empty chunk gives a row of zeros. For a query, pass a document of one chunk, or call {@link Model.embed}.
   *
   * @param documents - The chunks of each document, as {@link Model.splitText} makes them from a text.
   * @returns For each document the vectors of its chunks, of shape `[chunks, dimensions]`.
   * @throws {@link PplxEmbedError}: as {@link Model.embed}; `"unsupported"` for a model of another kind;
   * `"invalid-argument"` for a document longer than the model's limit, unless `longDocuments` is `"window"`.
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
    const request = contextRequest(list, o);
    return this.#calls.run(o, async (hooks) =>
      (await this.#engine.call("embedContext", request, hooks)).map((raw) => new Embeddings<D>(raw)),
    );
  }

  /**
   * Makes the token vectors of queries: of the marker, the tokens of the query, and the padding up to the length in
   * `info.late.queryExpansion`. Only for models of the kind `"late"`. The vectors of a query have the same bits whatever
   * else is in the call.
   *
   * @param texts - One query, or many.
   * @returns N vectors of `info.dimensions` numbers, end to end.
   * @throws {@link PplxEmbedError}: as {@link Model.embed}; `"unsupported"` for a model of another kind.
   */
  async encodeQuery<D extends TokenDtype = "float32">(
    texts: string | readonly string[],
    options?: EncodeOptions<D>,
  ): Promise<TokenEmbeddings<D>> {
    return this.#encode<D>("query", texts, check.options(options, QUERY_OPTIONS));
  }

  /**
   * Makes the token vectors of documents: of the marker and the tokens of the document, except for those in
   * `info.late.documentSkiplist`. Only for models of the kind `"late"`. A document longer than `info.late.documentLength`
   * is cut, and `usage.truncated` names it.
   *
   * @param texts - One document, or many.
   * @returns N vectors of `info.dimensions` numbers, end to end.
   * @throws {@link PplxEmbedError}: as {@link Model.encodeQuery}.
   */
  async encodeDocument<D extends TokenDtype = "float32">(
    texts: string | readonly string[],
    options?: EncodeDocumentOptions<D>,
  ): Promise<TokenEmbeddings<D>> {
    return this.#encode<D>("document", texts, check.options(options, DOCUMENT_OPTIONS));
  }

  /**
   * Splits a text into chunks of at most `maxTokens` tokens: at the ends of paragraphs and sentences if possible,
   * otherwise between words, otherwise between graphemes. Together the chunks cover the whole text, in order.
   *
   * @param text - Any text, also in a script without spaces between words.
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
    const request = splitRequest(text, o);
    return this.#calls.run(o, async (hooks) => chunksOf(text, await this.#engine.call("splitText", request, hooks)));
  }

  /**
   * Frees the memory, also on the GPU, and ends the worker. Calls under way, and later ones, reject with code
   * `"disposed"`. It may be called more than once.
   */
  async dispose(): Promise<void> {
    this.#calls.end();
  }

  async #encode<D extends TokenDtype>(
    role: "query" | "document",
    texts: string | readonly string[],
    o: Partial<EncodeDocumentOptions<D>>,
  ): Promise<TokenEmbeddings<D>> {
    const request = encodeRequest(role, check.texts(texts), o);
    return this.#calls.run(o, async (hooks) => new TokenEmbeddings<D>(await this.#engine.call("encode", request, hooks)));
  }

  /** @internal The engine and the calls of a model; undefined if `value` is not a model. */
  static partsOf(value: unknown): { engine: Engine; calls: CallQueue } | undefined {
    if (typeof value !== "object" || value === null || !(#engine in value)) return undefined;
    return { engine: value.#engine, calls: value.#calls };
  }
}

disposable(Model);
