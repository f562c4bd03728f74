import { invalid, PplxEmbedError } from "../errors.js";

/** An array of numbers. */
export type NumberArray =
  | Int8Array | Uint8Array | Uint8ClampedArray | Int16Array | Uint16Array | Int32Array | Uint32Array
  | Float32Array | Float64Array | readonly number[];

/**
 * The cosine of the angle between two vectors. For `"int8"`, `"float32"` and `"binary"` rows, which may be mixed. Use
 * {@link hamming} for packed bits (`"ubinary"`).
 *
 * @param a - D numbers.
 * @param b - D numbers.
 * @returns -1 to 1; 0 if one of the vectors is all zeros.
 * @throws {@link PplxEmbedError} with code `"invalid-argument"` if the lengths differ, or an element is not a number.
 *
 * @example
 * ```ts
 * console.log(cosineSimilarity(new Int8Array([3, 4]), new Float32Array([4, 3]))); // 0.96
 * ```
 */
export function cosineSimilarity(a: NumberArray, b: NumberArray): number {
  sameLength(a, b, (value) => Array.isArray(value) || isTyped(value), "an array of numbers");
  let dot = 0;
  let aa = 0;
  let bb = 0;
  for (let i = 0; i < a.length; i++) {
    const x = a[i];
    const y = b[i];
    if (typeof x !== "number") throw invalid(`a[${i}]`, x, "a number");
    if (typeof y !== "number") throw invalid(`b[${i}]`, y, "a number");
    dot += x * y;
    aa += x * x;
    bb += y * y;
  }
  const lengths = Math.sqrt(aa) * Math.sqrt(bb);
  return lengths === 0 ? 0 : dot / lengths;
}

/**
 * The Hamming distance of two binary vectors: in how many dimensions they differ.
 *
 * @param a - `"binary"`: D numbers, each +1 or -1; or `"ubinary"`: D bits, eight to a byte.
 * @param b - As `a`, in the same form.
 * @returns 0 to D.
 * @throws {@link PplxEmbedError} with code `"invalid-argument"` if the lengths or forms differ, or an Int8Array has
 * other numbers than +1 and -1, as `"int8"` rows do.
 *
 * @example
 * ```ts
 * console.log(hamming(new Int8Array([1, -1, 1]), new Int8Array([1, 1, -1]))); // 2
 * console.log(hamming(new Uint8Array([0b10100000]), new Uint8Array([0b11000000]))); // 2
 * ```
 */
export function hamming(a: Int8Array, b: Int8Array): number;
export function hamming(a: Uint8Array, b: Uint8Array): number;
export function hamming(a: Int8Array | Uint8Array, b: Int8Array | Uint8Array): number {
  sameLength(a, b, isTyped, "a typed array of numbers");
  const packed = a instanceof Uint8Array && b instanceof Uint8Array;
  if (!packed && !(a instanceof Int8Array && b instanceof Int8Array)) {
    throw invalid("b", b, "two Int8Array of +1 and -1, or two Uint8Array of packed bits");
  }
  let differ = 0;
  for (let i = 0; i < a.length; i++) {
    const x = a[i] as number;
    const y = b[i] as number;
    if (packed) {
      differ += ones(x ^ y);
    } else {
      if (x * x !== 1) throw invalid(`a[${i}]`, x, "+1 or -1");
      if (y * y !== 1) throw invalid(`b[${i}]`, y, "+1 or -1");
      differ += x === y ? 0 : 1;
    }
  }
  return differ;
}

/** How many bits of a byte are set. */
function ones(byte: number): number {
  const pairs = byte - ((byte >> 1) & 0x55);
  const fours = (pairs & 0x33) + ((pairs >> 2) & 0x33);
  return (fours + (fours >> 4)) & 0x0f;
}

function isTyped(value: unknown): boolean {
  return ArrayBuffer.isView(value) && !(value instanceof DataView) && typeof (value as Int8Array)[0] !== "bigint";
}

function sameLength(a: NumberArray, b: NumberArray, isVector: (value: unknown) => boolean, allowed: string): void {
  for (const [name, value] of Object.entries({ a, b })) {
    if (!isVector(value)) throw invalid(name, value, allowed);
  }
  if (a.length !== b.length) {
    const message = `b: has ${b.length} numbers, allowed is as many as a has, ${a.length}`;
    throw new PplxEmbedError("invalid-argument", message);
  }
}
