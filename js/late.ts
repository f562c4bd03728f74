// Late interaction: a vector for each token.

import * as check from "./check.js";
import { invalid } from "./errors.js";
import type { EncodeRequest, RawTokenEmbeddings } from "./protocol.js";
import type { OnProgress, TokenDataOf, TokenDtype, Usage } from "./types.js";

/** How queries are to be encoded. Every option may be left out. */
export interface EncodeOptions<D extends TokenDtype = TokenDtype> {
  /** The form of the vectors. Default: `"float32"`. */
  dtype?: D | undefined;
  /**
   * Where the marker of queries and documents stands. 0, the default, is before the text, as in sentence-transformers
   * and on the model card; 1 is after the text's first token, as in PyLate. Queries and documents have to agree.
   */
  markerPosition?: 0 | 1 | undefined;
  /** Cancels the call. The model stays usable. */
  signal?: AbortSignal | undefined;
  /** Hears how far the call is. */
  onProgress?: OnProgress | undefined;
}

/** How documents are to be encoded. Every option may be left out. */
export interface EncodeDocumentOptions<D extends TokenDtype = TokenDtype> extends EncodeOptions<D> {
  /**
   * Of a document's vectors keep one in this many, each the mean of vectors that are alike (Ward's clustering, as
   * PyLate's `pool_factor`). The first one is kept as it is. Default: 1, which keeps all.
   */
  poolFactor?: number | undefined;
}

/**
 * Token vectors of texts, end to end: those of text i are `offsets[i]` to `offsets[i + 1]`.
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
  /** All vectors, one after another: `[N, dim]`, or `[N, ceil(dim / 8)]` for `"binary"`. */
  readonly data: TokenDataOf<D>;
  /** Where each text's vectors start, and where the last one's end. */
  readonly offsets: Uint32Array;
  /** Dimensions of a vector. */
  readonly dim: number;
  /** The form. */
  readonly dtype: D;
  /** For `"int8"`, a factor for each vector: vector t is `scales[t]` times its codes. */
  readonly scales: Float32Array | undefined;
  /** The id of each vector's token; of pooled vectors, that of the first of their tokens. */
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

  /** How many texts these are the vectors of. */
  get length(): number {
    return this.offsets.length - 1;
  }

  /**
   * The vectors of one text: a view of `data`, not a copy.
   *
   * @param index - Which text, from 0.
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
   * Where the token of a vector stands in its text, `text.slice(start, end)`; null for the marker and for what fills a
   * query up. Several tokens of one character all have its place; a pooled vector has that of its first token.
   *
   * @param row - Which vector, counted over all texts.
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
export function encodeRequest(role: "query" | "document", o: Partial<EncodeDocumentOptions>): EncodeRequest {
  return {
    role,
    dtype: check.primitive("dtype", o.dtype, "string"),
    markerPosition: check.primitive("markerPosition", o.markerPosition, "number"),
    poolFactor: check.primitive("poolFactor", o.poolFactor, "number"),
  };
}
