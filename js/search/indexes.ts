// The indexes of an engine, in its own thread.

import type { Reading, Writing } from "../cache/files.js";
import { BlobReading } from "../cache/opfs.js";
import { PplxEmbedError } from "../errors.js";
import { free, guarded, module, outside, type Wasm, type WebModel } from "../module.js";
import type { Hooks } from "../protocol.js";
import type {
  AddRequest, Added, CreateRequest, ExplainRequest, IndexCalls, IndexOp, Opened, OpenRequest, RawHits, RawIndexInfo,
  RawMatches, RemoveRequest, Removed, SaveRequest, SearchRequest,
} from "./protocol.js";
import { readSaved, replaceSaved } from "./saved.js";

type WebIndex = Awaited<ReturnType<Wasm["createIndex"]>>;
/** Where the module writes to: the part of a file that it uses. */
type Sink = Pick<Writing, "append">;

export class Indexes {
  readonly #all = new Map<number, WebIndex>();
  #closed = false;

  async run<K extends IndexOp>(
    op: K,
    request: IndexCalls[K][0],
    model: WebModel | undefined,
    hooks: Hooks,
  ): Promise<IndexCalls[K][1]> {
    // What `op` says of `request` is beyond TypeScript.
    const given = request as never;
    switch (op) {
      case "create":
        return this.#create(given, model);
      case "open":
        return this.#open(given, model, hooks);
      case "add":
        return this.#add(given, hooks);
      case "remove":
        return this.#remove(given);
      case "search":
        return this.#search(given, hooks);
      case "explain":
        return this.#explain(given, hooks);
      case "save":
        return this.#save(given, hooks);
      default:
        return this.#free(request.index);
    }
  }

  close(): void {
    this.#closed = true;
    for (const number of [...this.#all.keys()]) this.#free(number);
  }

  async #create({ index: number, wasmUrl, ...options }: CreateRequest, model: WebModel | undefined): Promise<Opened> {
    const wasm = await module(wasmUrl);
    const index = await guarded(() => (model ? model.createIndex(options) : wasm.createIndex(options)));
    return { info: await this.#keep(number, index), ids: [], data: [] };
  }

  async #open({ index: number, source, wasmUrl, ...options }: OpenRequest, model: WebModel | undefined, hooks: Hooks): Promise<Opened> {
    const wasm = await module(wasmUrl);
    const given = { ...options, ...outside(hooks) };
    const read = (file: Reading) =>
      guarded(() => (model ? model.openIndex(file, given) : wasm.openIndex(file, given)));
    const index = await (typeof source === "string"
      ? readSaved(source, hooks.signal, read)
      : read(new BlobReading(source)));
    const info = await this.#keep(number, index);
    const entries: Pick<Opened, "ids" | "data"> = await guarded(() => index.entries());
    return { info, ...entries };
  }

  async #keep(number: number, index: WebIndex): Promise<RawIndexInfo> {
    if (this.#closed) {
      free(index);
      throw new PplxEmbedError("disposed", "the index was disposed of");
    }
    this.#all.set(number, index);
    return guarded(() => index.info());
  }

  #get(number: number): WebIndex {
    const index = this.#all.get(number);
    if (!index) throw new PplxEmbedError("disposed", "the index was disposed of");
    return index;
  }

  #add({ index: number, ...items }: AddRequest, hooks: Hooks): Promise<Added> {
    const index = this.#get(number);
    return guarded(() => index.add({ ...items, ...outside(hooks) }));
  }

  #remove({ index: number, ids }: RemoveRequest): Promise<Removed> {
    const index = this.#get(number);
    return guarded(() => index.remove(ids));
  }

  #search({ index: number, ...request }: SearchRequest, hooks: Hooks): Promise<RawHits> {
    const index = this.#get(number);
    return guarded(() => index.search({ ...request, ...outside(hooks) }));
  }

  #explain({ index: number, ...request }: ExplainRequest, hooks: Hooks): Promise<RawMatches> {
    const index = this.#get(number);
    return guarded(() => index.explain({ ...request, ...outside(hooks) }));
  }

  async #save({ index: number, name }: SaveRequest, hooks: Hooks): Promise<object> {
    const index = this.#get(number);
    const write = (file: Sink) => guarded(() => index.save(file, outside(hooks)) as Promise<void>);
    if (name === undefined) {
      // What is appended is a view of the module's memory.
      await write({ append: (bytes) => hooks.take?.(bytes.slice()) });
    } else {
      await replaceSaved(name, hooks.signal, (file) => write({ append: (bytes) => appended(file, bytes) }));
    }
    return {};
  }

  #free(number: number): object {
    free(this.#all.get(number));
    this.#all.delete(number);
    return {};
  }
}

/** Appends, and then lets the thread hear whether the caller has cancelled. */
async function appended(file: Writing, bytes: Uint8Array): Promise<void> {
  await file.append(bytes);
  await new Promise((resolve) => setTimeout(resolve));
}
