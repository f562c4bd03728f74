import { type BundledFiles, bundled, PACKAGE } from "./bundled.js";
import { cacheName } from "./cache/manage.js";
import { cancellable } from "./cancel.js";
import * as check from "./check.js";
import { LocalEngine } from "./engine.js";
import { aborted, invalid, PplxEmbedError } from "./errors.js";
import { Model } from "./model.js";
import type { LoadRequest } from "./protocol.js";
import { WorkerEngine } from "./remote.js";
import type { LoadOptions } from "./types.js";

const OPTIONS = [
  "device", "weights", "revision", "endpoint", "token", "fetch", "cache", "worker", "wasmUrl", "onProgress", "signal",
] as const;

/**
 * Loads a model: downloads its files, puts its weights on the GPU, and checks every kernel on this adapter. A load
 * that fails or is cancelled keeps nothing.
 *
 * @param id - `owner/name` on the Hugging Face Hub, or whatever `endpoint` serves. After `import "pplx-embed-web/mini"`
 * also `"mini"`, `"mini-context"` and `"mini-late"`, whose files come with the package (unless there is an `endpoint`).
 * @throws {@link PplxEmbedError}: `"no-adapter"` without WebGPU, `"not-found"`, `"network"`, `"io"`,
 * `"integrity"`, `"invalid-argument"`, `"invalid-config"`, `"invalid-tokenizer"`, `"invalid-checkpoint"`, `"unsupported"`,
 * `"out-of-memory"`, `"wrong-kernel"`, `"aborted"`, `"start"`.
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
export async function load(id: string, options?: LoadOptions): Promise<Model> {
  const o = check.options(options, OPTIONS);
  if (typeof id !== "string") throw invalid("id", id, "a string");
  check.choice("device", o.device, ["auto", "webgpu", undefined], ["cpu"]);
  const files = o.endpoint === undefined ? bundled(id) : undefined;
  for (const name of ["revision", "token"] as const) {
    if (files && o[name] !== undefined) throw invalid(name, o[name], `none with ${id}, which comes with this package`);
  }
  const cache = cacheOf(o.cache);
  const request: LoadRequest = {
    id,
    revision: check.primitive("revision", o.revision, "string") ?? "main",
    endpoint: files ? PACKAGE : check.address("endpoint", o.endpoint),
    token: check.primitive("token", o.token, "string"),
    weights: check.choice("weights", o.weights, ["auto", "f32", "f16", "q8", "q4", undefined], []),
    wasmUrl: check.address("wasmUrl", o.wasmUrl),
    // The browser's own cache has what belongs to the page.
    cache: files ? undefined : cache,
    bundled: files,
  };
  const signal = check.signal(o.signal);
  const onProgress = check.listener(o.onProgress);
  const fetch = check.primitive("fetch", o.fetch, "function");
  const worker = check.primitive("worker", o.worker, "boolean");
  if (fetch && worker) throw invalid("worker", true, "false with a fetch of your own: it cannot be handed to a worker");
  if (signal?.aborted) throw aborted(signal);
  requireWebGpu();

  const engine = worker ?? !fetch ? new WorkerEngine() : new LocalEngine(fetch);
  try {
    const stops: Parameters<typeof cancellable>[0] = signal ? [[signal, () => aborted(signal)]] : [];
    const info = await cancellable(stops, (signal) => engine.load(request, { signal, onProgress }));
    return new Model(engine, info);
  } catch (error) {
    engine.close();
    throw located(PplxEmbedError.from(error), files);
  }
}

/** An error that says where a file of the package should have been. */
function located(error: PplxEmbedError, files: BundledFiles | undefined): PplxEmbedError {
  if (!files || error.code !== "not-found") return error;
  const places = Object.values(files.urls).join(", ");
  return new PplxEmbedError("not-found", `${error.message}; the package's files have to be served: ${places}`);
}

/** The name of the cache that is meant, if one is. */
function cacheOf(given: LoadOptions["cache"]): string | undefined {
  if (given === false) return undefined;
  if (given === undefined || given === true) return cacheName(undefined);
  if (typeof given !== "object" || given === null) throw invalid("cache", given, "true, false or { name }");
  return cacheName(check.options(given, ["name"]).name);
}

function requireWebGpu(): void {
  if (globalThis.navigator?.gpu) return;
  const why =
    globalThis.isSecureContext === false
      ? "this page is not a secure context; serve it over https, or from localhost"
      : "this browser has no WebGPU, or has it switched off";
  throw new PplxEmbedError("no-adapter", `no GPU adapter: ${why}`);
}
