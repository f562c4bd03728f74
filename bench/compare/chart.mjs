// Draws how many tokens a second each engine makes in a page of one text of 128 tokens, a bar each. Readable on light and
// dark pages.
import { placeOf, ranked } from "./tables.mjs";

const [WIDTH, LEFT, RIGHT, BAR, GAP, HEAD] = [760, 300, 60, 16, 6, 34];
const FORMS = { f32: "float32 weights", q8: "8-bit weights", q4: "4-bit weights" };
const CASE = "128";
const STYLE = `
  svg { --page: #ffffff; --ink: #1f2328; --soft: #59636e; --ours: #0969da; --other: #afb8c1; }
  @media (prefers-color-scheme: dark) {
    svg { --page: #0d1117; --ink: #e6edf3; --soft: #9198a1; --ours: #58a6ff; --other: #484f58; }
  }
  text { font: 12px system-ui, sans-serif; fill: var(--soft); }
  .title { font-size: 16px; font-weight: 600; fill: var(--ink); }
  .form { font-size: 13px; font-weight: 600; fill: var(--ink); }
  .page { fill: var(--page); }
`;

const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll("`", "").replaceAll('"', "&quot;");

/** The chart of a result of run.mjs; an empty one says that nothing was measured. */
export function speedChart(report) {
  const parts = [];
  const write = (text, x, y, more = "") => parts.push(`<text x="${x}" y="${y.toFixed(1)}" ${more}>${escaped(text)}</text>`);
  const groups = Object.keys(FORMS).map((form) => ({
    form, rows: report ? ranked(report, form).filter(({ where, cases }) => where === "page" && cases[CASE]) : [],
  })).filter(({ rows }) => rows.length > 0);
  const most = Math.max(1, ...groups.flatMap(({ rows }) => rows.map(({ cases }) => cases[CASE].tokens_per_s)));
  let y = 64;
  for (const { form, rows } of groups) {
    write(FORMS[form], 24, y + 4, 'class="form"');
    y += HEAD - 18;
    for (const row of rows) {
      const rate = row.cases[CASE].tokens_per_s;
      const length = Math.max(1, (rate / most) * (WIDTH - LEFT - RIGHT));
      const colour = row.what === "pplx-embed-web" ? "ours" : "other";
      write(`${row.what}, ${placeOf(row)}`, LEFT - 8, y + BAR - 4, 'text-anchor="end"');
      parts.push(`<rect style="fill: var(--${colour})" x="${LEFT}" y="${y}" width="${length.toFixed(1)}" height="${BAR}" rx="2"/>`);
      write(String(rate), LEFT + length + 6, y + BAR - 4);
      y += BAR + GAP;
    }
    y += HEAD - 12;
  }
  write("Tokens a second in a page, one text of 128 tokens", 24, 32, 'class="title"');
  const { machine, layers } = report ?? {};
  const where = report && `${layers} layers of the 0.6B width, ${machine.cpu}, ${machine.cores} cores, headless Chromium`;
  write(where ?? "nothing has been measured yet", 24, y + 6);
  const title = "Tokens a second of each engine in a page, for float32, 8-bit and 4-bit weights";
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${Math.ceil(y + 24)}" role="img" aria-label="${title}">
<style>${STYLE}</style>
<rect class="page" width="${WIDTH}" height="${Math.ceil(y + 24)}" rx="8"/>
${parts.join("\n")}
</svg>
`;
}
