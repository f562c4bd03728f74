// Writes what the demo searches in: a JSON line for each paragraph, list item and table row of the documentation for
// users. Code and tables of measurements are left out: a row of numbers says nothing on its own.
//   node scripts/docs.mjs > docs.jsonl
//
//   {"id", "file", "anchor": of the heading on GitHub, "headings": from the file's title down, "text": without marks}
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
/** Shorter ones say too little to be a hit. */
const FEWEST_WORDS = 13;

const FRONT_MATTER = /^---\n.*?\n---\n/s;
const CODE = /^( *)```.*?^\1```$|^ {4}.*?$/gms;
const MEASURED = /<!-- bench:.*?<!-- \/bench -->/gs;

/** What separates the head of a table from its rows. */
const isRule = (line = "") => /^\|[|\s:-]*$/.test(line);
/** A row of measurements says nothing to a reader of one paragraph. */
const isNumbers = (row) => cells(row).filter((cell) => /^[\d.,\s%-]+$/.test(cell)).length > 2;
const cells = (row) => row.split(/(?<!\\)\|/).map((cell) => cell.trim()).filter(Boolean);

/** Markdown without its marks. */
function plain(text) {
  return text
    .replace(/<!--.*?-->/gs, "")
    .replace(/!?\[([^\]]*)\]\([^)]*\)/g, "$1")
    .replace(/`|\*\*/g, "")
    .replace(/\s+/g, " ")
    .trim();
}

/** As GitHub makes them. */
const anchorOf = (heading) => heading.toLowerCase().replace(/[^\p{L}\p{N}\s_-]/gu, "").replace(/\s/g, "-");

/** The blocks of a Markdown file, with the headings over each. */
function blocksOf(markdown) {
  const lines = markdown.replace(FRONT_MATTER, "").replace(CODE, "").replace(MEASURED, "").split("\n");
  const [blocks, headings] = [[], []];
  let block = [];
  const end = () => {
    const over = headings.filter(Boolean);
    blocks.push({ headings: over, anchor: over.length > 1 ? anchorOf(over.at(-1)) : "", text: plain(block.join(" ")) });
    block = [];
  };
  for (const [at, line] of lines.entries()) {
    const [, marks, title] = /^(#{1,6}) (.*)$/.exec(line) ?? [];
    const item = /^\s*([-*]|\d+\.) (.*)$/.exec(line)?.[2];
    const row = line.startsWith("|");
    if (line.trim() === "" || marks || item || row) end();
    if (marks) headings.splice(marks.length - 1, Infinity, plain(title));
    else if (!row) block.push(item ?? line);
    else if (!isRule(line) && !isRule(lines[at + 1]) && !isNumbers(line)) block.push(cells(line).join(": "));
  }
  end();
  return blocks;
}

const pages = readdirSync(`${ROOT}/docs`).filter((name) => name.endsWith(".md")).sort();
for (const file of ["README.md", ...pages.map((name) => `docs/${name}`), "models/mini/README.md"]) {
  const blocks = blocksOf(readFileSync(`${ROOT}/${file}`, "utf8"));
  const kept = blocks.filter(({ text }) => text.split(" ").length >= FEWEST_WORDS);
  for (const [i, block] of kept.entries()) console.log(JSON.stringify({ id: `${file}:${i + 1}`, file, ...block }));
}
