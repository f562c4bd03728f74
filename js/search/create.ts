import { cancellable, type Stop } from "../cancel.js";
import * as check from "../check.js";
import { LocalEngine } from "../engine.js";
import { aborted, invalid, PplxEmbedError } from "../errors.js";
import { Model } from "../model.js";
import type { Engine, Hooks } from "../protocol.js";
import { WorkerEngine } from "../remote.js";
import type { OnProgress } from "../types.js";
import type { IndexCalls } from "./protocol.js";
import { type IndexInfo, SearchIndex } from "./search-index.js";

/** Where an index lives. */
interface Place {
  /**
   * The model that makes its vectors. The index then lives with it: in its worker, on its GPU, and no longer than it.
   * Without a model it takes vectors only.
   */
  model?: Model | undefined;
  /** Most bytes that rows take on the GPU; the others stay in main memory. Default: half of what a model may take. */
  memory?: number | undefined;
  /** Without a model: whether it lives in a worker of its own. Default: true. */
  worker?: boolean | undefined;
  /** Without a model: where the wasm module is, if a bundler cannot find it beside the script; relative to the page. */
  wasmUrl?: string | URL | undefined;
  /** Cancels the call. */
  signal?: AbortSignal | undefined;
  /** Hears how far the call is. */
  onProgress?: OnProgress | undefined;
}

/** How an index is to be made. With a model every option but that may be left out, without one `dimensions` is needed. */
export interface IndexOptions extends Place {
  /** A vector a text or chunk, or one a token. Default: what the model makes; `"dense"` without one. */
  kind?: "dense" | "late" | undefined;
  /**
   * The form rows are kept in. Dense: `"int8"`; `"float32"`, the default for models that do not make int8; `"binary"`,
   * whose bits choose candidates that int8 rows in main memory then score. Late: `"float16"` (default), `"float32"`,
   * `"int8"`, `"binary"`.
   */
  dtype?: IndexInfo["dtype"] | undefined;
  /** Dimensions of a vector, 1 to 65,536. Default: the model's; of a dense model fewer will do (Matryoshka). */
  dimensions?: number | undefined;
  /** Late: keep the signs of rows too, and score only the items that are best by them. Default: false. */
  firstPass?: boolean | undefined;
}

/** How an index is to be opened. Every option may be left out. */
export interface OpenIndexOptions extends Place {
  /** Of a file that is cut or damaged take what is whole, and say so by a `"notice"`. Default: false, which refuses it. */
  recover?: boolean | undefined;
}

const PLACE = ["model", "memory", "worker", "wasmUrl", "signal", "onProgress"] as const;
const OPTIONS = [...PLACE, "kind", "dtype", "dimensions", "firstPass"] as const;
const OPEN_OPTIONS = [...PLACE, "recover"] as const;

/** Every index of this thread has a number of its own. */
let next = 0;

/**
 * Makes an empty search index.
 *
 * @throws {@link PplxEmbedError}: `"invalid-argument"`, `"disposed"` if the model was, `"aborted"`, `"start"`,
 * `"device-lost"`.
 *
 * @example
 * ```ts
 * const index = await createIndex({ model });
 * await index.add([
 *   { id: "1", text: "The train to the coast leaves at seven." },
 *   { id: "2", text: "Tomatoes want water in the morning." },
 * ]);
 * console.log((await index.search("When does the train leave?"))[0]?.id); // 1
 * const other = await createIndex({ dimensions: 1024, dtype: "int8" }); // without a model: vectors only
 * ```
 */
