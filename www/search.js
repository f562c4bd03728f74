// Search in this repository's documentation: a paragraph an item, and in each hit the sentence that is nearest.
import { cosineSimilarity, createIndex } from "./dist/index.js";

import { startAlignment } from "./alignment.js";
import { $, duration, element, latest, two } from "./dom.js";

const MOST_HITS = 6;
/** How many paragraphs are embedded in one call. */
const BATCH = 24;
const FIRST = "how do I cancel a download?";
/** Texts are cut into sentences in the language that they are in. */
const segmenter = new Intl.Segmenter("en", { granularity: "sentence" });

const sentencesOf = (text) => Array.from(segmenter.segment(text), ({ segment }) => segment.trim());

/** Vectors of sentences, each made once. */
class Sentences {
  #model;
  #vectors = new Map();

  constructor(model) {
    this.#model = model;
  }

  async of(texts, signal) {
    const fresh = [...new Set(texts)].filter((text) => !this.#vectors.has(text));
    const made = await this.#model.embed(fresh, { signal });
    for (const [i, text] of fresh.entries()) this.#vectors.set(text, made.row(i).slice());
    return texts.map((text) => this.#vectors.get(text));
  }
}

/** A paragraph's sentences, of which the one nearest to the query is marked; of long ones only what is around it. */
function snippet(sentences, cosines) {
  const best = cosines.indexOf(Math.max(...cosines));
  const [from, to] = [Math.max(0, best - 1), best + 3];
  const parts = sentences.slice(from, to).flatMap((text, i) => [
    from + i === best && sentences.length > 1 ? element("mark", { textContent: text }) : text,
    " ",
  ]);
  const [before, after] = [from > 0 ? "… " : "", to < sentences.length ? "…" : ""];
  return element("p", {}, before, ...parts, after);
}

function hitElement({ score, data }, sentences, cosines) {
  const { file, anchor, headings } = data;
  const under = headings.slice(1).join(" › ");
  const place = element("code", { textContent: anchor ? `${file}#${anchor}` : file });
  const path = element("h3", {}, place, under && ` ${under}`);
  const number = element("span", { className: "score", textContent: two(score) });
  number.style.setProperty("--share", `${Math.max(0, score) * 100}%`);
  return element("li", {}, number, element("div", {}, path, snippet(sentences, cosines)));
}

/** Puts what there is to be found into `index`, a few items at a time so that searches come between. */
async function fill(index, showFacts, search) {
  const lines = (await (await fetch("docs.jsonl")).text()).trim().split("\n");
  const items = lines.map((line) => JSON.parse(line)).map(({ id, ...data }) => ({ id, text: data.text, data }));
  let [time, tokens] = [0, 0];
  for (let at = 0; at < items.length; at += BATCH) {
    $("indexing").textContent = `Reading the documentation: ${at} of ${items.length} paragraphs`;
    const started = performance.now();
    tokens += (await index.add(items.slice(at, at + BATCH))).tokens;
    time += performance.now() - started;
    await search();
  }
  $("indexing").hidden = true;
  showFacts({ "Documentation indexed in": `${duration(time)} (${items.length} paragraphs, ${tokens} tokens)` });
}

/** Indexes the documentation with `model`, and searches as one types. */
export async function startSearch(model, showFacts) {
  const index = await createIndex({ model });
  const sentences = new Sentences(model);
  const showAlignment = startAlignment();

  const search = latest(async (signal) => {
    const query = $("query").value.trim();
    const hits = query ? await index.search(query, { k: MOST_HITS, signal }) : [];
    const texts = hits.map(({ data }) => sentencesOf(data.text));
    const [wanted, ...rest] = await sentences.of([query, ...texts.flat()], signal);
    const shown = hits.map((hit, i) => {
      const own = rest.splice(0, texts[i].length);
      return hitElement(hit, texts[i], own.map((vector) => cosineSimilarity(wanted, vector)));
    });
    $("hits").replaceChildren(...shown);
    $("hits").dataset.query = query;
    showAlignment(query, hits[0]?.data.text);
  });

  $("query").addEventListener("input", () => search());
  for (const example of document.querySelectorAll("#examples button")) {
    example.addEventListener("click", () => {
      $("query").value = example.textContent;
      search();
    });
  }
  $("query").value ||= FIRST;
  await fill(index, showFacts, search);
}
