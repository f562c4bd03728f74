/// <reference lib="esnext.disposable" preserve="true" />
import { cancellable, type Stop } from "./cancel.js";
import * as check from "./check.js";
import { Embeddings } from "./embeddings.js";
import { aborted, PplxEmbedError } from "./errors.js";
import type { Engine } from "./protocol.js";
import type { Dtype, EmbedOptions, ModelInfo } from "./types.js";

const OPTIONS = ["dtype", "dimensions", "normalize", "signal", "onProgress"] as const;

/** Ends the engines of models that were forgotten rather than disposed of. */
const forgotten = new FinalizationRegistry((engine: Engine) => engine.close());
/** Models with calls under way, which keeps them from being taken for forgotten. */
const busy = new Set<Model>();

/**
 * A model that is ready, made by {@link load}. Its calls run one after another, in the order they were made.
 *
 * `await using model = await load(...)` disposes of it at the end of the block, where the runtime has
 * `Symbol.asyncDispose`.
 */
export class Model implements AsyncDisposable {
  /** What is known of it. */
  readonly info: ModelInfo;
  /** {@link Model.dispose}, for `await using`; undefined where the runtime has no `Symbol.asyncDispose`. */
  declare readonly [Symbol.asyncDispose]: () => Promise<void>;

  readonly #engine: Engine;
  readonly #disposal = new AbortController();
  /** Settles when the calls made so far have ended. */
  #turn: Promise<unknown> = Promise.resolve();

  /** @internal */
  constructor(engine: Engine, info: ModelInfo) {
    this.#engine = engine;
    this.info = info;
    forgotten.register(this, engine, this);
  }

  /**
   * Vectors of texts, one row each, in their order. A row has the same bits whatever other texts are in the call. The
   * empty text is a row of zeros.
   *
   * @param texts - One text, or many. Lone surrogates, which are no Unicode text, are refused.
   * @returns Embeddings of shape `[texts, dimensions]`; `[texts, ceil(dimensions / 8)]` for `"ubinary"`.
   * @throws {@link PplxEmbedError}: `"invalid-argument"`, `"aborted"`, `"disposed"`, `"adapter-too-small"` for a text
   * that is too long for this GPU, `"out-of-memory"`, `"device-lost"`.
   *
   * @example
   * ```ts
   * // With the demo model, which has 128 dimensions.
   * const e = await model.embed(["a red bicycle", "a blue car"]);
   * console.log(e.dtype, e.shape, e.usage); // int8 [ 2, 128 ] { tokens: 13, truncated: [] }
   * const bits = await model.embed("a red bicycle", { dtype: "ubinary", dimensions: 64 });
   * console.log(bits.shape, bits.data); // [ 1, 8 ] Uint8Array(8) [ 255, 255, 169, 241, 137, 242, 90, 224 ]
   * ```
   */
  async embed<D extends Dtype = "int8" | "float32">(
    texts: string | readonly string[],
    options?: EmbedOptions<D>,
  ): Promise<Embeddings<D>> {
    const list = check.texts(texts);
    const o = check.options(options, OPTIONS);
    const request = {
      dtype: check.primitive("dtype", o.dtype, "string"),
      dimensions: check.primitive("dimensions", o.dimensions, "number"),
      normalize: check.primitive("normalize", o.normalize, "boolean"),
    };
    const user = check.signal(o.signal);
    const onProgress = check.listener(o.onProgress);
    const stops: Stop[] = [[this.#disposal.signal, disposed]];
    if (user) stops.push([user, () => aborted(user)]);
    return cancellable(stops, (signal) =>
      this.#queue(async () => {
        // One that was cancelled while it waited has already been answered.
        if (signal.aborted) throw disposed();
        return new Embeddings<D>(await this.#engine.embed(list, request, { signal, onProgress }));
      }),
    );
  }

  /**
   * Frees the GPU's memory and ends the worker. Calls that are under way reject with code `"disposed"`, and so do
   * later ones. It may be called more than once.
   */
  async dispose(): Promise<void> {
    if (this.#disposal.signal.aborted) return;
    forgotten.unregister(this);
    this.#disposal.abort();
    this.#engine.close();
  }

  #queue<T>(call: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(call);
    const ended = result.then(
      () => {},
      () => {},
    );
    this.#turn = ended;
    busy.add(this);
    void ended.then(() => this.#turn === ended && busy.delete(this));
    return result;
  }
}

if (Symbol.asyncDispose) {
  Object.defineProperty(Model.prototype, Symbol.asyncDispose, { value: Model.prototype.dispose, configurable: true });
}

function disposed(): PplxEmbedError {
  return new PplxEmbedError("disposed", "the model was disposed of");
}
