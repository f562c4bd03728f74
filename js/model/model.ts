/// <reference lib="esnext.disposable" preserve="true" />
import { CallQueue, disposable } from "../calls/queue.js";
import * as check from "../check.js";
import type { Engine } from "../engine/calls.js";
import { invalid } from "../errors.js";
import type { Dtype, EmbedOptions, ModelInfo, ModelKind, TokenDtype } from "../types.js";
import {
  CONTEXT_OPTIONS, type ContextOptions, checkDocuments, chunksOf, contextRequest, SPLIT_OPTIONS, type SplitOptions,
  splitRequest, type TextChunk,
} from "./context.js";
import { EMBED_OPTIONS, Embeddings, embedRequest } from "./embeddings.js";
import {
  DOCUMENT_OPTIONS, type EncodeDocumentOptions, type EncodeOptions, encodeRequest, QUERY_OPTIONS, TokenEmbeddings,
} from "./late.js";

/** The forms in which {@link Model.encodeQuery} and {@link Model.encodeDocument} give vectors, by the kind of model. */
export type EncodedDtype<K extends ModelKind> = K extends "late" ? TokenDtype : Dtype;
/** The form that they give by default. */
export type DefaultEncodedDtype<K extends ModelKind> = K extends "late" ? "float32" : "int8" | "float32";
/** What they give: token vectors, or one vector for each text. */
export type Encoded<K extends ModelKind, D> = K extends "late"
  ? TokenEmbeddings<D & TokenDtype>
  : Embeddings<D & Dtype>;
/** Options of {@link Model.encodeQuery}. */
export type EncodeQueryOptions<K extends ModelKind, D> = K extends "late"
  ? EncodeOptions<D & TokenDtype>
  : EmbedOptions<D & Dtype>;
/** Options of {@link Model.encodeDocument}. */
export type EncodeDocumentOptionsOf<K extends ModelKind, D> = K extends "late"
  ? EncodeDocumentOptions<D & TokenDtype>
  : EmbedOptions<D & Dtype>;

/**
 * A loaded model, made by {@link load}. Its calls run one after another, in the order they were made. In TypeScript the
 * kind of model decides what `encodeQuery` and `encodeDocument` give: `load<"embed">(...)` for one vector a text; without
 * it, a late interaction model is assumed.
 *
 * `await using model = await load(...)` disposes of it at the end of the block, where the runtime has
 * `Symbol.asyncDispose`.
 */
export class Model<K extends ModelKind = "late"> implements AsyncDisposable {
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
    const o = check.options(options, EMBED_OPTIONS);
    const request = embedRequest(list, o, undefined);
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
   * Makes the vectors of queries. A model of the kind `"late"` gives token vectors: of the marker, the tokens of the query,
   * and the padding up to the length in `info.late.queryExpansion`. Any other gives one vector a text, as
   * {@link Model.embed} does with the prompt `info.prompts.query`, unless `prompt` or `promptName` says otherwise; so does
   * sentence-transformers' `encode_query`. The vectors of a query have the same bits whatever else is in the call.
   *
   * @param texts - One query, or many.
   * @throws {@link PplxEmbedError}: as {@link Model.embed}.
   */
  async encodeQuery<D extends EncodedDtype<K> = DefaultEncodedDtype<K>>(
    texts: string | readonly string[],
    options?: EncodeQueryOptions<K, D>,
  ): Promise<Encoded<K, D>> {
    return this.#encode("query", texts, options) as Promise<Encoded<K, D>>;
  }

  /**
   * Makes the vectors of documents. A model of the kind `"late"` gives token vectors: of the marker and the tokens of the
   * document, except for those in `info.late.documentSkiplist`; a document longer than `info.late.documentLength` is cut,
   * and `usage.truncated` names it. Any other gives one vector a text, with the prompt `info.prompts.document`; compare
   * {@link Model.encodeQuery}.
   *
   * @param texts - One document, or many.
   * @throws {@link PplxEmbedError}: as {@link Model.embed}.
   */
  async encodeDocument<D extends EncodedDtype<K> = DefaultEncodedDtype<K>>(
    texts: string | readonly string[],
    options?: EncodeDocumentOptionsOf<K, D>,
  ): Promise<Encoded<K, D>> {
    return this.#encode("document", texts, options) as Promise<Encoded<K, D>>;
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

  async #encode(
    role: "query" | "document",
    texts: string | readonly string[],
    options: EncodeDocumentOptions | EmbedOptions | undefined,
  ): Promise<TokenEmbeddings | Embeddings> {
    const list = check.texts(texts);
    if (this.info.kind !== "late") {
      const o = check.options(options as EmbedOptions | undefined, EMBED_OPTIONS);
      const request = embedRequest(list, o, role);
      return this.#calls.run(o, async (hooks) => new Embeddings(await this.#engine.call("embed", request, hooks)));
    }
    const allowed = role === "query" ? QUERY_OPTIONS : DOCUMENT_OPTIONS;
    const o = check.options(options as EncodeDocumentOptions | undefined, allowed);
    const request = encodeRequest(role, list, o);
    return this.#calls.run(o, async (hooks) => new TokenEmbeddings(await this.#engine.call("encode", request, hooks)));
  }

  /** @internal The engine and the calls of a model; undefined if `value` is not a model. */
  static partsOf(value: unknown): { engine: Engine; calls: CallQueue } | undefined {
    if (typeof value !== "object" || value === null || !(#engine in value)) return undefined;
    return { engine: value.#engine, calls: value.#calls };
  }
}

disposable(Model);
