// The imports of js/: they go one way, and what a worker runs cannot make workers.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const JS = fileURLToPath(new URL("../../js", import.meta.url));
const ENTRIES = ["index.ts", "mini.ts", "worker.ts"];
/** The files that workers start from, by the host that starts them. */
const WORKERS = {
  "hosts/web.ts": ["hosts/web/writer-worker.ts", "worker.ts"],
  "hosts/web/helpers.ts": ["helper.ts"],
  "hosts/node/host.ts": ["worker-node.ts"],
  "hosts/node/helpers.ts": ["helper-node.ts"],
};
/** What a worker may make: one that serves an engine has helpers. */
const MAY_MAKE = { "worker.ts": "hosts/web/helpers.ts", "worker-node.ts": "hosts/node/helpers.ts" };

const files = readdirSync(JS, { recursive: true }).filter((file) => /(?<!\.d)\.ts$/.test(file));
const sources = new Map(files.map((file) => [file, readFileSync(join(JS, file), "utf8")]));
/** What each file imports, types too; what the build makes is not of js/. */
const imports = new Map(
  files.map((file) => {
    const paths = Array.from(sources.get(file).matchAll(/(?:from|import)\s*\(?\s*"(\..*?)\.js"/g), ([, path]) => path);
    const found = paths.map((path) => `${relative(JS, join(JS, dirname(file), path))}.ts`);
    return [file, found.filter((path) => !/^(wasm|mini)\//.test(path))];
  }),
);
/** What each folder of js/ imports from the others. A file beside them stands for itself. */
const folders = new Map();
const folderOf = (file) => file.split("/")[0];
for (const [file, imported] of imports) {
  const from = folderOf(file);
  if (!folders.has(from)) folders.set(from, new Set());
  for (const to of imported.map(folderOf)) if (to !== from) folders.get(from).add(to);
}

/** The first circle in a graph, as a path. */
function circle(graph) {
  const done = new Set();
  const visit = (node, path) => {
    if (path.includes(node)) return [...path.slice(path.indexOf(node)), node];
    if (done.has(node)) return undefined;
    for (const next of graph.get(node) ?? []) {
      const found = visit(next, [...path, node]);
      if (found) return found;
    }
    done.add(node);
    return undefined;
  };
  for (const node of graph.keys()) {
    const found = visit(node, []);
    if (found) return found.join(" -> ");
  }
  return undefined;
}

/** Every file that `entry` reaches, and the file that leads to it. */
function reached(entry) {
  const from = new Map([[entry, undefined]]);
  for (const file of from.keys()) {
    for (const next of imports.get(file)) if (!from.has(next)) from.set(next, file);
  }
  return from;
}

test("the walk sees imports", () => {
  assert.ok(imports.get("worker.ts").includes("engine/serve.ts"), imports.get("worker.ts").join());
  for (const [file, imported] of imports) {
    for (const other of imported) assert.ok(sources.has(other), `${file} imports ${other}`);
  }
  assert.equal(circle(new Map([["a", ["b"]], ["b", ["c"]], ["c", ["b"]]])), "b -> c -> b");
});

test("no file and no folder imports in a circle", () => {
  assert.equal(circle(imports), undefined);
  assert.equal(circle(folders), undefined);
});

test("a worker reaches no file that makes workers, but for helpers", () => {
  const makers = files.filter((file) => /new (Shared)?Worker\(/.test(sources.get(file)));
  assert.deepEqual(makers.sort(), Object.keys(WORKERS).sort());
  for (const [maker, workers] of Object.entries(WORKERS)) {
    const found = sources.get(maker).matchAll(/new Worker\(new URL\("(.*?)\.js"/g);
    const started = Array.from(found, ([, path]) => `${relative(JS, join(JS, dirname(maker), path))}.ts`);
    assert.deepEqual(started.sort(), workers);
    for (const worker of workers) {
      const from = reached(worker);
      for (const other of makers) {
        if (MAY_MAKE[worker] === other) continue;
        assert.ok(!from.has(other), `${worker} reaches ${other} by ${from.get(other)}`);
      }
    }
  }
});

test("only the folder of Node.js names modules of Node.js, and no bundler sees how it is reached", () => {
  for (const [file, source] of sources) {
    if (/^(hosts\/node\/|(worker|helper)-node)/.test(file)) continue;
    assert.doesNotMatch(source, /"node:/, file);
    // Types alone may be imported from there.
    const found = source.matchAll(/^.*(?:from |import\()"[^"]*\bnode\/.*$/gm);
    for (const [line] of found) assert.match(line, /^import type |: typeof import\(/, `${file}: ${line}`);
  }
});

test("every file is part of the package", () => {
  const used = new Set([...ENTRIES, ...Object.values(WORKERS).flat()].flatMap((entry) => [...reached(entry).keys()]));
  assert.deepEqual(files.filter((file) => !used.has(file)), []);
});

test("a type has one meaning", () => {
  const seen = new Map();
  for (const [file, source] of sources) {
    for (const [, name] of source.matchAll(/^(?:export )?(?:declare )?(?:abstract )?(?:class|interface|type) (\w+)/gm)) {
      assert.ok(!seen.has(name), `${name}: in ${seen.get(name)} and in ${file}`);
      seen.set(name, file);
    }
  }
});
