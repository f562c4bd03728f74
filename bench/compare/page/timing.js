// The loop that times an engine, the same for every engine in a page and in Node.
//
// An engine is { embed({ texts, ids }), dispose?(), pads? }; embed resolves to one Float32Array [H] a text, the mean of its
// final hidden states. An engine that `pads` runs a batch at the length of its longest text; where it is quicker one text
// after another, that is what counts.

/** What an optimizing compiler needs before its code is the one that is timed. */
const WARM_UP_MS = 1500;
/** A case whose single run takes longer than this has said enough with one. */
const LONG_MS = 4000;

const since = (start) => performance.now() - start;

/** `open` makes the engine; `settings` is { ms: the time for a case, most: runs at most }. */
export async function measure(open, cases, { ms, most }) {
  let start = performance.now();
  const engine = await open();
  const load_ms = since(start);
  try {
    start = performance.now();
    await engine.embed(Object.values(cases)[0]);
    const first_ms = since(start);
    while (since(start) < WARM_UP_MS) await engine.embed(Object.values(cases)[0]);
    const results = {};
    for (const [name, batch] of Object.entries(cases)) results[name] = await timeCase(engine, batch, ms, most);
    return { load_ms, first_ms, info: engine.info, cases: results };
  } finally {
    await engine.dispose?.();
  }
}

async function timeCase(engine, batch, ms, most) {
  const run = async (embed) => {
    const start = performance.now();
    const vectors = await embed(batch);
    return { time: since(start), vectors };
  };
  let embed = (batch) => engine.embed(batch);
  let best = await run(embed);
  const result = {};
  if (engine.pads && batch.texts.length > 1) {
    const single = (batch) => oneByOne(engine, batch);
    const other = await run(single);
    result.batch = other.time < best.time ? "one by one" : "padded";
    if (other.time < best.time) [embed, best] = [single, other];
  }
  const cosine = Math.min(...best.vectors.map((vector, i) => cosineOf(vector, batch.means[i])));
  const times = best.time > LONG_MS ? [best.time] : [];
  let spent = 0;
  while (best.time <= LONG_MS && times.length < most && (times.length === 0 || spent < ms)) {
    const { time } = await run(embed);
    times.push(time);
    spent += time;
  }
  return { ...result, times, cosine };
}

async function oneByOne(engine, { texts, ids }) {
  const vectors = [];
  for (let i = 0; i < texts.length; i++) {
    // An engine may give a view of memory that its next call overwrites.
    vectors.push((await engine.embed({ texts: [texts[i]], ids: [ids[i]] }))[0].slice());
  }
  return vectors;
}

export function cosineOf(a, b) {
  let [ab, aa, bb] = [0, 0, 0];
  for (let i = 0; i < b.length; i++) {
    ab += a[i] * b[i];
    aa += a[i] * a[i];
    bb += b[i] * b[i];
  }
  return ab / Math.sqrt(aa * bb);
}

/** cases.json as engines take it; `wanted` are the names of cases. */
export function readCases({ cases }, wanted) {
  const floats = (base64) => new Float32Array(Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)).buffer);
  const batch = (items) => ({
    texts: items.map(({ text }) => text), ids: items.map(({ ids }) => ids), means: items.map(({ mean }) => floats(mean)),
  });
  return Object.fromEntries(wanted.map((name) => [name, batch(cases[name])]));
}
