// Run in a runtime that has WebGPU: the vectors of transformers, from a GPU. Prints the adapter, or "none" where there is
// none, which must be an error with a code.
import assert from "node:assert/strict";
import { join } from "node:path";

import { CHECKPOINTS, failure } from "./support.mjs";
import { fixture, sameVectors } from "../web/fixtures.mjs";
import { load } from "pplx-embed-web";

const checkpoint = join(CHECKPOINTS, "f32-odd");
const adapter = await globalThis.navigator?.gpu?.requestAdapter();
if (adapter) {
  const { texts, rows } = fixture("f32-odd", { short: true });
  const model = await load(checkpoint, { device: "webgpu" });
  assert.deepEqual([model.info.device, model.info.adapter.backend], ["webgpu", "webgpu"]);
  sameVectors((await model.embed(texts, { dtype: "float32" })).toArray(), rows("pooled"));
  await model.dispose();
  console.log(model.info.adapter.name);
} else {
  assert.equal((await failure(load(checkpoint, { device: "webgpu" }))).code, "no-adapter");
  console.log("none");
}
