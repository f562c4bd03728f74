/// <reference lib="esnext.disposable" preserve="true" />
// The calls of a model or an index, which run one after another until it is disposed of or garbage collected.

import * as check from "../check.js";
import type { Hooks } from "../engine/calls.js";
import { aborted, PplxEmbedError } from "../errors.js";
import type { OnProgress } from "../types.js";
import { cancellable, type Stop } from "./cancel.js";

/** Frees objects that were garbage collected without being disposed of. */
const forgotten = new FinalizationRegistry((free: () => void) => free());
/** Queues with calls under way. They are held here so that their owners are not garbage collected. */
const busy = new Set<CallQueue>();

/** The options of a call that say how it runs. */
interface CallOptions {
  signal?: AbortSignal | undefined;
  onProgress?: OnProgress | undefined;
}

/** The calls of `owner`, which errors call `what`. */
export class CallQueue {
  readonly #owner: object;
  readonly #what: string;
  readonly #free: () => void;
  readonly #within: CallQueue | undefined;
  readonly #disposal = new AbortController();
  /** Settles when every call made so far has ended. */
  #turn: Promise<unknown> = Promise.resolve();
  #running = 0;

  /**
   * @param free - Called once, at the end. It must not refer to `owner`, which would then never be garbage collected.
   * @param within - A queue that these calls are part of: they take turns with its calls, and end with it.
   */
  constructor(owner: object, what: string, free: () => void, within?: CallQueue) {
    this.#owner = owner;
    this.#what = what;
    this.#free = free;
    this.#within = within;
    forgotten.register(owner, free, this.#owner);
  }

  /**
   * Runs a call in its turn, until it ends, the caller cancels it or the owner is disposed of. With `whole`, a call that
   * has begun is only asked to stop and reports itself how it ended, so that a change is made completely or not at all.
   *
   * @throws {@link PplxEmbedError}: `"aborted"`, `"disposed"`, `"invalid-argument"`, and whatever the call throws.
   */
  async run<T>(o: CallOptions, call: (hooks: Hooks) => Promise<T>, whole = false): Promise<T> {
    const user = check.signal(o.signal);
    const onProgress = check.listener(o.onProgress);
    const stops = this.#stops();
    if (user) stops.push([user, () => aborted(user), whole]);
    this.#running++;
    busy.add(this);
    try {
      return await cancellable(stops, (signal, begin) =>
        this.#queue(() => {
          // A call that was cancelled while it waited has already rejected.
          if (signal.aborted) throw this.#disposed();
          begin();
          return call({ signal, onProgress });
        }),
      );
    } catch (error) {
      throw user?.aborted && PplxEmbedError.from(error).code === "aborted" ? aborted(user) : error;
    } finally {
      if (--this.#running === 0) busy.delete(this);
    }
  }

  /** Frees the owner. Calls under way, and later ones, reject with code `"disposed"`. */
  end(): void {
    if (this.#disposal.signal.aborted) return;
    forgotten.unregister(this.#owner);
    this.#disposal.abort();
    this.#free();
  }

  #stops(): Stop[] {
    const own: Stop = [this.#disposal.signal, () => this.#disposed()];
    return this.#within ? [...this.#within.#stops(), own] : [own];
  }

  #disposed(): PplxEmbedError {
    return new PplxEmbedError("disposed", `the ${this.#what} was disposed of`);
  }

  #queue<T>(call: () => Promise<T>): Promise<T> {
    if (this.#within) return this.#within.#queue(call);
    const result = this.#turn.then(call);
    this.#turn = result.then(
      () => {},
      () => {},
    );
    return result;
  }
}

/** Has `await using` call `dispose`, where the runtime knows `await using`. */
export function disposable(type: { prototype: { dispose(): Promise<void> } }): void {
  if (!Symbol.asyncDispose) return;
  Object.defineProperty(type.prototype, Symbol.asyncDispose, { value: type.prototype.dispose, configurable: true });
}
