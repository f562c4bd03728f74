// Every snippet of JavaScript and TypeScript in the README, in docs/ and in the comments of js/ compiles in strict TypeScript.
// The README's page is HTML and runs in readme.test.mjs.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { test } from "node:test";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const FOLDER = join(ROOT, "target/snippets");
const OPTIONS = {
  target: "ES2022", module: "ESNext", moduleResolution: "bundler", moduleDetection: "force", types: [],
  lib: ["ES2023", "ESNext.Disposable", "DOM", "DOM.Iterable"], strict: true, exactOptionalPropertyTypes: true,
  noEmit: true,
};

/** The files that have snippets, and the text in which they are fenced. */
function sources() {
  const read = (file) => readFileSync(join(ROOT, file), "utf8");
  const pages = readdirSync(join(ROOT, "docs")).filter((name) => name.endsWith(".md")).map((name) => `docs/${name}`);
  const scripts = readdirSync(join(ROOT, "js"), { recursive: true }).filter((name) => /(?<!\.d)\.ts$/.test(name)).map((name) => `js/${name}`);
  return [
    ...["README.md", ...pages].map((file) => [file, read(file)]),
    ...scripts.map((file) => [file, read(file).replace(/^ *\* ?/gm, "")]),
  ];
}

test("every snippet compiles", () => {
  rmSync(FOLDER, { recursive: true, force: true });
  mkdirSync(FOLDER, { recursive: true });
  copyFileSync(join(ROOT, "tests/web/snippets.d.ts"), join(FOLDER, "snippets.d.ts"));
  writeFileSync(join(FOLDER, "tsconfig.json"), JSON.stringify({ compilerOptions: OPTIONS, include: ["*.ts"] }));
  const counts = {};
  for (const [file, text] of sources()) {
    for (const [, , snippet] of text.matchAll(/^```(js|ts|jsx|tsx|javascript|typescript)\n(.*?)^```$/gms)) {
      const kind = file.split("/")[0];
      counts[kind] = (counts[kind] ?? 0) + 1;
      const name = `${file.replaceAll("/", "-")}-line-${text.slice(0, text.indexOf(snippet)).split("\n").length}.ts`;
      writeFileSync(join(FOLDER, name), snippet);
    }
  }
  assert.ok(counts["README.md"] >= 2 && counts.docs >= 10 && counts.js >= 10, JSON.stringify(counts));
  try {
    execFileSync(join(ROOT, "node_modules/.bin/tsc"), ["-p", FOLDER], { encoding: "utf8" });
  } catch (error) {
    assert.fail(error.stdout);
  }
});
