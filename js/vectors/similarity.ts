import * as check from "../check.js";
import { invalid, PplxEmbedError } from "../errors.js";
import { kind, refuseDetached } from "./token-vectors.js";

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
 * @throws {@link PplxEmbedError} with code `"invalid-argument"` if the lengths differ, or an element is not a finite number.
 *
 * @example
 * ```ts
 * console.log(cosineSimilarity(new Int8Array([3, 4]), new Float32Array([4, 3]))); // 0.96
 * console.log(cosineSimilarity([3, 4], [4, 3])); // 0.96
 * ```
 */
export function cosineSimilarity(a: NumberArray, b: NumberArray): number {
  const [x, y] = [vector("a", a), vector("b", b)];
  sameLength(x, y);
  const cosine = cosineOf(x, y);
  if (Number.isFinite(cosine)) return cosine;
  // What is not finite, or so large or small that its square is not: with the largest element as the unit.
  return cosineOf(scaled("a", x), scaled("b", y)) || 0;
}

/** NaN if a sum of squares is 0 or infinite, or an element is not finite. */
function cosineOf(x: Numbers, y: Numbers): number {
  let xy = 0;
  let xx = 0;
  let yy = 0;
  for (let i = 0; i < x.length; i++) {
    const p = x[i] as number;
    const q = y[i] as number;
    xy += p * q;
    xx += p * p;
    yy += q * q;
  }
  return xy / (Math.sqrt(xx) * Math.sqrt(yy));
}

function scaled(name: string, vector: Numbers): Numbers {
  let largest = 0;
  for (let i = 0; i < vector.length; i++) {
    const number = vector[i] as number;
    if (!Number.isFinite(number)) throw invalid(`${name}[${i}]`, number, "a finite number");
    largest = Math.max(largest, Math.abs(number));
  }
  return largest === 0 ? vector : Float64Array.from(vector, (number) => number / largest);
}

/**
 * The Hamming distance of two binary vectors: in how many dimensions they differ.
 *
 * @param a - `"binary"`: D numbers, each +1 or -1; or `"ubinary"`: D bits, eight to a byte. Plain arrays
 * without a -1 are bytes.
 * @param b - As `a`, in the same form.
 * @returns 0 to D.
 * @throws {@link PplxEmbedError} with code `"invalid-argument"` if the lengths or forms differ, or an Int8Array has
 * other numbers than +1 and -1, as `"int8"` rows do.
 *
 * @example
 * ```ts
 * console.log(hamming(new Int8Array([1, -1, 1]), new Int8Array([1, 1, -1]))); // 2
 * console.log(hamming(new Uint8Array([0b10100000]), new Uint8Array([0b11000000]))); // 2
 * console.log(hamming([1, -1, 1], [1, 1, -1])); // 2
 * ```
 */
export function hamming(a: Int8Array | readonly number[], b: Int8Array | readonly number[]): number;
export function hamming(a: Uint8Array | readonly number[], b: Uint8Array | readonly number[]): number;
export function hamming(a: Int8Array | Uint8Array | readonly number[], b: Int8Array | Uint8Array | readonly number[]): number {
  const [x, y] = [vector("a", a), vector("b", b)];
  sameLength(x, y);
  const forms = [formOf(x), formOf(y)];
  if (forms.includes("other") || (forms.includes("signs") && forms.includes("bits"))) {
    const allowed = "two Int8Array of +1 and -1, or two Uint8Array of packed bits, or plain arrays of the same numbers";
    throw invalid(forms[0] === "other" ? "a" : "b", forms[0] === "other" ? a : b, allowed);
  }
  // Two plain arrays of signs without a -1 are equal, which they are as bytes too.
  const bits = forms.includes("bits") || (!forms.includes("signs") && ![x, y].some((one) => one.includes(-1)));
  const [isAllowed, allowed] = bits ? [isByte, "a byte, 0 to 255"] : [isSign, "+1 or -1"];
  let differ = 0;
  for (let i = 0; i < x.length; i++) {
    const p = x[i] as number;
    const q = y[i] as number;
    if (!isAllowed(p)) throw invalid(`a[${i}]`, p, allowed);
    if (!isAllowed(q)) throw invalid(`b[${i}]`, q, allowed);
    if (bits) differ += ones(p ^ q);
    else if (p !== q) differ++;
  }
  return differ;
}

const isSign = (number: number) => number * number === 1;
const isByte = (number: number) => Number.isInteger(number) && number >= 0 && number < 256;

/** What the class of an array says that its numbers are. */
function formOf(numbers: Numbers): "signs" | "bits" | "plain" | "other" {
  if (Array.isArray(numbers)) return "plain";
  return ({ Int8Array: "signs", Uint8Array: "bits" } as const)[kind(numbers)] ?? "other";
}

/** How many bits of a byte are set. */
function ones(byte: number): number {
  const pairs = byte - ((byte >> 1) & 0x55);
  const fours = (pairs & 0x33) + ((pairs >> 2) & 0x33);
  return (fours + (fours >> 4)) & 0x0f;
}

/** A typed array of the caller's, or a copy of a plain one. */
type Numbers = Exclude<NumberArray, readonly number[]> | number[];

function vector(name: string, value: NumberArray): Numbers {
  return check.readable(name, "an array of numbers", () => {
    if (ArrayBuffer.isView(value) && !/^Big|^DataView$/.test(kind(value))) {
      refuseDetached(name, value);
      return value;
    }
    const plain = check.array(name, value);
    if (!plain) throw invalid(name, value, "an array of numbers");
    for (const [i, number] of plain.entries()) {
      if (typeof number !== "number") throw invalid(`${name}[${i}]`, number, "a number");
    }
    return plain as number[];
  });
}

function sameLength(a: Numbers, b: Numbers): void {
  if (a.length === b.length) return;
  const message = `b: has ${b.length} numbers, allowed is as many as a has, ${a.length}`;
  throw new PplxEmbedError("invalid-argument", message);
}
