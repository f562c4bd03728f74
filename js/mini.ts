/**
 * Brings `mini`, the small model that comes with this package: 7.5 million parameters, trained on texts of Debian, not
 * by Perplexity. Once this is imported, `load` knows `"mini"` (one vector for each text), `"mini-context"` (one for each
 * chunk of a document) and `"mini-late"` (one for each token). All three read the same 7.5 MB, which are beside this
 * script, when they are loaded.
 *
 * @example
 * ```ts
 * import { load } from "pplx-embed-web";
 * import "pplx-embed-web/mini";
 *
 * const model = await load("mini");
 * ```
 *
 * @packageDocumentation
 */
import { bundle } from "./engine/bundled.js";
import { settings } from "./mini/settings.js";

// Bundlers look for exactly these expressions. In a script that is no module they fail, so they wait until they are needed.
const shared = () => ({
  "model.safetensors": new URL("./mini/model.safetensors", import.meta.url).href,
  "tokenizer.json": new URL("./mini/tokenizer.json", import.meta.url).href,
});
const projection = () => new URL("./mini/late/1_Dense/model.safetensors", import.meta.url).href;

bundle("mini", () => ({ urls: shared(), texts: settings["mini"] }));
bundle("mini-context", () => ({ urls: shared(), texts: settings["mini-context"] }));
bundle("mini-late", () => ({ urls: { ...shared(), "1_Dense/model.safetensors": projection() }, texts: settings["mini-late"] }));
