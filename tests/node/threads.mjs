// Embeds many texts with "mini", alone and with workers, also after a call that was cancelled, and prints whether the
// vectors are the same. The package is that at the address given, or the one that was built.
const [, , root = new URL("../../dist/", import.meta.url).href] = process.argv;
const { load } = await import(`${root}index.js`);
await import(`${root}mini.js`);

const texts = Array.from({ length: 100 }, (_, i) => "A text of some length, and one more word. ".repeat(1 + (i % 7)));
const embedded = async (model, options) => String((await model.embed(texts, options)).data);

const outcomes = [];
let want;
for (const [threads, worker] of [[1, true], [3, true], [2, false]]) {
  const notices = [];
  const onProgress = (p) => p.stage === "notice" && notices.push(p.message);
  const model = await load("mini", { device: "cpu", threads, worker, onProgress });
  const stop = new AbortController();
  const cancelled = embedded(model, { signal: stop.signal, onProgress: (p) => p.tokens > 500 && stop.abort() });
  const { code } = await cancelled.then(() => ({}), (error) => error);
  const [first, second] = [await embedded(model, { onProgress }), await embedded(model, { onProgress })];
  want ??= first;
  outcomes.push({ threads: model.info.threads, code, same: [first === want, second === want], notices });
  await model.dispose();
}
console.log(JSON.stringify(outcomes));
