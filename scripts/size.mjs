// Prints what the wasm module weighs and fails when a page would download more than the budget.
//   node scripts/size.mjs FILE.wasm
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const BUDGET = 1_200_000; // bytes of brotli

const file = process.argv[2];
const raw = readFileSync(file);
const gzip = gzipSync(raw, { level: 9 }).length;
const brotli = brotliCompressSync(raw, {
  params: {
    [constants.BROTLI_PARAM_QUALITY]: 11,
    [constants.BROTLI_PARAM_SIZE_HINT]: raw.length,
  },
}).length;

const n = (bytes) => bytes.toLocaleString("en-US");
console.log(`${basename(file)}: ${n(raw.length)} bytes, gzip ${n(gzip)}, brotli ${n(brotli)} (budget ${n(BUDGET)})`);
if (brotli > BUDGET) {
  console.error(`${basename(file)} is ${n(brotli - BUDGET)} bytes over its brotli budget (scripts/size.mjs)`);
  process.exit(1);
}
