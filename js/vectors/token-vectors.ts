// Vectors that a caller passes, checked and brought into the form that the wasm module takes.

import type { RawVectors } from "../engine/calls.js";
import { invalid, PplxEmbedError, show } from "../errors.js";
import type { TokenDtype } from "../types.js";

/** The typed array that holds token vectors. A Float16Array is accepted too. */
export type TokenArray = Float32Array | Uint16Array | Int8Array | Uint8Array;

/** The token vectors of items (queries or documents), end to end without padding: N vectors in all. */
export interface TokenVectors {
  /** All vectors, one after another, of shape `[N, dim]`; `[N, ceil(dim / 8)]` for `"binary"`. */
  readonly data: TokenArray;
  /** Item i has the vectors `offsets[i]` to `offsets[i + 1]`. Default: all are of one item. */
  readonly offsets?: ArrayLike<number | bigint> | undefined;
  /** The dimensions of a vector. */
  readonly dim: number;
  /** The form of the vectors. Default: the one that the type of `data` stands for. */
  readonly dtype?: TokenDtype | undefined;
  /** For `"int8"`: N factors, one for each vector. Default: 1. */
  readonly scales?: Float32Array | undefined;
}

const DTYPES = ["float32", "float16", "int8", "binary"] as const;
const ARRAYS = { float32: Float32Array, float16: Uint16Array, int8: Int8Array, binary: Uint8Array };
const NAMES = { float32: "a Float32Array", float16: "a Uint16Array", int8: "an Int8Array", binary: "a Uint8Array" };

/** The name of a field, for errors. */
type FieldNames = (field: "data" | "dtype" | "dim" | "scales") => string;
/** `count` rows of the same dimensions. */
type RawRows = Omit<RawVectors, "offsets" | "dim"> & { count: number };

/** @internal A whole number that fits 32 bits. */
export function wholeNumber(name: string, value: unknown): number {
  const number = typeof value === "bigint" ? Number(value) : value;
  if (typeof number === "number" && Number.isInteger(number) && number >= 0 && number < 2 ** 32) return number;
  throw invalid(name, value, "a whole number, 0 or more");
}

/** @internal The vectors of one argument, which may be an array: all items one after another. */
export function rawVectors(name: string, given: TokenVectors | readonly TokenVectors[]): RawVectors {
  if (!Array.isArray(given)) return raw(name, given as TokenVectors);
  const all: RawVectors[] = [];
  for (let i = 0; i < given.length; i++) all.push(raw(`${name}[${i}]`, given[i] as TokenVectors));
  if (all.length === 0) throw invalid(name, given, "one or more token vectors; for no items, one with the offsets [0]");
  return joined(all, (i) => (field) => `${name}[${i}].${field}`);
}

/** @internal Joins one or more into one. Throws if their forms differ. */
export function joined(all: readonly RawVectors[], names: (index: number) => FieldNames): RawVectors {
  const first = all[0] as RawVectors;
  for (const [i, { dtype, dim, scales }] of all.entries()) {
    const as = (field: "dtype" | "dim" | "scales") => `as ${names(0)(field)}`;
    if (dtype !== first.dtype) throw invalid(names(i)("dtype"), dtype, `${first.dtype}, ${as("dtype")}`);
    if (dim !== first.dim) throw invalid(names(i)("dim"), dim, `${first.dim}, ${as("dim")}`);
    if (!scales !== !first.scales) throw invalid(names(i)("scales"), scales, `all or none, ${as("scales")}`);
  }
  if (all.length === 1) return first;
  const sum = (count: (one: RawVectors) => number) => all.reduce((n, one) => n + count(one), 0);
  const data = new ARRAYS[first.dtype](sum((one) => one.data.length));
  const scales = first.scales && new Float32Array(sum((one) => one.scales?.length ?? 0));
  const offsets = new Uint32Array(1 + sum((one) => one.offsets.length - 1));
  let [numbers, vectors, items] = [0, 0, 0];
  for (const one of all) {
    data.set(one.data, numbers);
    numbers += one.data.length;
    if (one.scales) scales?.set(one.scales, vectors);
    for (const end of one.offsets.subarray(1)) offsets[++items] = vectors + end;
    vectors += one.offsets.at(-1) ?? 0;
  }
  return { ...first, data, scales, offsets };
}

