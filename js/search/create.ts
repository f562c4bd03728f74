// Creating and opening indexes.

import { cancellable, type Stop } from "../calls/cancel.js";
import * as check from "../check.js";
import type { Engine, Hooks, Request } from "../engine/calls.js";
import { startEngine } from "../engine/start.js";
import { aborted, invalid, PplxEmbedError } from "../errors.js";
import { currentHost } from "../hosts/current.js";
import { Model } from "../model/model.js";
import type { IndexInfo, LoadOptions, ModelKind, OnProgress } from "../types.js";
import { SearchIndex } from "./search-index.js";

/** Where an index is kept in memory. */
export interface IndexPlacement {
  /**
   * The model that makes its vectors. The index is then in the model's worker, and is disposed of with it. Without a
   * model, the index takes only vectors.
   */
  model?: Model<ModelKind> | undefined;
  /** Without a model: what searches, as for `load`. Default: `"auto"`. */
  device?: LoadOptions["device"];
  /** How many bytes rows may take on the GPU. More rows stay in main memory. Default: half of what a model may take. */
  memory?: number | undefined;
  /** Without a model: whether the index is in a worker of its own. Default: true where one can be made. */
  worker?: boolean | undefined;
  /**
   * Without a model: the address of the wasm module, if it is not beside the script. In a page it may be relative to it.
   */
  wasmUrl?: string | URL | undefined;
  /** Cancels the call. */
  signal?: AbortSignal | undefined;
  /** Called from time to time with how far the call is. */
  onProgress?: OnProgress | undefined;
}

/** Options of {@link createIndex}. It needs a `model` or `dimensions`; every other option may be left out. */
export interface IndexOptions extends IndexPlacement {
  /**
   * What a row is: `"dense"`, the vector of a text or chunk; `"late"`, that of a token. Default: what the model makes;
   * `"dense"` without a model.
   */
  kind?: "dense" | "late" | undefined;
  /**
   * The form of the rows. Dense: `"int8"`, `"float32"`, or `"binary"`, whose bits choose candidates that int8 rows in
   * main memory then score. Late: `"float16"`, `"float32"`, `"int8"`, `"binary"`. Default: `"float16"` for late;
   * `"int8"` for dense, but `"float32"` with a model that does not make int8 vectors.
   */
  dtype?: IndexInfo["dtype"] | undefined;
  /** D, the dimensions of a vector, 1 to 65,536. Default: the model's. A dense index may have fewer (Matryoshka). */
  dimensions?: number | undefined;
  /** Late: whether to keep the signs of rows too, and to score only the items that are best by signs. Default: false. */
  firstPass?: boolean | undefined;
}

/** Options of {@link openIndex}. Every option may be left out. */
export interface OpenIndexOptions extends IndexPlacement {
  /**
   * Whether to open a file that is cut or damaged, with the items that are whole; `onProgress` then gets a notice.
   * Default: false, which rejects such a file.
   */
  recover?: boolean | undefined;
}

const PLACEMENT = ["model", "device", "memory", "worker", "wasmUrl", "signal", "onProgress"] as const;
const OPTIONS = [...PLACEMENT, "kind", "dtype", "dimensions", "firstPass"] as const;
const OPEN_OPTIONS = [...PLACEMENT, "recover"] as const;

/** The number of the next index of this thread. */
let next = 0;

