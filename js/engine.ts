// The wasm module in this thread: the page's own, or the worker's.

import { askToPersist, Host } from "./cache/host.js";
import { PplxEmbedError } from "./errors.js";
import type {
  ContextRequest, EmbedRequest, EncodeRequest, Engine, Hooks, LoadRequest, RawChunks, RawEmbeddings, RawScores,
  RawTokenEmbeddings, ScoreRequest, SplitRequest,
} from "./protocol.js";
import type { LoadOptions, ModelInfo } from "./types.js";

type Wasm = typeof import("./wasm/pplx_embed.js");
type WebModel = Awaited<ReturnType<Wasm["load"]>>;
type WebScorer = Awaited<ReturnType<Wasm["scorer"]>>;

/** The module, once somebody has asked for it. There is one for all models of this thread. */
let starting: Promise<Wasm> | undefined;
/** Why it can no longer be used. */
let crashed: PplxEmbedError | undefined;
/** Rejects the calls that are inside the module: after a panic they would never settle. */
const inside = new Set<(reason: PplxEmbedError) => void>();

export class LocalEngine implements Engine {
  readonly #fetch: LoadOptions["fetch"];
  #model: WebModel | undefined;
  #scorer: Promise<WebScorer> | undefined;
  #closed = false;

  readonly #persist: () => void;

  constructor(fetch?: LoadOptions["fetch"], persist = askToPersist) {
    this.#fetch = fetch;
    this.#persist = persist;
  }

  async load({ wasmUrl, cache, ...request }: LoadRequest, hooks: Hooks): Promise<ModelInfo> {
    const [wasm, store] = await Promise.all([module(wasmUrl), this.#store(cache, hooks)]);
    const model = await guarded(() => wasm.load({ ...request, ...outside(hooks), fetch: this.#fetch, store }));
    if (this.#closed) {
      model.free();
      throw new PplxEmbedError("disposed", "the model was disposed of");
    }
    this.#model = model;
    const info = model.info() as ModelInfo;
    const name = info.adapter.name || (await adapterName());
    const bytes = { ...info.bytes, wasm: wasm.memoryBytes() };
    return { ...info, device: "webgpu", bytes, adapter: { ...info.adapter, name } };
  }

  async embed(texts: readonly string[], request: EmbedRequest, hooks: Hooks): Promise<RawEmbeddings> {
    const model = this.#open();
    return guarded(() => model.embed(texts as string[], { ...request, ...outside(hooks) }));
  }

  /** Where files are kept; a browser that keeps none, in private windows for one, is no reason not to load. */
  async #store(cache: string | undefined, { signal, onProgress }: Hooks): Promise<Host | undefined> {
    if (cache === undefined) return undefined;
    try {
      return await Host.open(cache, signal, this.#persist);
    } catch (error) {
      onProgress?.({ stage: "notice", message: `not cached: ${error instanceof Error ? error.message : String(error)}` });
      return undefined;
    }
  }

  async score({ wasmUrl, explain, ...request }: ScoreRequest, hooks: Hooks): Promise<RawScores> {
    const wasm = await module(wasmUrl);
    this.#scorer ??= guarded(() => wasm.scorer());
    const scorer = await this.#scorer;
    if (this.#closed) throw new PplxEmbedError("disposed", "the scorer was disposed of");
    const given = { ...request, ...outside(hooks) };
    return guarded(() => (explain ? scorer.explain(given) : scorer.score(given)));
  }

  async embedContext(
    documents: readonly (readonly string[])[],
    request: ContextRequest,
    hooks: Hooks,
  ): Promise<RawEmbeddings[]> {
    const model = this.#open();
    return guarded(() => model.embedContext(documents as string[][], { ...request, ...outside(hooks) }));
  }

  async encode(texts: readonly string[], { role, ...request }: EncodeRequest, hooks: Hooks): Promise<RawTokenEmbeddings> {
    const model = this.#open();
    return guarded(() => model.encode(role, texts as string[], { ...request, ...outside(hooks) }));
  }

  async splitText(text: string, request: SplitRequest): Promise<RawChunks> {
    const model = this.#open();
    return guarded(async () => model.splitText(text, request) as RawChunks);
  }

  #open(): WebModel {
    if (!this.#model) throw new PplxEmbedError("disposed", "the model was disposed of");
    return this.#model;
  }

  close(): void {
    this.#closed = true;
    // A call that is running keeps the model alive until it ends.
    if (!crashed) this.#model?.free();
    this.#model = undefined;
    void this.#scorer?.then((scorer) => crashed ?? scorer.free(), () => {});
    this.#scorer = undefined;
  }
}

function module(wasmUrl: string | undefined): Promise<Wasm> {
  starting ??= start(wasmUrl).catch((error: unknown) => {
    starting = undefined; // the next load tries again
    const from = wasmUrl ? ` from ${wasmUrl}` : "";
    const why = error instanceof Error ? error.message : String(error);
    throw new PplxEmbedError("start", `the wasm module could not be started${from}: ${why}`, { cause: error });
  });
  return starting;
}

async function start(wasmUrl: string | undefined): Promise<Wasm> {
  const wasm = await import("./wasm/pplx_embed.js");
  await (wasmUrl ? wasm.default({ module_or_path: wasmUrl }) : wasm.default());
  wasm.start(crash);
  // What else can end a call inside the module leaves no panic: memory that cannot grow, a stack that is full, an
  // exception of the browser's that no code there expects. It arrives here, and nowhere else.
  addEventListener("error", (event) => crashIfWasm(event.error));
  addEventListener("unhandledrejection", (event) => crashIfWasm(event.reason));
  return wasm;
}

function crashIfWasm(thrown: unknown): void {
  if (inside.size === 0 || !(thrown instanceof Error)) return;
  if (thrown instanceof WebAssembly.RuntimeError || /wasm/.test(thrown.stack ?? "")) crash(String(thrown));
}

/** After this nothing in the module can be relied on. */
function crash(message: string): void {
  crashed ??= new PplxEmbedError("internal", message);
  for (const reject of inside) reject(crashed);
}

async function guarded<T>(call: () => Promise<T>): Promise<T> {
  if (crashed) throw crashed;
  let reject: (reason: PplxEmbedError) => void = () => {};
  const panic = new Promise<never>((_, r) => (reject = r));
  inside.add(reject);
  try {
    return await Promise.race([call(), panic]);
  } catch (error) {
    throw PplxEmbedError.from(error);
  } finally {
    inside.delete(reject);
  }
}

/** The caller's listener is not called from inside the module, so that its faults are not taken for the module's. */
function outside({ signal, onProgress }: Hooks): Hooks {
  return { signal, onProgress: onProgress && ((progress) => queueMicrotask(() => onProgress(progress))) };
}

/** What the browser calls the adapter. The module sees only the description, which browsers mostly leave empty. */
async function adapterName(): Promise<string> {
  const adapter = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
  const { vendor = "", architecture = "" } = adapter?.info ?? {};
  return [vendor, architecture].filter(Boolean).join(" ");
}
