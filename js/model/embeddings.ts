import * as check from "../check.js";
import type { EmbedRequest, RawEmbeddings, VectorOptions } from "../engine/calls.js";
import { invalid } from "../errors.js";
import type { DataOf, Dtype, EmbedOptions, Usage } from "../types.js";

/** @internal The options that say how vectors are made. */
export function vectorOptions(o: Partial<EmbedOptions>): VectorOptions {
  return {
    dtype: check.primitive("dtype", o.dtype, "string"),
    dimensions: check.primitive("dimensions", o.dimensions, "number"),
    normalize: check.primitive("normalize", o.normalize, "boolean"),
  };
}

/** @internal */
export const EMBED_OPTIONS = [
  "dtype", "dimensions", "normalize", "prompt", "promptName", "signal", "onProgress",
] as const;

/** @internal */
export function embedRequest(
  texts: readonly string[],
  o: Partial<EmbedOptions>,
  role: EmbedRequest["role"],
): EmbedRequest {
  return {
    texts,
    ...vectorOptions(o),
    prompt: check.primitive("prompt", o.prompt, "string"),
    promptName: check.primitive("promptName", o.promptName, "string"),
    role,
  };
}

/**
 * The vectors of texts or chunks, one row each, in their order.
 *
 * @example
 * ```ts
 * // With the demo model.
 * const e = await model.embed(["a red bicycle", ""], { dimensions: 22 });
 * console.log(e.shape);                  // [ 2, 22 ]
 * console.log(e.row(0).subarray(16));    // Int8Array(6) [ 8, -15, 34, -22, 21, -74 ]
 * console.log(e.toArray()[1].slice(16)); // [ 0, 0, 0, 0, 0, 0 ]
 * ```
 */
export class Embeddings<D extends Dtype = Dtype> {
  /** All rows, one after another: `shape[0] * shape[1]` numbers. */
  readonly data: DataOf<D>;
  /** How many rows there are, and how many numbers a row has: `dimensions`, or `ceil(dimensions / 8)` for `"ubinary"`. */
  readonly shape: readonly [rows: number, columns: number];
  /** The form of the vectors. */
  readonly dtype: D;
  /** The dimensions of a vector, which are bits for `"ubinary"`. */
  readonly dimensions: number;
  /** What embedding cost. */
  readonly usage: Usage;

  /** @internal */
  constructor(raw: RawEmbeddings) {
    this.data = raw.data as DataOf<D>;
    this.shape = [raw.rows, raw.columns];
    this.dtype = raw.dtype as D;
    this.dimensions = raw.dimensions;
    this.usage = { tokens: raw.tokens, truncated: [...raw.truncated] };
  }

  /**
   * The vector of one text.
   *
   * @param index - Which text, from 0.
   * @returns `shape[1]` numbers, as a view of `data`.
   * @throws {@link PplxEmbedError} with code `"invalid-argument"` if there is no such text.
   */
  row(index: number): DataOf<D> {
    const [rows, columns] = this.shape;
    if (!Number.isInteger(index) || index < 0 || index >= rows) {
      throw invalid("index", index, rows === 0 ? "none: there are no rows" : `0 to ${rows - 1}`);
    }
    return this.data.subarray(index * columns, (index + 1) * columns) as DataOf<D>;
  }

  /** The rows as plain arrays of numbers, for JSON for example: `shape[0]` arrays of `shape[1]` numbers. */
  toArray(): number[][] {
    return Array.from({ length: this.shape[0] }, (_, index) => [...this.row(index)]);
  }
}
