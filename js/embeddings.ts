import { invalid } from "./errors.js";
import type { RawEmbeddings } from "./protocol.js";
import type { DataOf, Dtype, Usage } from "./types.js";

/**
 * Vectors of texts, one row each, in the order of the texts.
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
  /** Texts, and numbers in a row: the dimensions, or for `"ubinary"` an eighth of them, rounded up. */
  readonly shape: readonly [rows: number, columns: number];
  /** The form. */
  readonly dtype: D;
  /** Dimensions of a vector, which for `"ubinary"` are bits. */
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
   * The vector of one text: a view of `data`, not a copy.
   *
   * @param index - Which text, from 0.
   * @throws {@link PplxEmbedError} with code `"invalid-argument"` if there is no such text.
   */
  row(index: number): DataOf<D> {
    const [rows, columns] = this.shape;
    if (!Number.isInteger(index) || index < 0 || index >= rows) {
      throw invalid("index", index, rows === 0 ? "none: there are no rows" : `0 to ${rows - 1}`);
    }
    return this.data.subarray(index * columns, (index + 1) * columns) as DataOf<D>;
  }

  /** The rows as plain arrays, for JSON and the like: `[texts][columns]`. */
  toArray(): number[][] {
    return Array.from({ length: this.shape[0] }, (_, index) => [...this.row(index)]);
  }
}
