// The demo page: loads the bundled stand-in model from this site, embeds a few lines, and shows what came of it.
import { cosineSimilarity, createIndex, load } from "./dist/index.js";

const MOST_LINES = 24;
const MOST_HITS = 8;
const $ = (id) => document.getElementById(id);

function element(tag, attributes = {}, ...children) {
  const node = Object.assign(document.createElement(tag), attributes);
  node.append(...children);
  return node;
}

const bytes = (n) => (n >= 1e6 ? `${(n / 1e6).toFixed(1)} MB` : `${(n / 1e3).toFixed(0)} kB`);
const two = (x) => (Math.round(x * 100) / 100 + 0).toFixed(2); // + 0 makes -0 a 0
const milliseconds = (ms) => (ms >= 10 ? `${ms.toFixed(0)} ms` : `${ms.toFixed(1)} ms`);

// --- loading --------------------------------------------------------------------------------------------------------

function showProgress({ stage, allLoaded, allTotal, cached, secondsLeft }) {
  if (stage === "download") {
    const what = cached ? "Reading the model from the cache" : "Downloading the model";
    const left = secondsLeft ? `, ${secondsLeft.toFixed(0)} s left` : "";
    $("status").textContent = `${what}: ${bytes(allLoaded)} of ${bytes(allTotal)}${left}`;
    Object.assign($("progress"), { value: allLoaded, max: allTotal });
  } else if (stage === "compile") {
    $("status").textContent = "Compiling the kernels, and checking each on your GPU";
    $("progress").removeAttribute("value");
  }
}

function showFailure({ code, message }) {
  const browsers = " Try a current Chrome, Edge, Safari or Firefox, over https or on localhost.";
  const help = code === "no-adapter" ? browsers : "";
  $("status").textContent = `${message}.${help}`;
  $("loading").classList.add("failed");
  $("loading").hidden = false;
  $("progress").hidden = true;
}

function showInfo(info, facts) {
  const { adapter, kernels } = info;
  const rows = {
    "Model": `${info.id}: ${info.layers} layers, ${info.dimensions} dimensions, up to ${info.maxTokens} tokens`,
    "Adapter": `${adapter.name || "unnamed"} (${adapter.software ? "software: right, but slow" : "hardware"})`,
    "Weights": `${info.weights}, ${bytes(info.bytes.device)} on the GPU and ${bytes(info.bytes.host)} in memory`,
    "Loaded in": milliseconds(facts.loading),
    "Lines embedded in": `${milliseconds(facts.embedding)} (${facts.texts} texts, ${facts.tokens} tokens)`,
    "Kernels, each checked on this adapter": kernels.join(", "),
  };
  const entries = Object.entries(rows).flatMap(([name, value]) => [
    element("dt", { textContent: name }),
    element("dd", { textContent: value }),
  ]);
  const pairs = [];
  while (entries.length) pairs.push(element("div", {}, ...entries.splice(0, 2)));
  $("info").replaceChildren(...pairs);
}

// --- the lines ------------------------------------------------------------------------------------------------------

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
    const bar = element("span", { className: "text", textContent: lines[line] });
    bar.style.setProperty("--share", `${Math.max(0, score ?? 0) * 100}%`);
    const number = element("span", { className: "score", textContent: score === undefined ? "" : two(score) });
    return element("li", {}, number, bar, fingerprint(vectors.row(line)));
  });
  $("results").replaceChildren(...items);
}

function showMap(lines, vectors) {
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

// --- the page -------------------------------------------------------------------------------------------------------

async function main() {
  const started = performance.now();
  const sample = fetch("sample.txt").then((response) => response.text());
  const model = await load("demo", { endpoint: "models", onProgress: showProgress });
  const loading = performance.now() - started;
  const index = await createIndex({ model });
  let lines, vectors, typing;

  async function embedLines(text) {
    lines = text.split("\n").map((line) => line.trim()).filter(Boolean).slice(0, MOST_LINES);
    const started = performance.now();
    vectors = await model.embed(lines);
    const embedding = performance.now() - started;
    await index.remove(index.ids());
    await index.add(lines.map((_, line) => ({ id: `${line}`, vector: vectors.row(line) })));
    $("lines").value = lines.join("\n");
    showInfo(model.info, { loading, embedding, texts: lines.length, tokens: vectors.usage.tokens });
    showMap(lines, vectors);
    await search();
  }

  async function search() {
    typing?.abort(); // what was typed before no longer matters
    typing = new AbortController();
    const text = $("query").value.trim();
    try {
      const hits = text && (await index.search(text, { k: MOST_HITS, signal: typing.signal }));
      const all = lines.map((_, line) => ({ line }));
      showRanking(lines, vectors, hits ? hits.map(({ id, score }) => ({ line: Number(id), score })) : all);
    } catch (error) {
      if (error.code !== "aborted") throw error;
    }
  }

  await embedLines(await sample);
  $("loading").hidden = true;
  $("ready").hidden = false;
  $("query").addEventListener("input", () => search().catch(showFailure));
  $("edit").addEventListener("submit", (event) => {
    event.preventDefault();
    embedLines($("lines").value).catch(showFailure);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => search().catch(showFailure));
}

main().catch(showFailure);
