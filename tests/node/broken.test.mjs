// A package of which something is missing or cut, as copies and bundlers leave it: in Node.js, Deno and Bun each load ends with
// a typed error, or does without, and the process ends.
import assert from "node:assert/strict";
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";

import { limited } from "../web/limited.mjs";
import { FOLDER, ROOT, run, RUNTIMES } from "./support.mjs";

/** What is done to the package; how a load in a worker ends, and one in the caller's thread. */
const CASES = {
  "no wasm module": ["wasm/pplx_embed_bg.wasm", undefined, ["start", /wasm module could not be started.*pplx_embed_bg\.wasm/]],
  "an empty wasm module": ["wasm/pplx_embed_bg.wasm", "", ["start", /wasm module could not be started/]],
  "no glue": ["wasm/pplx_embed.js", undefined, ["start", /wasm module could not be started.*pplx_embed\.js/]],
  "no worker": ["worker-node.js", undefined, ["start", /worker-node\.js could not be loaded/], ["none", /^$/]],
  "an empty worker": ["worker-node.js", "", ["start", /worker-node\.js/], ["none", /^$/]],
  "a worker that throws": ["worker-node.js", "throw new Error('odd')", ["start", /worker-node\.js could not be loaded: .*odd/], ["none", /^$/]],
  "no helper": ["helper-node.js", undefined, ["none", /runs on one thread: .*helper-node\.js/]],
  "an empty helper": ["helper-node.js", "", ["none", /runs on one thread: /]],
  "no host": ["hosts/node/host.js", undefined, ["start", /a part of pplx-embed-web could not be loaded.*host\.js/]],
  "no weights": ["mini/model.safetensors", undefined, ["not-found", /model\.safetensors.*the package's files have to be served/]],
  "no tokenizer": ["mini/tokenizer.json", undefined, ["not-found", /tokenizer\.json.*the package's files have to be served/]],
};

/** Where the runtimes differ; the rest is tried in Node.js only. */
const WORKERS = ["no wasm module", "no worker", "an empty worker", "no helper", "an empty helper"];

/** A copy of the package, of which one file has other content or is not there. */
function copyWith(name, file, content) {
  const folder = join(FOLDER, name);
  mkdirSync(folder);
  cpSync(join(ROOT, "dist"), folder, { recursive: true });
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
  if (content === undefined) rmSync(join(folder, file));
  else writeFileSync(join(folder, file), content);
  return folder;
}

/** How loads end with the package in `folder`. */
async function outcomesOf(folder, runtime, ...only) {
  const script = join(ROOT, "tests/node/broken.mjs");
  const { out, err, code } = await run([script, pathToFileURL(folder).href, ...only], { runtime });
  assert.equal(code, 0, `${folder}: ${out} ${err}`);
  rmSync(folder, { recursive: true });
  return JSON.parse(out);
}

for (const [name, runtime] of Object.entries(RUNTIMES)) {
  test(`${name}: a package of which something is missing`, { skip: runtime.why ?? false }, async () => {
    for (const [what, [file, content, inWorker, inThread = inWorker]] of Object.entries(CASES)) {
      if (name !== "node" && !WORKERS.includes(what)) continue;
      const outcomes = await outcomesOf(copyWith(`${name} ${what}`, file, content), runtime);
      for (const [worker, [wanted, message]] of Object.entries({ true: inWorker, false: inThread })) {
        const got = outcomes[worker];
        assert.equal(got.code, wanted, `${what}, worker: ${worker}: ${got.name} ${got.message}`);
        assert.match(got.message, message, what);
      }
    }
  });

  // In the caller's thread it ends the process, as every error does that nobody can catch.
  test(`${name}: a module whose memory cannot grow, in a worker`, { skip: runtime.why ?? false }, async () => {
    const file = "wasm/pplx_embed_bg.wasm";
    for (const pages of [64, 300]) {
      const module = limited(readFileSync(join(ROOT, "dist", file)), pages);
      const { true: got } = await outcomesOf(copyWith(`${name} ${pages}`, file, module), runtime, "worker");
      assert.equal(got.code, "out-of-memory", got.message);
    }
  });
}
