// What every app here does, as a user's would: the small model in a worker and in the page's thread, and an index that is
// kept. Its result stands in the page, where the test reads it.
import { createIndex, load, openIndex } from "pplx-embed-web";
import "pplx-embed-web/mini";

const TEXTS = ["When does the train leave?", "The train to the coast leaves at seven.", ""];

/** The vectors of TEXTS in a worker and in this thread, the best hit of an index that was saved, and every notice. */
export async function run(options = {}) {
  const notices = [];
  const onProgress = (p) => p.stage === "notice" && notices.push(p.message);
  const vectors = {};
  for (const worker of [undefined, false]) {
    const model = await load("mini", { ...options, device: "cpu", threads: 2, worker, onProgress });
    const index = await createIndex({ model });
    await index.add(TEXTS.map((text, i) => ({ id: String(i), text })));
    await index.save("kept");
    const kept = await openIndex("kept", { model });
    const [hit] = await kept.search(TEXTS[0], { k: 1, filter: (id) => id !== "0" });
    vectors[worker === false ? "page" : "worker"] = { rows: (await model.embed(TEXTS)).toArray(), hit: hit.id };
    await model.dispose();
  }
  return { vectors, notices };
}

/** Runs, and writes what came of it into the page. */
export async function show(options) {
  let result;
  try {
    result = await run(options);
  } catch (error) {
    result = { failed: { name: error.name, code: error.code, message: error.message } };
  }
  const place = document.createElement("output");
  place.textContent = JSON.stringify(result);
  document.body.append(place);
}