/**
 * Creates an empty search index.
 *
 * @typeParam Data - The type of the data of items.
 * @throws {@link PplxEmbedError}: `"invalid-argument"`, `"disposed"` if the model was disposed of, `"aborted"`,
 * `"device-lost"`, `"start"`.
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
export async function createIndex<Data = any>(options?: IndexOptions): Promise<SearchIndex<Data>> {
  const o = check.options(options, OPTIONS);
  return made(o, "createIndex", {
    kind: check.primitive("kind", o.kind, "string"),
    dtype: check.primitive("dtype", o.dtype, "string"),
    dimensions: check.primitive("dimensions", o.dimensions, "number"),
    firstPass: check.primitive("firstPass", o.firstPass, "boolean"),
  });
}

/**
 * Opens a saved index.
 *
 * @typeParam Data - The type of the data of items.
 * @param source - The name it was saved under, or its file. In Node.js, Deno and Bun also the path of its file, which
 * begins with `"/"`, `"./"`, `"../"` or a drive, or its `file:` URL.
 * @throws {@link PplxEmbedError}: `"not-found"` if nothing was saved under the name; `"integrity"` for a file that is cut
 * or changed, unless `recover` is true, with a message that says how much of it is whole; `"unsupported"` for a file of
 * a later version; `"invalid-argument"`, `"io"`, `"out-of-memory"`, `"aborted"`, `"disposed"`, `"start"`.
 *
 * @example
 * ```ts
 * await index.save("notes");
 * const again = await openIndex("notes", { model }); // another day
 * ```
 */
export async function openIndex<Data = any>(
  source: string | URL | Blob,
  options?: OpenIndexOptions,
): Promise<SearchIndex<Data>> {
  const o = check.options(options, OPEN_OPTIONS);
  const recover = check.primitive("recover", o.recover, "boolean");
  if (check.isPath(source)) {
    const address = (await currentHost()).address("source", source);
    return made(o, "openIndex", { source: { address }, recover });
  }
  return made(o, "openIndex", { source: isBlob(source) ? source : check.name("source", source), recover });
}

/** Whether it is a Blob. Not recognised by its class, because each frame of a page has its own. */
function isBlob(value: unknown): value is Blob {
  return /^\[object (Blob|File)\]$/.test(Object.prototype.toString.call(value));
}

/** The model, if there is one. Options for an index without a model are then not allowed. */
function modelOf(o: Partial<IndexPlacement>): Model<ModelKind> | undefined {
  if (o.model === undefined) return undefined;
  if (!Model.partsOf(o.model)) throw invalid("model", o.model, "a model that load returned");
  for (const name of ["device", "worker", "wasmUrl"] as const) {
    if (o[name] !== undefined) throw invalid(name, o[name], "undefined with a model, whose worker the index is in");
  }
  return o.model;
}

/** An index in the engine of its model, or in an engine of its own. */
async function made<Data, K extends "createIndex" | "openIndex">(
  o: Partial<IndexPlacement>,
  call: K,
  options: Omit<Request<K>, "index" | "device" | "memory" | "wasmUrl">,
): Promise<SearchIndex<Data>> {
  const model = Model.partsOf(modelOf(o));
  const number = next++;
  const device = check.device(o.device);
  const memory = check.primitive("memory", o.memory, "number");
  const worker = check.primitive("worker", o.worker, "boolean");
  const wasmUrl = check.address("wasmUrl", o.wasmUrl);
  const request = { ...options, index: number, device, memory, wasmUrl } as Request<K>;
  const user = check.signal(o.signal);
  const onProgress = check.listener(o.onProgress);
  if (user?.aborted) throw aborted(user);

  const ask = async (engine: Engine, hooks: Hooks) => {
    const index = new SearchIndex<Data>(engine, number, await engine.call(call, request, hooks), model?.calls);
    const { model: name } = index.info;
    if (!o.model || name === undefined || name === o.model.info.id) return index;
    await index.dispose();
    throw invalid("model", o.model.info.id, `${name}, which made the vectors of the index`);
  };
  if (model) {
    return model.calls.run(o, async (hooks) => {
      const index = await ask(model.engine, hooks);
      // If the call was cancelled at the last moment, nobody receives the index.
      if (hooks.signal.aborted) await index.dispose();
      return index;
    });
  }
  const engine = await startEngine({ worker, onProgress });
  try {
    const stops: Stop[] = user ? [[user, () => aborted(user)]] : [];
    return await cancellable(stops, (signal) => ask(engine, { signal, onProgress }));
  } catch (error) {
    engine.close();
    throw PplxEmbedError.from(error);
  }
}
