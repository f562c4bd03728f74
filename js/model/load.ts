import { cancellable } from "../calls/cancel.js";
import * as check from "../check.js";
import { type BundledFiles, bundled, PACKAGE } from "../engine/bundled.js";
import type { LoadRequest } from "../engine/calls.js";
import { startEngine } from "../engine/start.js";
import { aborted, invalid, PplxEmbedError } from "../errors.js";
import { currentHost } from "../hosts/current.js";
import { cacheName } from "../storage/cache.js";
import type { LoadOptions, ModelKind } from "../types.js";
import { Model } from "./model.js";

const OPTIONS = [
  "device", "threads", "weights", "precision", "revision", "endpoint", "token", "fetch", "cache", "worker", "wasmUrl", "onProgress", "signal",
] as const;

/**
 * Loads a model: downloads its files, copies its weights to the GPU, and checks every shader on this GPU. A load that
 * fails or is cancelled leaves nothing in memory.
 *
 * @param id - `owner/name` on the Hugging Face Hub, or the name of a model at `endpoint`. After
 * `import "pplx-embed-web/mini"` and without an `endpoint` also `"mini"`, `"mini-context"` and `"mini-late"`, whose
 * files come with the package. In Node.js, Deno and Bun also the folder of a model: a path that begins with `"/"`,
 * `"./"`, `"../"` or a drive, or a `file:` URL.
 * @returns The model, ready to use.
 * @throws {@link PplxEmbedError}: `"no-adapter"` if WebGPU was asked for and there is none; `"not-found"`, `"network"`,
 * `"io"`, `"integrity"`, `"invalid-argument"`, `"invalid-config"`, `"invalid-tokenizer"`, `"invalid-checkpoint"`,
 * `"unsupported"`, `"out-of-memory"`, `"wrong-kernel"`, `"aborted"`, `"start"`.
 *
 * @example
 * ```ts
 * // The stand-in model that this package's repository serves on its demo page.
 * const model = await load("demo", {
 *   endpoint: "/models",
 *   onProgress: (p) => p.stage === "download" && console.log(p.file, p.loaded, p.total),
 * }); // ... model.safetensors 1560680 1560680
 * const e = await model.embed(["When does the library open on Sunday?", "On Sunday the library opens at nine."]);
 * console.log(cosineSimilarity(e.row(0), e.row(1)).toFixed(2)); // 0.74
 * await model.dispose();
 * ```
 */
export async function load<K extends ModelKind = "late">(id: string | URL, options?: LoadOptions): Promise<Model<K>> {
  const o = check.options(options, OPTIONS);
  const path = check.path(id);
  const name = typeof id === "string" ? id : path;
  if (name === undefined) throw invalid("id", id, "a string");
  const files = o.endpoint === undefined ? bundled(name) : undefined;
  for (const option of ["revision", "token"] as const) {
    if (files && o[option] !== undefined) {
      throw invalid(option, o[option], `undefined for ${name}, which comes with this package`);
    }
  }
  for (const option of ["revision", "token", "endpoint"] as const) {
    if (path !== undefined && o[option] !== undefined) throw invalid(option, o[option], "undefined for a folder");
  }
  const cache = cacheOf(o.cache);
  const request: LoadRequest = {
    id: path === undefined ? name : "folder",
    name: path === undefined ? undefined : name,
    revision: check.primitive("revision", o.revision, "string"),
    endpoint: files ? PACKAGE : check.address("endpoint", o.endpoint),
    token: check.primitive("token", o.token, "string"),
    device: check.device(o.device),
    threads: check.primitive("threads", o.threads, "number"),
    weights: check.primitive("weights", o.weights, "string"),
    precision: check.primitive("precision", o.precision, "string"),
    wasmUrl: check.address("wasmUrl", o.wasmUrl),
    // The files of the package are part of the page, which the browser's HTTP cache keeps; those of a folder are here.
    cache: files || path !== undefined ? undefined : cache,
    bundled: files,
    folder: undefined,
  };
  const signal = check.signal(o.signal);
  const onProgress = check.listener(o.onProgress);
  const fetch = check.primitive("fetch", o.fetch, "function");
  const worker = check.primitive("worker", o.worker, "boolean");
  if (fetch && worker) throw invalid("worker", true, "false together with fetch, which cannot be sent to a worker");
  if (signal?.aborted) throw aborted(signal);
  if (path !== undefined) request.endpoint = request.folder = await folderAt(path);

  const engine = await startEngine({ worker, fetch, onProgress });
  try {
    const stops: Parameters<typeof cancellable>[0] = signal ? [[signal, () => aborted(signal)]] : [];
    const info = await cancellable(stops, (signal) => engine.call("load", request, { signal, onProgress }));
    return new Model<K>(engine, info);
  } catch (error) {
    engine.close();
    throw located(PplxEmbedError.from(error), files);
  }
}

/** The address of the folder of a model, without a slash at its end. */
async function folderAt(path: string): Promise<string> {
  const host = await currentHost();
  const address = host.address("id", path).replace(/\/+$/, "");
  if (await host.isFolder(address)) return address;
  throw new PplxEmbedError("not-found", `id: ${path}, allowed is a folder; there is none at ${address}`);
}

/** Says where a file of the package should have been. */
function located(error: PplxEmbedError, files: BundledFiles | undefined): PplxEmbedError {
  if (!files || error.code !== "not-found") return error;
  const places = Object.values(files.urls).join(", ");
  return new PplxEmbedError("not-found", `${error.message}; the package's files have to be served: ${places}`);
}

/** The name of the cache to use; undefined for none. */
function cacheOf(given: LoadOptions["cache"]): string | undefined {
  if (given === false) return undefined;
  if (given === undefined || given === true) return cacheName(undefined);
  if (typeof given !== "object" || given === null) throw invalid("cache", given, "true, false or { name }");
  return cacheName(check.options(given, ["name"], "cache").name);
}
