// A square for every two lines: how alike they are.
import { cosineSimilarity } from "./dist/index.js";

import { $, element, two } from "./dom.js";

export function showMap(lines, vectors) {
  const cosines = lines.map((_, i) => lines.map((_, j) => cosineSimilarity(vectors.row(i), vectors.row(j))));
  const low = Math.min(...cosines.flat());
  $("low").textContent = two(low);
  const corner = element("td", { className: "corner" });
  const head = element("tr", {}, corner, ...lines.map((_, j) => heading(j, "col")));
  const squares = (i) => cosines[i].map((cosine, j) => square(cosine, low, i, j));
  const rows = lines.map((_, i) => element("tr", {}, heading(i, "row"), ...squares(i)));
  $("map").replaceChildren($("map").caption, element("thead", {}, head), element("tbody", {}, ...rows));
  $("map").classList.toggle("dense", lines.length > 14);

  const show = (i, j, what = "") => {
    for (const lit of $("map").querySelectorAll(".lit")) lit.classList.remove("lit");
    const lit = [`th[data-row="${i}"]`, `th[data-col="${j}"]`, `td[data-i="${i}"][data-j="${j}"]`];
    for (const name of lit) $("map").querySelector(name).classList.add("lit");
    const number = element("strong", { textContent: two(cosines[i][j]) });
    const names = [i, j].map((k) => element("span", { textContent: `${+k + 1}. ${lines[k]}` }));
    $("pair").replaceChildren(number, what, ...names);
  };
  $("map").onpointerover = ({ target }) => {
    const { i, j } = target.closest("td")?.dataset ?? {};
    if (i !== undefined) show(i, j);
  };
  const pairs = lines.flatMap((_, i) => lines.slice(0, i).map((_, j) => [j, i]));
  pairs.sort(([a, b], [c, d]) => cosines[c][d] - cosines[a][b]);
  if (pairs.length) show(...pairs[0], " the most alike of all; point at a square to see its two lines");
}

function heading(index, scope) {
  const th = element("th", { scope, textContent: index + 1 });
  th.dataset[scope] = index;
  return th;
}

function square(cosine, low, i, j) {
  const td = element("td", {}, element("span", { textContent: two(cosine) }));
  const part = Math.min(1, (cosine - low) / (1 - low || 1));
  const [from, to] = part < 0.5 ? ["--cold", "--warm"] : ["--warm", "--hot"];
  td.style.setProperty("--from", `var(${from})`);
  td.style.setProperty("--to", `var(${to})`);
  td.style.setProperty("--part", `${(part < 0.5 ? part : part - 0.5) * 200}%`);
  td.style.setProperty("--on", part < 0.6 ? "var(--ink)" : "var(--card)");
  Object.assign(td.dataset, { i, j });
  return td;
}
