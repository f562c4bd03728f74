// Puts models/mini where js/mini.ts looks for it: dist/mini/ has each large file once, whichever of the three models
// share it, and settings.js the small ones, as text.
import {
  copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, rmSync, statSync, writeFileSync,
} from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const FROM = fileURLToPath(new URL("../models/mini", import.meta.url));
const TO = fileURLToPath(new URL("../dist/mini", import.meta.url));
const MODELS = { "mini": "", "mini-context": "context", "mini-late": "late" };
/** The files that have an address of their own in js/mini.ts. */
const LARGE = ["model.safetensors", "tokenizer.json", "late/1_Dense/model.safetensors"];
const MOST_TEXT = 16 << 10;

/** The files of a model, as paths within it: the folder's own, and those of its modules ("1_Pooling"). */
function filesOf(folder, within = "") {
  return readdirSync(join(folder, within), { withFileTypes: true }).flatMap(({ name }) => {
    const path = join(within, name);
    if (statSync(join(folder, path)).isDirectory()) return /^\d+_\w+$/.test(name) ? filesOf(folder, path) : [];
    return /\.(json|safetensors)$/.test(name) ? [path] : [];
  });
}

const large = new Set();
const settings = {};
for (const [id, name] of Object.entries(MODELS)) {
  const folder = join(FROM, name);
  if (!existsSync(join(folder, "config.json"))) throw new Error(`${folder} has no config.json`);
  settings[id] = {};
  for (const file of filesOf(folder).sort()) {
    const real = relative(FROM, realpathSync(join(folder, file)));
    if (LARGE.includes(real)) large.add(real);
    else if (file.endsWith(".json") && statSync(join(FROM, real)).size <= MOST_TEXT) {
      settings[id][file] = readFileSync(join(FROM, real), "utf8");
    } else throw new Error(`js/mini.ts has no address for ${join(folder, file)}`);
  }
}

rmSync(TO, { recursive: true, force: true });
for (const file of LARGE) {
  if (!large.has(file)) throw new Error(`models/mini has no ${file}`);
  mkdirSync(dirname(join(TO, file)), { recursive: true });
  copyFileSync(join(FROM, file), join(TO, file));
}
const type = `{ readonly [model in ${Object.keys(MODELS).map((id) => `"${id}"`).join(" | ")}]: Record<string, string> }`;
writeFileSync(join(TO, "settings.js"), `export const settings = ${JSON.stringify(settings, null, 1)};\n`);
writeFileSync(join(TO, "settings.d.ts"), `export declare const settings: ${type};\n`);
