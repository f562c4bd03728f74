// Draws nDCG@10 of mini against the bytes of a vector, a line for each form. Readable on light and dark pages.

const [WIDTH, HEIGHT] = [720, 400];
const [LEFT, RIGHT, TOP, BOTTOM] = [56, 148, 64, 52];
const [LEAST, MOST] = [30, 75]; // per cent
const [FEWEST, LARGEST] = [8, 1024]; // bytes
const FORMS = [
  { form: "float", label: "float32", bytes: (dimensions) => 4 * dimensions },
  { form: "int8", label: "int8", bytes: (dimensions) => dimensions },
  { form: "binary", label: "binary", bytes: (dimensions) => dimensions / 8 },
];
const LEVELS = [
  { row: "teacher", label: "teacher (MiniLM)" },
  { row: "bm25", label: "BM25 (words)" },
];
const SIZES = [64, 128, 192, 256];

const STYLE = `
  svg { --page: #ffffff; --ink: #1f2328; --soft: #59636e; --rule: #d8dee4; --float: #8250df; --int8: #0969da; --binary: #bc4c00; }
  @media (prefers-color-scheme: dark) {
    svg { --page: #0d1117; --ink: #e6edf3; --soft: #9198a1; --rule: #30363d; --float: #c297ff; --int8: #58a6ff; --binary: #f0883e; }
  }
  text { font: 13px system-ui, sans-serif; fill: var(--soft); }
  .title { font-size: 16px; font-weight: 600; fill: var(--ink); }
  .page { fill: var(--page); }
  .rule { stroke: var(--rule); }
  .level { stroke: var(--soft); stroke-dasharray: 5 4; }
  .line { fill: none; stroke-width: 2.5; }
`;

const x = (bytes) => LEFT + (Math.log2(bytes / FEWEST) / Math.log2(LARGEST / FEWEST)) * (WIDTH - LEFT - RIGHT);
const y = (percent) => HEIGHT - BOTTOM - ((percent - LEAST) / (MOST - LEAST)) * (HEIGHT - TOP - BOTTOM);
const at = (number) => number.toFixed(1);

/** `scores` are those of models/mini/eval/scores.json; the means are of its first `english` sets. */
export function qualityChart(scores, english) {
  const sets = Object.values(scores).slice(0, english);
  const mean = (row) => (100 * sets.reduce((sum, set) => sum + set[row]["ndcg@10"], 0)) / sets.length;
  const parts = [];
  const write = (text, px, py, attributes = "") => parts.push(`<text x="${at(px)}" y="${at(py)}" ${attributes}>${text}</text>`);

  for (let percent = LEAST; percent <= MOST; percent += 15) {
    parts.push(`<path class="rule" d="M${LEFT} ${at(y(percent))}H${WIDTH - RIGHT}"/>`);
    write(percent, LEFT - 8, y(percent) + 4, 'text-anchor="end"');
  }
  for (let bytes = FEWEST; bytes <= LARGEST; bytes *= 2) write(bytes, x(bytes), HEIGHT - BOTTOM + 20, 'text-anchor="middle"');
  for (const { row, label } of LEVELS) {
    parts.push(`<path class="level" d="M${LEFT} ${at(y(mean(row)))}H${WIDTH - RIGHT}"/>`);
    write(label, WIDTH - RIGHT + 8, y(mean(row)) + 4);
  }
  for (const { form, label, bytes } of FORMS) {
    const points = SIZES.map((size) => [x(bytes(size)), y(mean(`${form} ${size}`))]);
    const line = points.map(([px, py]) => `${at(px)} ${at(py)}`).join("L");
    parts.push(`<path class="line" style="stroke: var(--${form})" d="M${line}"/>`);
    for (const [px, py] of points) parts.push(`<circle style="fill: var(--${form})" cx="${at(px)}" cy="${at(py)}" r="4"/>`);
    const [px, py] = points.at(-1);
    write(label, px, py - 12, `text-anchor="middle" style="fill: var(--${form})" font-weight="600"`);
  }
  write("How well mini finds: mean nDCG@10 of six English sets, %", LEFT - 32, 30, 'class="title"');
  write("bytes of a vector (points: 64, 128, 192 and 256 dimensions)", (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, 'text-anchor="middle"');

  const title = "Mean nDCG@10 of mini against the bytes of a vector, for float32, int8 and binary, with BM25 and the teacher";
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${title}">
<style>${STYLE}</style>
<rect class="page" width="${WIDTH}" height="${HEIGHT}" rx="8"/>
${parts.join("\n")}
</svg>
`;
}
