// Vectors that a caller passes, checked and brought into the form that the wasm module takes.

import * as check from "../check.js";
import type { RawVectors } from "../engine/calls.js";
import { attempt, invalid, PplxEmbedError, show } from "../errors.js";
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
const FIELDS = ["data", "offsets", "dim", "dtype", "scales"] as const;
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
  const list = check.array(name, given);
  if (!list) return raw(name, given as TokenVectors);
  const all = list.map((one, i) => raw(`${name}[${i}]`, one as TokenVectors));
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
  { data, dtype, scales }: { data?: unknown; dtype?: unknown; scales?: unknown },
  dim: number,
  names: FieldNames,
): RawRows {
  const form = DTYPES.find((known) => known === (dtype ?? dtypeOf(data)));
  if (!form) {
    if (dtype !== undefined) throw invalid(names("dtype"), dtype, DTYPES.join(", "));
    throw invalid(names("data"), data, Object.values(NAMES).join(", "));
  }
  const numbers = own(names("data"), data, form);
  if (!numbers) throw invalid(names("data"), data, `${NAMES[form]} for "${form}"`);
  const width = form === "binary" ? Math.ceil(dim / 8) : dim;
  const count = numbers.length / (width || 1);
  const refuse = (field: "data" | "scales", length: number, allowed: string) =>
    new PplxEmbedError("invalid-argument", `${names(field)}: has ${length} numbers, allowed is ${allowed}`);
  if (!Number.isInteger(count)) throw refuse("data", numbers.length, `a multiple of ${width}`);
  const given = form === "int8" ? (scales ?? undefined) : undefined;
  const factors = given === undefined ? undefined : (own(names("scales"), given, "float32") as Float32Array | undefined);
  if (given !== undefined && !factors) throw invalid(names("scales"), scales, NAMES.float32);
  if (factors && factors.length !== count) throw refuse("scales", factors.length, `${count}, one a vector`);
  return { data: numbers, dtype: form, scales: factors, count };
}

function raw(name: string, given: TokenVectors): RawVectors {
  if (typeof given !== "object" || given === null) throw invalid(name, given, "token vectors: { data, offsets, dim }");
  const read = check.fields(name, given, FIELDS);
  const dim = wholeNumber(`${name}.dim`, read.dim);
  const { count, ...numbers } = rows(read, dim, (field) => `${name}.${field}`);
  const offsets = ends(`${name}.offsets`, read.offsets ?? [0, count]);
  if (offsets.length > 0 && offsets.at(-1) !== count) {
    const message = `${name}.offsets[${offsets.length - 1}]: ${offsets.at(-1)}, allowed is ${count}, the vectors in data`;
    throw new PplxEmbedError("invalid-argument", message);
  }
  return { ...numbers, offsets, dim };
}

/**
 * The numbers of a form as an array of this thread's own class, which a worker and the wasm module take: each frame of a page
 * has its own classes, and memory that threads share cannot be sent everywhere, so it is copied. Undefined if `value` is no
 * array of the form.
 */
function own(name: string, value: unknown, form: TokenDtype): TokenArray | undefined {
  if (!ArrayBuffer.isView(value) || !takes(form, kind(value))) return undefined;
  return check.readable(name, NAMES[form], () => {
    refuseDetached(name, value);
    const view = new ARRAYS[form](value.buffer as ArrayBuffer, value.byteOffset, (value as TokenArray).length);
    return /Shared/.test(kind(view.buffer)) ? new ARRAYS[form](view) : view;
  });
}

/** The bits of a Float16Array, which older browsers do not have, are halves too. */
function takes(form: TokenDtype, name: string): boolean {
  return name === ARRAYS[form].name || (form === "float16" && name === "Float16Array");
}

/** The class of an object, in whatever frame. */
export function kind(object: object): string {
  return attempt(() => Object.prototype.toString.call(object).slice(8, -1), "");
}

function dtypeOf(data: unknown): TokenDtype | undefined {
  if (!ArrayBuffer.isView(data)) return undefined;
  const name = kind(data);
  return DTYPES.find((form) => takes(form, name));
}

/** @internal A detached array looks empty, and sending it to the worker throws. */
export function refuseDetached(name: string, array: ArrayBufferView): void {
  if (array.byteLength > 0) return;
  try {
    new Uint8Array(array.buffer);
  } catch {
    throw new PplxEmbedError("invalid-argument", `${name}: a detached array, whose memory was transferred elsewhere`);
  }
}

function ends(name: string, given: ArrayLike<number | bigint>): Uint32Array {
  const allowed = "an array of whole numbers";
  return check.readable(name, allowed, () => {
    if (ArrayBuffer.isView(given)) refuseDetached(name, given);
    if (typeof given !== "object" || given === null || !Number.isInteger(given.length)) {
      throw new PplxEmbedError("invalid-argument", `${name}: ${show(given)}, allowed is ${allowed}`);
    }
    return Uint32Array.from({ length: given.length }, (_, i) => wholeNumber(`${name}[${i}]`, given[i]));
  });
}
