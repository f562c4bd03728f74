// The engine in this thread: the page's, or a worker's.

import { PplxEmbedError } from "../errors.js";
import type { Fetch, ThreadHost } from "../hosts/host.js";
import { CacheStore } from "../storage/store.js";
import type { LoadOptions, ModelInfo } from "../types.js";
import type { BundledFiles } from "./bundled.js";
import type { Answer, CallName, Engine, Handlers, Hooks, LoadRequest, MaxsimRequest, Request } from "./calls.js";
import { Helpers } from "./helpers.js";
import { LocalIndexes } from "./indexes.js";
import { free, guarded, module, outside, type Wasm, type WebModel } from "./module.js";
import { bundledFiles, folderFiles, type ServedFiles } from "./served.js";

type WebScorer = Awaited<ReturnType<Wasm["scorer"]>>;

export class LocalEngine implements Engine {
  readonly #host: ThreadHost;
  readonly #fetch: LoadOptions["fetch"];
  readonly #indexes: LocalIndexes;
  readonly #handlers: Handlers;
  readonly #helpers = new Helpers();
  #model: WebModel | undefined;
  /** What the model was loaded by, so that it can be loaded again. */
  #loaded: LoadRequest | undefined;
  #scorer: Promise<WebScorer> | undefined;
  #closed = false;

