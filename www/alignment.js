// Late interaction, on demand: which token of the best hit each token of the query matched, by the model "mini-late".
import { explainMaxsim, load } from "./dist/index.js";

import { $, duration, element, latest, two } from "./dom.js";

/** A token's part of a text; the marker, and what fills a query up, have none. */
const wordOf = (text, range) => (range ? text.slice(...range).trim() || "␣" : "·");

function heated(tag, text, share) {
  const node = element(tag, { className: "token", textContent: text });
  node.style.setProperty("--heat", `${Math.round(Math.max(0, Math.min(1, share)) * 100)}%`);
  return node;
}

/** The tokens of a text as elements between what is no token; `heat` has a share by row. */
function tokensOf(text, encoded, heat) {
  const parts = [];
  let end = 0;
  for (let row = 0; row < encoded.tokens.length; row++) {
    const range = encoded.range(row);
    if (!range || range[0] < end) continue; // several tokens of one character have the same place
    const token = text.slice(...range);
    const node = heated("span", token.trimStart(), heat.get(row) ?? 0);
    node.dataset.row = row;
    parts.push(text.slice(end, range[0]), token.slice(0, token.length - token.trimStart().length), node);
    end = range[1];
  }
  return [...parts, text.slice(end)];
}

function show(query, text, q, d, { tokens, similarities }) {
  const heat = new Map();
  for (const [i, row] of tokens.entries()) heat.set(row, Math.max(heat.get(row) ?? 0, similarities[i]));
  $("aligned-text").replaceChildren(...tokensOf(text, d, heat));

  const pair = (i) => {
    const [from, to] = [wordOf(query, q.range(i)), wordOf(text, d.range(tokens[i]))];
    $("aligned-pair").textContent = `${from} → ${to}  ${two(similarities[i])}`;
    for (const lit of $("aligned-text").querySelectorAll(".lit")) lit.classList.remove("lit");
    $("aligned-text").querySelector(`[data-row="${tokens[i]}"]`)?.classList.add("lit");
  };
  const buttons = Array.from(similarities, (similarity, i) => {
    const button = heated("button", wordOf(query, q.range(i)), similarity);
    button.type = "button";
    button.classList.toggle("filler", !q.range(i));
    button.onclick = button.onpointerenter = button.onfocus = () => pair(i);
    return button;
  });
  $("aligned-query").replaceChildren(...buttons);
  const sum = similarities.reduce((a, b) => a + b, 0);
  $("aligned-score").textContent = `${two(sum)}, the sum over ${similarities.length} tokens of the query`;
  pair(similarities.indexOf(Math.max(...similarities)));
  $("aligned").hidden = false;
}

/** Makes the panel work; gives a function that tells it the query and the text to align. */
export function startAlignment() {
  let pair = {};
  let loading, started;

  const align = latest(async (signal) => {
    const { query, text } = pair;
    if (!text) return void ($("aligned").hidden = true);
    const model = await loading;
    const [q, d] = [await model.encodeQuery(query, { signal }), await model.encodeDocument(text, { signal })];
    show(query, text, q, d, await explainMaxsim(q, d, [0, 0], { signal }));
    if (!$("align").hidden) {
      $("align").hidden = true;
      const time = duration(performance.now() - started);
      $("align-hint").textContent = `mini-late was there after ${time}. It follows what you type.`;
    }
  });

  $("align").addEventListener("click", () => {
    started = performance.now();
    $("align").disabled = true;
    $("align").textContent = "Loading mini-late…";
    loading = load("mini-late");
    align();
  });

  return (query, text) => {
    if (query === pair.query && text === pair.text) return;
    pair = { query, text };
    if (loading) align();
    else $("align").disabled = !text;
  };
}
