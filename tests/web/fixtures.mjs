// What Hugging Face transformers computes for the fixture checkpoints, and what "equal" means (see tests/fixtures).
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";

const EXPECTED = new URL("../fixtures/expected/", import.meta.url);
const ARRAYS = { F32: Float32Array, I8: Int8Array, U8: Uint8Array, I64: BigInt64Array };

/** Texts and tensors of a checkpoint; with `short`, only texts of up to 33 tokens. */
export function fixture(name, { short = false } = {}) {
  const { texts } = JSON.parse(readFileSync(new URL(`${name}.json`, EXPECTED)));
  const chosen = texts.map((text, index) => ({ ...text, index })).filter((t) => !short || t.ids.length <= 33);
  const file = readFileSync(new URL(`${name}.safetensors`, EXPECTED));
  const length = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.subarray(8, 8 + length).toString());
  const rows = (tensor) => {
    const { dtype, shape, data_offsets: [from, to] } = header[tensor];
    const bytes = Uint8Array.from(file.subarray(8 + length + from, 8 + length + to));
    const values = new ARRAYS[dtype](bytes.buffer);
    return chosen.map(({ index }) => [...values.subarray(index * shape[1], (index + 1) * shape[1])]);
  };
  return { texts: chosen.map((t) => t.text), tokens: chosen.reduce((n, t) => n + t.ids.length, 0), rows };
}

/** The texts of a fixture, if it has any, and its tensors by name as plain arrays. */
export function expected(name) {
  const file = readFileSync(new URL(`${name}.safetensors`, EXPECTED));
  const length = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.subarray(8, 8 + length).toString());
  const tensor = (key) => {
    const [from, to] = header[key].data_offsets;
    const bytes = Uint8Array.from(file.subarray(8 + length + from, 8 + length + to));
    return Array.from(new ARRAYS[header[key].dtype](bytes.buffer), Number);
  };
  const json = new URL(`${name}.json`, EXPECTED);
  return { texts: existsSync(json) ? JSON.parse(readFileSync(json)).texts : undefined, tensor };
}

export function cosine(a, b) {
  const dot = (x, y) => x.reduce((sum, value, i) => sum + value * y[i], 0);
  const lengths = Math.sqrt(dot(a, a) * dot(b, b));
  return lengths === 0 ? Number(a.every((value, i) => value === b[i])) : dot(a, b) / lengths;
}

export function chunks(flat, size) {
  return Array.from({ length: flat.length / size }, (_, i) => flat.slice(i * size, (i + 1) * size));
}

export function sameVectors(got, want) {
  assert.equal(got.length, want.length);
  for (const [i, row] of got.entries()) {
    assert.ok(cosine(row, want[i]) >= 0.99999, `row ${i}: cosine ${cosine(row, want[i])}`);
    assert.ok(row.every((value, j) => Math.abs(value - want[i][j]) < 1e-3), `row ${i}`);
  }
}

export function sameCodes(got, want) {
  const [a, b] = [got.flat(), want.flat()];
  assert.equal(a.length, b.length);
  assert.ok(a.every((code, i) => Math.abs(code - b[i]) <= 1), "codes differ by more than 1");
  const equal = a.filter((code, i) => code === b[i]).length;
  assert.ok(equal >= 0.995 * b.length, `${equal} of ${b.length} codes are equal`);
}

/** Signs of `pooled`, where it is not so near zero that rounding decides; +1 or -1, or packed bits. */
export function sameSigns(got, pooled, packed) {
  for (const [i, row] of pooled.entries()) {
    for (const [j, x] of row.entries()) {
      if (Math.abs(x) <= 1e-4 && x !== 0) continue;
      const sign = packed ? ((got[i][j >> 3] >> (7 - (j & 7))) & 1) * 2 - 1 : got[i][j];
      assert.equal(sign, x >= 0 ? 1 : -1, `row ${i}, dimension ${j}, where x is ${x}`);
    }
  }
}
