// Reads what `pplx-embed embed` prints without --output, one {"index", "text", "embedding"} a line, from standard
// input, and prints a table of cosine similarities: row i against column j.
import { createInterface } from "node:readline";

const WIDTH = 44; // of a text in the table

const rows = [];
for await (const line of createInterface({ input: process.stdin })) {
  if (line.trim()) rows.push(JSON.parse(line));
}

function cosine(a, b) {
  let dot = 0, aa = 0, bb = 0;
  for (let i = 0; i < a.length; i++) {
    dot += a[i] * b[i];
    aa += a[i] * a[i];
    bb += b[i] * b[i];
  }
  return dot / Math.sqrt(aa * bb);
}

const shown = (cosine) => cosine.toFixed(2).replace("-0.00", "0.00");
const clip = (text) => {
  const characters = [...text];
  return characters.length > WIDTH ? characters.slice(0, WIDTH - 3).join("") + "..." : text;
};

console.log(" ".repeat(WIDTH + 5) + rows.map((_, j) => String(j + 1).padStart(6)).join(""));
for (const [i, row] of rows.entries()) {
  const cells = rows.map((other) => shown(cosine(row.embedding, other.embedding)).padStart(6)).join("");
  console.log(`${String(i + 1).padStart(3)}  ${clip(row.text).padEnd(WIDTH)}${cells}`);
}
