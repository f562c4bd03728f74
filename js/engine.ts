// The engine in this thread: the page's own, or the worker's.

import { bundledFetch } from "./bundled.js";
import { askToPersist, Host } from "./cache/host.js";
import { PplxEmbedError } from "./errors.js";
import { free, guarded, module, outside, type Wasm, type WebModel } from "./module.js";
import type {
  ContextRequest, EmbedRequest, EncodeRequest, Engine, Hooks, LoadRequest, RawChunks, RawEmbeddings, RawScores,
  RawTokenEmbeddings, ScoreRequest, SplitRequest,
} from "./protocol.js";
import { Indexes } from "./search/indexes.js";
import type { IndexCalls, IndexOp } from "./search/protocol.js";
import type { LoadOptions, ModelInfo } from "./types.js";

type WebScorer = Awaited<ReturnType<Wasm["scorer"]>>;

export class LocalEngine implements Engine {
  readonly #fetch: LoadOptions["fetch"];
  #model: WebModel | undefined;
  #scorer: Promise<WebScorer> | undefined;
  readonly #indexes = new Indexes();
  #closed = false;
  readonly #persist: () => void;

  constructor(fetch?: LoadOptions["fetch"], persist = askToPersist) {
    this.#fetch = fetch;
    this.#persist = persist;
  }

  async load({ wasmUrl, cache, bundled, ...request }: LoadRequest, hooks: Hooks): Promise<ModelInfo> {
    const [wasm, store] = await Promise.all([module(wasmUrl), this.#store(cache, hooks)]);
    const fetch = bundled ? bundledFetch(bundled, this.#fetch) : this.#fetch;
    const model = await guarded(() => wasm.load({ ...request, ...outside(hooks), fetch, store }));
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

  async index<K extends IndexOp>(op: K, request: IndexCalls[K][0], hooks: Hooks): Promise<IndexCalls[K][1]> {
    if (this.#closed) throw new PplxEmbedError("disposed", "the index was disposed of");
    return this.#indexes.run(op, request, this.#model, hooks);
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
    this.#indexes.close();
    free(this.#model);
    this.#model = undefined;
    void this.#scorer?.then(free, () => {});
    this.#scorer = undefined;
  }
}

/** What the browser calls the adapter. The module sees only the description, which browsers mostly leave empty. */
async function adapterName(): Promise<string> {
  const adapter = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
  const { vendor = "", architecture = "" } = adapter?.info ?? {};
  return [vendor, architecture].filter(Boolean).join(" ");
}
