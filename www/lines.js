// A few lines of one's own: their vectors as pictures, which are alike, and a search among them.
import { createIndex } from "./dist/index.js";

import { $, duration, element, latest, showFailure, two } from "./dom.js";
import { showMap } from "./map.js";

const MOST_LINES = 24;
const MOST_HITS = 8;

/** A vector as a strip of colours, one pixel a dimension. */
function fingerprint(vector) {
  const canvas = element("canvas", { width: vector.length, height: 1 });
  canvas.setAttribute("aria-hidden", "true");
  const colour = (name) => getComputedStyle(document.querySelector(`.${name}`)).color;
  const [plus, minus] = [colour("plus"), colour("minus")];
  const context = canvas.getContext("2d");
  const largest = Math.max(1, ...vector.map(Math.abs));
  for (const [x, value] of vector.entries()) {
    context.globalAlpha = Math.abs(value) / largest;
    context.fillStyle = value < 0 ? minus : plus;
    context.fillRect(x, 0, 1, 1);
  }
  return canvas;
}

/** Lines by index, with their scores if something was looked for. */
function showRanking(lines, vectors, ranked) {
  const items = ranked.map(({ line, score }) => {
    const text = element("span", { className: "text", textContent: lines[line] });
    const number = element("span", { className: "score", textContent: score === undefined ? "" : two(score) });
    number.style.setProperty("--share", `${Math.max(0, score ?? 0) * 100}%`);
    return element("li", {}, number, text, fingerprint(vectors.row(line)));
  });
  $("results").replaceChildren(...items);
}

/** Embeds the sample with `model`, then whatever lines are given. */
export async function startLines(model, showFacts) {
  const index = await createIndex({ model });
  let lines, vectors;

  const search = latest(async (signal) => {
    const text = $("line-query").value.trim();
    const hits = text && (await index.search(text, { k: MOST_HITS, signal }));
    const all = lines.map((_, line) => ({ line }));
    showRanking(lines, vectors, hits ? hits.map(({ id, score }) => ({ line: Number(id), score })) : all);
  });

  async function embedLines(text) {
    lines = text.split("\n").map((line) => line.trim()).filter(Boolean).slice(0, MOST_LINES);
    const started = performance.now();
    vectors = await model.embed(lines);
    const time = duration(performance.now() - started);
    await index.remove(index.ids());
    await index.add(lines.map((_, line) => ({ id: `${line}`, vector: vectors.row(line) })));
    $("lines").value = lines.join("\n");
    showFacts({ "Lines embedded in": `${time} (${lines.length} texts, ${vectors.usage.tokens} tokens)` });
    showMap(lines, vectors);
    await search();
  }

  await embedLines(await (await fetch("sample.txt")).text());
  $("line-query").addEventListener("input", search);
  $("edit").addEventListener("submit", (event) => {
    event.preventDefault();
    embedLines($("lines").value).catch(showFailure);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", search);
  $("playground").dataset.ready = "true";
}