export async function createIndex<Data = unknown>(options?: IndexOptions): Promise<SearchIndex<Data>> {
  const o = check.options(options, OPTIONS);
  const info = modelOf(o)?.info;
  const late = info?.kind === "late";
  const kind = check.primitive("kind", o.kind, "string") ?? (late ? "late" : "dense");
  const dimensions = check.primitive("dimensions", o.dimensions, "number") ?? info?.dimensions;
  if (dimensions === undefined) throw invalid("dimensions", undefined, "how many a vector has, without a model");
  const own = info && info.defaultDtype !== "int8" ? "float32" : "int8";
  const request = {
    kind,
    dtype: check.primitive("dtype", o.dtype, "string") ?? (kind === "late" ? "float16" : own),
    dimensions,
    firstPass: check.primitive("firstPass", o.firstPass, "boolean"),
  };
  return made(o, "create", request);
}

/**
 * Opens an index that was saved: by the name it was saved under, or from a file.
 *
 * @param source - The name, or what {@link SearchIndex.toBlob} or a stream was given.
 * @throws {@link PplxEmbedError}: `"not-found"` for a name nothing was saved under; `"integrity"` for a file that is cut
 * or changed, which says how much of it is whole, unless `recover` takes that; `"unsupported"` for one of a later
 * version; `"invalid-argument"`, `"io"`, `"out-of-memory"`, `"aborted"`, `"disposed"`, `"start"`.
 *
 * @example
 * ```ts
 * await index.save("notes");
 * const again = await openIndex("notes", { model }); // another day
 * ```
 */
export async function openIndex<Data = unknown>(
  source: string | Blob,
  options?: OpenIndexOptions,
): Promise<SearchIndex<Data>> {
  const o = check.options(options, OPEN_OPTIONS);
  if (!isBlob(source)) check.name("source", source);
  return made(o, "open", { source, recover: check.primitive("recover", o.recover, "boolean") });
}

/** Not by its class, since each frame of a page has its own. */
function isBlob(value: unknown): boolean {
  return /^\[object (Blob|File)\]$/.test(Object.prototype.toString.call(value));
}

/** The model that is meant; what is only for an index without one is refused beside it. */
function modelOf(o: Partial<Place>): Model | undefined {
  if (o.model === undefined) return undefined;
  if (!Model.partsOf(o.model)) throw invalid("model", o.model, "a model, as load gives it");
  for (const name of ["worker", "wasmUrl"] as const) {
    if (o[name] !== undefined) throw invalid(name, o[name], "none with a model: the index lives with it");
  }
  return o.model;
}

/** An index in the engine of its model, or in one of its own. */
async function made<Data, K extends "create" | "open">(
  o: Partial<Place>,
  op: K,
  own: Omit<IndexCalls[K][0], "index" | "memory" | "wasmUrl">,
): Promise<SearchIndex<Data>> {
  const model = Model.partsOf(modelOf(o));
  const number = next++;
  const memory = check.primitive("memory", o.memory, "number");
  const worker = check.primitive("worker", o.worker, "boolean") ?? true;
  const request = { ...own, index: number, memory, wasmUrl: check.address("wasmUrl", o.wasmUrl) } as IndexCalls[K][0];
  const user = check.signal(o.signal);
  const onProgress = check.listener(o.onProgress);
  if (user?.aborted) throw aborted(user);

  const ask = async (engine: Engine, hooks: Hooks) => {
    const index = new SearchIndex<Data>(engine, number, await engine.index(op, request, hooks), model?.calls);
    const { model: name } = index.info;
    if (!o.model || name === undefined || name === o.model.info.id) return index;
    await index.dispose();
    throw invalid("model", o.model.info.id, `${name}, whose vectors the index has`);
  };
  if (model) {
    return model.calls.run(o, async (hooks) => {
      const made = await ask(model.engine, hooks);
      // Nobody waits for one whose making was cancelled at the last moment.
      if (hooks.signal.aborted) await made.dispose();
      return made;
    });
  }
  const engine = worker ? new WorkerEngine() : new LocalEngine();
  try {
    const stops: Stop[] = user ? [[user, () => aborted(user)]] : [];
    return await cancellable(stops, (signal) => ask(engine, { signal, onProgress }));
  } catch (error) {
    engine.close();
    throw PplxEmbedError.from(error);
  }
}
