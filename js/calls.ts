/// <reference lib="esnext.disposable" preserve="true" />
// The calls of a model or an index: one after another, until it is disposed of or forgotten.

import { cancellable, type Stop } from "./cancel.js";
import * as check from "./check.js";
import { aborted, PplxEmbedError } from "./errors.js";
import type { Hooks } from "./protocol.js";
import type { OnProgress } from "./types.js";

/** Frees what was forgotten rather than disposed of. */
const forgotten = new FinalizationRegistry((free: () => void) => free());
/** Owners with calls under way, which keeps them from being taken for forgotten. */
const busy = new Set<Calls>();

/** What of a call's options concerns how it runs. */
interface Options {
  signal?: AbortSignal | undefined;
  onProgress?: OnProgress | undefined;
}

/** The calls of `owner`, which errors call `what`. */
export class Calls {
  readonly #owner: object;
  readonly #what: string;
  readonly #free: () => void;
  readonly #within: Calls | undefined;
  readonly #disposal = new AbortController();
  /** Settles when the calls made so far have ended. */
  #turn: Promise<unknown> = Promise.resolve();
  #running = 0;

  /**
   * @param free - Called once, at the end; it may not hold on to `owner`.
   * @param within - The calls that these are some of: they take turns with those, and end with them.
   */
  constructor(owner: object, what: string, free: () => void, within?: Calls) {
    this.#owner = owner;
    this.#what = what;
    this.#free = free;
    this.#within = within;
    forgotten.register(owner, free, this.#owner);
  }

  /**
   * Runs a call in its turn, until the caller cancels it or its owner is disposed of. With `whole`, a call that has
   * begun says itself whether it was cancelled: for what changes something, all or nothing.
   */
  async run<T>(o: Options, call: (hooks: Hooks) => Promise<T>, whole = false): Promise<T> {
    const user = check.signal(o.signal);
    const onProgress = check.listener(o.onProgress);
    const stops = this.#stops();
    if (user) stops.push([user, () => aborted(user), whole]);
    this.#running++;
    busy.add(this);
    try {
      return await cancellable(stops, (signal, begin) =>
        this.#queue(() => {
          // One that was cancelled while it waited has already been answered.
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

  /** Rejects the calls that are under way, and later ones, with the code `"disposed"`. */
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

/** Makes `dispose` what `await using` calls, where the runtime has that. */
export function disposable(type: { prototype: { dispose(): Promise<void> } }): void {
  if (!Symbol.asyncDispose) return;
  Object.defineProperty(type.prototype, Symbol.asyncDispose, { value: type.prototype.dispose, configurable: true });
}
