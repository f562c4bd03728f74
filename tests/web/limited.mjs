// A wasm module with a maximum of memory.
import assert from "node:assert/strict";

const MEMORY_SECTION = 5;

/** The number at `at` (LEB128), and where it ends. */
function number(bytes, at) {
  let value = 0;
  for (let scale = 1; ; scale *= 128, at++) {
    value += (bytes[at] % 128) * scale;
    if (bytes[at] < 128) return [value, at + 1];
  }
}

function encoded(value) {
  return value < 128 ? [value] : [128 + (value % 128), ...encoded(Math.floor(value / 128))];
}

/** The same wasm module, whose memory can grow by `pages` of 64 KiB. */
export function limited(bytes, pages) {
  const parts = [bytes.subarray(0, 8)];
  for (let at = 8, end; at < bytes.length; at = end) {
    const [length, body] = number(bytes, at + 1);
    end = body + length;
    if (bytes[at] === MEMORY_SECTION) {
      assert.deepEqual([...bytes.subarray(body, body + 2)], [1, 0], "one memory without a maximum");
      const [initial] = number(bytes, body + 2);
      const section = [1, 1, ...encoded(initial), ...encoded(initial + pages)];
      parts.push(Buffer.from([MEMORY_SECTION, ...encoded(section.length), ...section]));
    } else {
      parts.push(bytes.subarray(at, end));
    }
  }
  return Buffer.concat(parts);
}