  /** @param fetch - Called instead of the global `fetch`. */
  constructor(host: ThreadHost, fetch?: LoadOptions["fetch"]) {
    this.#host = host;
    this.#fetch = fetch;
    this.#indexes = new LocalIndexes(host, () => this.#model);
    this.#handlers = {
      ...this.#indexes.handlers,
      load: (request, hooks) => this.#load(request, hooks),
      embed: ({ texts, ...request }, hooks) =>
        this.#run((model) => model.embed(texts as string[], { ...request, ...outside(hooks) })),
      embedContext: ({ documents, ...request }, hooks) =>
        this.#run((model) => model.embedContext(documents as string[][], { ...request, ...outside(hooks) })),
      encode: ({ role, texts, ...request }, hooks) =>
        this.#run((model) => model.encode(role, texts as string[], { ...request, ...outside(hooks) })),
      splitText: ({ text, ...request }) => this.#run(async (model) => model.splitText(text, request)),
      maxsim: (request, hooks) => this.#score(request, hooks, (scorer, given) => scorer.score(given)),
      explainMaxsim: (request, hooks) =>
        this.#score(request, hooks, (scorer, given) => scorer.explain(given)),
    };
  }

  async call<K extends CallName>(name: K, request: Request<K>, hooks: Hooks): Promise<Answer<K>> {
    if (this.#closed) throw new PplxEmbedError("disposed", "the engine was disposed of");
    try {
      return await this.#handlers[name](request, hooks);
    } catch (error) {
      // A device that is gone takes nothing along that cannot be had again. A load has nothing yet.
      const lost = error instanceof PplxEmbedError && error.code === "device-lost" && name !== "load";
      if (!lost || this.#closed || !(await this.#recovered(error, hooks))) throw error;
      return this.#handlers[name](request, hooks);
    }
  }

  close(): void {
    this.#closed = true;
    this.#indexes.close();
    free(this.#model);
    this.#model = undefined;
    this.#helpers.end();
    void this.#scorer?.then(free, () => {});
    this.#scorer = undefined;
  }

  /** Loads the model again, on what device there is now, and takes the indexes there. Whether that could be done. */
  async #recovered(lost: PplxEmbedError, hooks: Hooks): Promise<boolean> {
    const notice = (message: string) => hooks.onProgress?.({ stage: "notice", message });
    void this.#scorer?.then(free, () => {});
    this.#scorer = undefined;
    try {
      if (this.#loaded) {
        const before = this.#model;
        this.#helpers.end();
        // What hears of downloads heard of this one before, unless the device's loss is what it waits for.
        await this.#load(this.#loaded, { ...hooks });
        free(before);
      }
      await this.#indexes.recover(hooks);
    } catch (error) {
      if (hooks.signal.aborted) throw error;
      notice(`${lost.message}; starting again failed: ${error instanceof Error ? error.message : String(error)}`);
      return false;
    }
    const on = this.#model ? deviceOf(this.#model.info() as ModelInfo) : "another device";
    notice(`${lost.message}; started again, on ${on}`);
    return true;
  }

  async #load(asked: LoadRequest, hooks: Hooks): Promise<ModelInfo> {
    const { wasmUrl, cache, bundled, folder, ...request } = asked;
    const [wasm, store] = await Promise.all([module(this.#host, wasmUrl, hooks.signal), this.#store(cache, hooks)]);
    const read: Fetch = (url, init) => this.#host.read(url, init, this.#fetch);
    const files = served(request.endpoint, read, bundled, folder);
    const notice = (message: string) => hooks.onProgress?.({ stage: "notice", message });
    const startHelpers = (threads: number | undefined, compiled: WebAssembly.Module, bytes: number) =>
      this.#helpers.start(this.#host, compiled, threads, bytes, notice);
    const options = { ...request, ...outside(hooks), fetch: files?.fetch ?? read, store, startHelpers };
    let model: WebModel;
    let given = asked.device;
    try {
      model = await this.#host.withGpu(asked.device, (device) => {
        given = device;
        return guarded(() => wasm.load({ ...options, device }));
      });
    } catch (error) {
      this.#helpers.end();
      throw files ? files.why(error) : error;
    }
    // The info counts threads.
    await this.#helpers.begun();
    if (this.#closed) {
      model.free();
      this.#helpers.end();
      throw new PplxEmbedError("disposed", "the model was disposed of");
    }
    [this.#model, this.#loaded] = [model, asked];
    const info = model.info() as ModelInfo;
    const name = info.adapter.name || (await this.#host.adapterName());
    const bytes = { ...info.bytes, wasm: wasm.memoryBytes() };
    const why = given === (asked.device ?? "auto") ? info.why : '"auto" is the processor outside of pages';
    return { ...info, device: deviceOf(info), why, bytes, adapter: { ...info.adapter, name } };
  }

  /** Opens the cache. Where no files can be kept, in a private window for example, the model is loaded without it. */
  async #store(cache: string | undefined, { signal, onProgress }: Hooks): Promise<CacheStore | undefined> {
    if (cache === undefined) return undefined;
    try {
      return await CacheStore.open(this.#host, cache, signal);
    } catch (error) {
      onProgress?.({ stage: "notice", message: `not cached: ${error instanceof Error ? error.message : String(error)}` });
      return undefined;
    }
  }

  /** A call of the model. The module's functions are typed as `any`; the call map says what they give. */
  async #run<T>(call: (model: WebModel) => Promise<T>): Promise<T> {
    const model = this.#model;
    if (!model) throw new PplxEmbedError("disposed", "the model was disposed of");
    return guarded(() => call(model));
  }

  async #score<T>(
    { wasmUrl, ...given }: MaxsimRequest,
    hooks: Hooks,
    call: (scorer: WebScorer, given: object) => Promise<T>,
  ): Promise<T> {
    const wasm = await module(this.#host, wasmUrl, hooks.signal);
    this.#scorer ??= this.#host.withGpu("auto", (device) => guarded(() => wasm.scorer({ device, ...outside(hooks) })));
    const scorer = await this.#scorer;
    if (this.#closed) throw new PplxEmbedError("disposed", "the scorer was disposed of");
    return guarded(() => call(scorer, { ...given, ...outside(hooks) }));
  }
}

/** The module says "gpu" for what pages call WebGPU. */
function deviceOf(info: ModelInfo): ModelInfo["device"] {
  return info.device === "cpu" ? "cpu" : "webgpu";
}

/** The files of a model that needs no server. */
function served(endpoint = "", read: Fetch, bundled?: BundledFiles, folder?: string): ServedFiles | undefined {
  if (bundled) return bundledFiles(endpoint, bundled, read);
  return folder === undefined ? undefined : folderFiles(folder, read);
}
