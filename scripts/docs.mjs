// Writes what the demo searches in: a JSON line for each paragraph, list item and row of a table of this repository's
// documentation, and for each paragraph at the head of a shader. Code, and tables of numbers, are left out.
//   node scripts/docs.mjs > docs.jsonl
//
//   {"id", "file", "anchor": of the heading on GitHub, "headings": from the file's title down, "text": without marks}
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const FEWEST_WORDS = 6;

const FRONT_MATTER = /^---\n.*?\n---\n/s;
const CODE = /^( *)```.*?^\1```$|^ {4}.*?$/gms;
const MEASURED = /<!-- bench:.*?<!-- \/bench -->/gs;

/** What separates the head of a table from its rows. */
const isRule = (line = "") => /^\|[|\s:-]*$/.test(line);
const cells = (row) => row.split(/(?<!\\)\|/).map((cell) => cell.trim()).filter(Boolean);

/** Markdown without its marks. */
function plain(text) {
  return text
    .replace(/<!--.*?-->/gs, "")
    .replace(/!?\[([^\]]*)\]\([^)]*\)/g, "$1")
    .replace(/`|\*\*|(?<!\w)_|_(?!\w)/g, "")
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
    else if (!isRule(line) && !isRule(lines[at + 1])) block.push(cells(line).join(": "));
  }
  end();
  return blocks;
}

/** The paragraphs of the comment that a shader begins with, without formulas. */
function headOf(shader) {
  const comment = /^(?:\/\/.*\n)+/.exec(shader)?.[0] ?? "";
  return comment.split(/^\/\/\s*$/m).map((paragraph) => {
    const lines = paragraph.split("\n").filter((line) => !line.startsWith("//   "));
    return { headings: [], anchor: "", text: plain(lines.map((line) => line.replace(/^\/\/ ?/, "")).join(" ")) };
  });
}

const files = (folder, name) => {
  const paths = readdirSync(`${ROOT}/${folder}`, { recursive: true });
  return paths.filter((path) => name.test(path)).sort().map((path) => `${folder}/${path}`);
};
const shaders = files("shaders", /^\w+\.wgsl$/);
for (const file of ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", ...files("models", /(^|\/)README\.md$/), ...shaders]) {
  const content = readFileSync(`${ROOT}/${file}`, "utf8");
  const blocks = shaders.includes(file) ? headOf(content) : blocksOf(content);
  const kept = blocks.filter(({ text }) => text.split(" ").length >= FEWEST_WORDS);
  for (const [i, block] of kept.entries()) console.log(JSON.stringify({ id: `${file}:${i + 1}`, file, ...block }));
}