/** @internal The rows of `dim` numbers in `data`. */
export function rows(
  { data, dtype, scales }: Pick<TokenVectors, "data" | "dtype" | "scales">,
  dim: number,
  names: FieldNames,
): RawRows {
  const form = dtype ?? dtypeOf(data);
  if (!form || !DTYPES.includes(form)) {
    if (dtype !== undefined) throw invalid(names("dtype"), dtype, DTYPES.join(", "));
    throw invalid(names("data"), data, Object.values(NAMES).join(", "));
  }
  const numbers = form === "float16" ? halves(data) : data;
  if (!isArray(numbers, form)) throw invalid(names("data"), data, `${NAMES[form]} for "${form}"`);
  refuseDetached(names("data"), numbers);
  const width = form === "binary" ? Math.ceil(dim / 8) : dim;
  const count = numbers.length / (width || 1);
  const refuse = (field: "data" | "scales", length: number, allowed: string) =>
    new PplxEmbedError("invalid-argument", `${names(field)}: has ${length} numbers, allowed is ${allowed}`);
  if (!Number.isInteger(count)) throw refuse("data", numbers.length, `a multiple of ${width}`);
  const factors = form === "int8" ? (scales ?? undefined) : undefined;
  if (factors !== undefined && !isArray(factors, "float32")) throw invalid(names("scales"), scales, NAMES.float32);
  if (factors) refuseDetached(names("scales"), factors);
  if (factors && factors.length !== count) throw refuse("scales", factors.length, `${count}, one a vector`);
  return { data: numbers, dtype: form, scales: factors, count };
}

function raw(name: string, given: TokenVectors): RawVectors {
  if (typeof given !== "object" || given === null) throw invalid(name, given, "token vectors: { data, offsets, dim }");
  const dim = wholeNumber(`${name}.dim`, given.dim);
  const { count, ...numbers } = rows(given, dim, (field) => `${name}.${field}`);
  const offsets = ends(`${name}.offsets`, given.offsets ?? [0, count]);
  if (offsets.length > 0 && offsets.at(-1) !== count) {
    const message = `${name}.offsets[${offsets.length - 1}]: ${offsets.at(-1)}, allowed is ${count}, the vectors in data`;
    throw new PplxEmbedError("invalid-argument", message);
  }
  return { ...numbers, offsets, dim };
}

/** Whether it is the typed array of a form. Not recognised by its class, because each frame of a page has its own. */
function isArray(value: unknown, form: TokenDtype): value is TokenArray & Float32Array {
  return ArrayBuffer.isView(value) && kind(value) === ARRAYS[form].name;
}

function kind(view: ArrayBufferView): string {
  return Object.prototype.toString.call(view).slice(8, -1);
}

function dtypeOf(data: unknown): TokenDtype | undefined {
  if (!ArrayBuffer.isView(data)) return undefined;
  return kind(data) === "Float16Array" ? "float16" : DTYPES.find((form) => isArray(data, form));
}

/** A detached array looks empty, and sending it to the worker throws. */
function refuseDetached(name: string, array: TokenArray): void {
  if (array.byteLength > 0) return;
  try {
    new Uint8Array(array.buffer);
  } catch {
    throw new PplxEmbedError("invalid-argument", `${name}: a detached array, whose memory was transferred elsewhere`);
  }
}

/** The bits of a Float16Array, which older browsers do not have. */
function halves(data: TokenArray): TokenArray {
  if (!ArrayBuffer.isView(data) || kind(data) !== "Float16Array") return data;
  return new Uint16Array(data.buffer, data.byteOffset, data.length);
}

function ends(name: string, given: ArrayLike<number | bigint>): Uint32Array {
  if (typeof given !== "object" || given === null || !Number.isInteger(given.length)) {
    throw new PplxEmbedError("invalid-argument", `${name}: ${show(given)}, allowed is an array of whole numbers`);
  }
  return Uint32Array.from({ length: given.length }, (_, i) => wholeNumber(`${name}[${i}]`, given[i]));
}
