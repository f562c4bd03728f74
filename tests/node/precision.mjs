// Loads mini with precision "exact" and "fast", on one and two threads; writes what ran and the vectors, as JSON.
import { load } from "pplx-embed-web";
import "pplx-embed-web/mini";

/** A module with i8x16.relaxed_swizzle. */
const RELAXED = new Uint8Array([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 15, 1, 13, 0, 65, 1, 253, 15, 65, 2, 253, 15, 253, 128, 2, 11,
]);

const made = [];
for (const [precision, threads] of [["exact", 1], ["fast", 1], ["fast", 2]]) {
  const model = await load("mini", { device: "cpu", precision, threads });
  made.push({ ran: model.info.precision, vector: [...(await model.embed("a river", { dtype: "float32" })).data] });
  await model.dispose();
}
console.log(JSON.stringify({ relaxed: WebAssembly.validate(RELAXED), made }));
