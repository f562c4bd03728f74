// The search indexes of an engine in this thread.

import { PplxEmbedError } from "../errors.js";
import { BlobReading, type Reading, type Writing } from "../hosts/files.js";
import type { ThreadHost } from "../hosts/host.js";
import { readFile, readSaved, replaceFile, replaceSaved } from "../storage/saved.js";
import type { IndexInfo, LoadOptions } from "../types.js";
import type { CreateIndexRequest, Handlers, Hooks, OpenedIndex, OpenIndexRequest, SaveIndexRequest } from "./calls.js";
import { free, guarded, module, outside, type Wasm, type WebModel } from "./module.js";

type WebIndex = Awaited<ReturnType<Wasm["createIndex"]>>;
type IndexHandlers = Pick<
  Handlers,
  "createIndex" | "openIndex" | "addItems" | "removeItems" | "search" | "explainHit" | "saveIndex" | "freeIndex"
>;

export class LocalIndexes {
  readonly #host: ThreadHost;
  readonly #model: () => WebModel | undefined;
  /** The indexes, and the devices that were asked for. */
  readonly #all = new Map<number, [index: WebIndex, device: LoadOptions["device"]]>();
  #closed = false;

  /** The calls of indexes. */
  readonly handlers: IndexHandlers = {
    createIndex: (request, hooks) => this.#create(request, hooks),
    openIndex: (request, hooks) => this.#open(request, hooks),
    addItems: ({ index, ...items }, hooks) => this.#run(index, (web) => web.add({ ...items, ...outside(hooks) })),
    removeItems: ({ index, ids }) => this.#run(index, async (web) => (await web.remove(ids)).bytes),
    search: ({ index, ...request }, hooks) => this.#run(index, (web) => web.search({ ...request, ...outside(hooks) })),
    explainHit: ({ index, ...request }, hooks) =>
      this.#run(index, (web) => web.explain({ ...request, ...outside(hooks) })),
    saveIndex: (request, hooks) => this.#save(request, hooks),
    freeIndex: async ({ index }) => this.#free(index),
  };

  /** @param model - The model of the engine, if it has one. Its indexes live on its device, and take its texts. */
  constructor(host: ThreadHost, model: () => WebModel | undefined) {
    this.#host = host;
    this.#model = model;
  }

  close(): void {
    this.#closed = true;
    for (const number of [...this.#all.keys()]) this.#free(number);
  }

  /** Takes all indexes to the device of the model, or where there is none to another one, after theirs was lost. */
  async recover(hooks: Hooks): Promise<void> {
    for (const [index, device] of this.#all.values()) {
      const model = this.#model();
      await this.#host.withGpu(device, (device) =>
        guarded(() => (model ? model.moveIndex(index) : index.moveToDevice({ device, ...outside(hooks) }))),
      );
    }
  }

  async #create({ index: number, wasmUrl, ...options }: CreateIndexRequest, hooks: Hooks): Promise<OpenedIndex> {
    const wasm = await module(this.#host, wasmUrl, hooks.signal);
    const index = await this.#host.withGpu(options.device, (device) =>
      guarded(() => (this.#model() ?? wasm).createIndex({ ...options, device, ...outside(hooks) })),
    );
    return { info: await this.#keep(number, index, options.device), ids: [], data: [] };
  }

  async #open({ index: number, source, wasmUrl, ...options }: OpenIndexRequest, hooks: Hooks): Promise<OpenedIndex> {
    const wasm = await module(this.#host, wasmUrl, hooks.signal);
    const index = await this.#host.withGpu(options.device, (device) => {
      const read = (file: Reading) =>
        guarded(() => (this.#model() ?? wasm).openIndex(file, { ...options, device, ...outside(hooks) }) as Promise<WebIndex>);
      if (typeof source === "string") return readSaved(this.#host, source, hooks.signal, read);
      return "address" in source ? readFile(this.#host, source.address, read) : read(new BlobReading(source));
    });
    const info = await this.#keep(number, index, options.device);
    const entries: Pick<OpenedIndex, "ids" | "data"> = await guarded(() => index.entries());
    return { info, ...entries };
  }

  async #keep(number: number, index: WebIndex, device: LoadOptions["device"]): Promise<IndexInfo> {
    if (this.#closed) {
      free(index);
      throw new PplxEmbedError("disposed", "the index was disposed of");
    }
    this.#all.set(number, [index, device]);
    return guarded(() => index.info());
  }

  async #run<T>(number: number, call: (index: WebIndex) => Promise<T>): Promise<T> {
    const [index] = this.#all.get(number) ?? [];
    if (!index) throw new PplxEmbedError("disposed", "the index was disposed of");
    return guarded(() => call(index));
  }

  #save({ index: number, target }: SaveIndexRequest, hooks: Hooks): Promise<void> {
    const write = (append: Writing["append"]) =>
      this.#run(number, async (index) => void (await index.save({ append }, outside(hooks))));
    // What is appended is a view of the module's memory.
    if (target === undefined) return write((bytes) => hooks.take?.(bytes.slice()));
    const writeTo = (file: Writing) => write((bytes) => appended(file, bytes));
    if (typeof target === "string") return replaceSaved(this.#host, target, hooks.signal, writeTo);
    return replaceFile(this.#host, target.address, writeTo);
  }

  #free(number: number): void {
    free(this.#all.get(number)?.[0]);
    this.#all.delete(number);
  }
}

/** Appends, and then lets this thread receive messages, one of which may cancel the call. */
async function appended(file: Writing, bytes: Uint8Array): Promise<void> {
  await file.append(bytes);
  await new Promise((resolve) => setTimeout(resolve));
}
