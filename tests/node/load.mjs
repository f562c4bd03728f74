// Run as a process of its own: loads a model, embeds a text, and prints its codes and what was said, as JSON.
//   node load.mjs ID OPTIONS
import { load } from "pplx-embed-web";

const [id, options] = process.argv.slice(2);
const notices = [];
const onProgress = (p) => p.stage === "notice" && notices.push(p.message);
const model = await load(id, { device: "cpu", onProgress, ...JSON.parse(options ?? "{}") });
const codes = [...(await model.embed("a red bicycle")).data];
console.log(JSON.stringify({ codes, notices }));
await model.dispose();
