// Late interaction: one vector for each token.

import * as check from "../check.js";
import type { EncodeRequest, RawTokenEmbeddings } from "../engine/calls.js";
import { invalid } from "../errors.js";
import type { OnProgress, TokenDataOf, TokenDtype, Usage } from "../types.js";

/** Options of {@link Model.encodeQuery}. Every option may be left out. */
export interface EncodeOptions<D extends TokenDtype = TokenDtype> {
  /** The form of the vectors. Default: `"float32"`. */
  dtype?: D | undefined;
  /**
   * Where the token stands that marks queries and documents. 0, the default, is before the text, as in
   * sentence-transformers and on the model card; 1 is after the first token of the text, as in PyLate. Use the same for
   * queries and documents.
   */
  markerPosition?: 0 | 1 | undefined;
  /** Cancels the call. The model stays usable. */
  signal?: AbortSignal | undefined;
  /** Called from time to time with how far the call is. */
  onProgress?: OnProgress | undefined;
}

/** Options of {@link Model.encodeDocument}. Every option may be left out. */
export interface EncodeDocumentOptions<D extends TokenDtype = TokenDtype> extends EncodeOptions<D> {
  /**
   * Keeps one in this many of a document's vectors, each the mean of similar ones (Ward's clustering, as PyLate's
   * `pool_factor` does). The first vector is kept as it is. Default: 1, which keeps all.
   */
  poolFactor?: number | undefined;
}

/**
 * The token vectors of texts, end to end: those of text i are `offsets[i]` to `offsets[i + 1]`.
 *
 * @example
 * ```ts
 * const late = await load("perplexity-ai/pplx-embed-v1-late-0.6b");
 * const query = await late.encodeQuery("What motivates scientific discovery?");
 * console.log(query.length, query.offsets, query.dim); // 1 Uint32Array(2) [ 0, 32 ] 128
 * const text = "Scientists explore the universe, driven by curiosity.";
 * const document = await late.encodeDocument(text);
 * const [start, end] = document.range(1) ?? [0, 0];
 * console.log(text.slice(start, end)); // Scient
 * ```
 */
export class TokenEmbeddings<D extends TokenDtype = TokenDtype> {
  /** All N vectors, one after another, of shape `[N, dim]`; `[N, ceil(dim / 8)]` for `"binary"`. */
  readonly data: TokenDataOf<D>;
  /** Where the vectors of each text start, and where those of the last text end: one number more than there are texts. */
  readonly offsets: Uint32Array;
  /** The dimensions of a vector. */
  readonly dim: number;
  /** The form of the vectors. */
  readonly dtype: D;
  /** For `"int8"`, N factors: vector t is `scales[t]` times its codes. Otherwise undefined. */
  readonly scales: Float32Array | undefined;
  /** N token ids, one for each vector; for a pooled vector, the id of the first of its tokens. */
  readonly tokens: Uint32Array;
  /** What encoding cost. */
  readonly usage: Usage;
  readonly #ranges: Uint32Array;

  /** @internal */
  constructor(raw: RawTokenEmbeddings) {
    this.data = raw.data as TokenDataOf<D>;
    this.offsets = raw.offsets;
    this.dim = raw.dim;
    this.dtype = raw.dtype as D;
    this.scales = raw.scales;
    this.tokens = raw.ids;
    this.usage = { tokens: raw.tokens, truncated: [...raw.truncated] };
    this.#ranges = raw.ranges;
  }

  /** How many texts there are. */
  get length(): number {
    return this.offsets.length - 1;
  }

  /**
   * The vectors of one text.
   *
   * @param index - Which text, from 0.
   * @returns The part of `data` that holds them, as a view.
   * @throws {@link PplxEmbedError} with code `"invalid-argument"` if there is no such text.
   */
  item(index: number): TokenDataOf<D> {
    if (!Number.isInteger(index) || index < 0 || index >= this.length) {
      throw invalid("index", index, this.length === 0 ? "none: there are no texts" : `0 to ${this.length - 1}`);
    }
    const columns = this.dtype === "binary" ? Math.ceil(this.dim / 8) : this.dim;
    const [from, to] = [this.offsets[index] as number, this.offsets[index + 1] as number];
    return this.data.subarray(from * columns, to * columns) as TokenDataOf<D>;
  }

  /**
   * Where the token of a vector is in its text. If one character has several tokens, each has the place of that
   * character; a pooled vector has the place of its first token.
   *
   * @param row - Which vector, counted over all texts, from 0.
   * @returns Start and end in UTF-16 code units, for `text.slice(start, end)`; null for the marker and for padding.
   * @throws {@link PplxEmbedError} with code `"invalid-argument"` if there is no such vector.
   */
  range(row: number): readonly [start: number, end: number] | null {
    if (!Number.isInteger(row) || row < 0 || row >= this.tokens.length) {
      throw invalid("row", row, this.tokens.length === 0 ? "none: there are no vectors" : `0 to ${this.tokens.length - 1}`);
    }
    const [start, end] = [this.#ranges[2 * row] as number, this.#ranges[2 * row + 1] as number];
    return end > start ? [start, end] : null;
  }
}

/** @internal */
export const QUERY_OPTIONS = ["dtype", "markerPosition", "signal", "onProgress"] as const;
/** @internal */
export const DOCUMENT_OPTIONS = [...QUERY_OPTIONS, "poolFactor"] as const;

/** @internal */
export function encodeRequest(
  role: "query" | "document",
  texts: readonly string[],
  o: Partial<EncodeDocumentOptions>,
): EncodeRequest {
  return {
    role,
    texts,
    dtype: check.primitive("dtype", o.dtype, "string"),
    markerPosition: check.primitive("markerPosition", o.markerPosition, "number"),
    poolFactor: check.primitive("poolFactor", o.poolFactor, "number"),
  };
}
