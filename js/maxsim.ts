// Late interaction: scores of token vectors, without a model.

import { cancellable, type Stop } from "./cancel.js";
import * as check from "./check.js";
import { LocalEngine } from "./engine.js";
import { aborted, invalid, PplxEmbedError } from "./errors.js";
import type { Engine, RawScores, ScoreRequest } from "./protocol.js";
import { WorkerEngine } from "./remote.js";
import type { OnProgress } from "./types.js";
import { type TokenVectors, tokens, wholeNumber } from "./vectors.js";

/** How to score. Every option may be left out. */
export interface MaxsimOptions {
  /** Score these pairs only, each `[query, document]` by index. */
  pairs?: readonly (readonly [query: number, document: number])[] | undefined;
  /** Score with cosines: every vector is brought to unit length first, and one of zeros stays as it is. */
  normalize?: boolean | undefined;
  /** Whether to score in a worker, which keeps the page smooth. Default: true. */
  worker?: boolean | undefined;
  /** Where the wasm module is, if a bundler cannot find it beside the script; relative to the page. */
  wasmUrl?: string | URL | undefined;
  /** Cancels the call. */
  signal?: AbortSignal | undefined;
  /** Hears how far the call is. */
  onProgress?: OnProgress | undefined;
}

/** What the tokens of a query matched in a document: one number each a query token, none for an empty document. */
export interface MaxsimExplanation {
  /** The document token that each query token matched, counted from the document's first; the lowest of equals. */
  tokens: Uint32Array;
  /** What each contributes. In order they add up to the score, in float32 to the bit. */
  similarities: Float32Array;
}

/** How to explain: as for {@link maxsim}. */
type ExplainOptions = Omit<MaxsimOptions, "pairs" | "onProgress">;

const EXPLAIN_OPTIONS = ["normalize", "worker", "wasmUrl", "signal"] as const;
const OPTIONS = [...EXPLAIN_OPTIONS, "pairs", "onProgress"] as const;

/**
 * Scores queries against documents by late interaction: for each token of the query the highest dot product with any
 * token of the document, added up. It runs on the GPU, or where there is none on the CPU, and needs no model.
 *
 * Negative similarities count as they are, and an empty document scores -Infinity. A score has the same bits whatever
 * else is scored. It is a raw sum: divide by the query's tokens yourself. Documents of any number and length are
 * scored in rounds, in memory that does not grow with them.
 *
 * @param queries - Token vectors, as `encodeQuery` gives them, or an array of such, one an item.
 * @param documents - Likewise.
 * @returns `[queries, documents]`, row by row; with `pairs`, one score each.
 * @throws {@link PplxEmbedError}: `"invalid-argument"` naming the argument and index, for offsets that fall, data of
 * another size, an empty query, numbers that are not finite; `"aborted"`, `"out-of-memory"`, `"device-lost"`,
 * `"wrong-kernel"`, `"start"`.
 *
 * @example
 * ```ts
 * const queries = { data: new Float32Array([1, 0, 0, 1]), offsets: [0, 2], dim: 2 }; // one of two tokens
 * const documents = { data: new Float32Array([1, 0, 0.5, 0.5, -1, -2]), offsets: [0, 2, 3, 3], dim: 2 };
 * console.log(await maxsim(queries, documents)); // Float32Array(3) [ 1.5, -3, -Infinity ]
 * ```
 */
export async function maxsim(
  queries: TokenVectors | readonly TokenVectors[],
  documents: TokenVectors | readonly TokenVectors[],
  options?: MaxsimOptions,
): Promise<Float32Array> {
  const o = check.options(options, OPTIONS);
  const pairs = o.pairs && flat(o.pairs);
  return (await run(queries, documents, pairs, o, false)) as Float32Array;
}

/**
 * Which token of a document each token of a query matched, and what that contributes to their score.
 *
 * @param queries - As for {@link maxsim}.
 * @param documents - Likewise.
 * @param pair - Which query and which document, by index.
 * @throws As {@link maxsim}.
 *
 * @example
 * ```ts
 * const query = { data: new Float32Array([1, 0, 0, 1]), dim: 2 };
 * const document = { data: new Float32Array([1, 0, 0.5, 0.5]), dim: 2 };
 * console.log(await explainMaxsim(query, document)); // { tokens: [ 0, 1 ], similarities: [ 1, 0.5 ] }
 * ```
 */
export async function explainMaxsim(
  queries: TokenVectors | readonly TokenVectors[],
  documents: TokenVectors | readonly TokenVectors[],
  pair: readonly [query: number, document: number] = [0, 0],
  options?: ExplainOptions,
): Promise<MaxsimExplanation> {
  const o = check.options(options, EXPLAIN_OPTIONS);
  return (await run(queries, documents, flat([pair]), o, true)) as MaxsimExplanation;
}

async function run(
  queries: TokenVectors | readonly TokenVectors[],
  documents: TokenVectors | readonly TokenVectors[],
  pairs: Uint32Array | undefined,
  o: Omit<MaxsimOptions, "pairs">,
  explain: boolean,
): Promise<RawScores> {
  const request: ScoreRequest = {
    queries: tokens("queries", queries),
    documents: tokens("documents", documents),
    pairs,
    normalize: check.primitive("normalize", o.normalize, "boolean"),
    explain,
    wasmUrl: check.address("wasmUrl", o.wasmUrl),
  };
  const worker = check.primitive("worker", o.worker, "boolean") ?? true;
  const user = check.signal(o.signal);
  const onProgress = check.listener(o.onProgress);
  if (user?.aborted) throw aborted(user);
  const stops: Stop[] = user ? [[user, () => aborted(user)]] : [];
  return cancellable(stops, (signal) => shared(worker).use((engine) => engine.score(request, { signal, onProgress })));
}

/** An engine and the calls it is in. */
interface Held {
  engine: Engine;
  calls: number;
}

/** An engine for all calls of one kind, which ends when nobody has used it for a while. */
class Shared {
  readonly #start: () => Engine;
  #held: Held | undefined;
  #idle: ReturnType<typeof setTimeout> | undefined;

  constructor(start: () => Engine) {
    this.#start = start;
  }

  async use<T>(call: (engine: Engine) => Promise<T>): Promise<T> {
    const held = (this.#held ??= { engine: this.#start(), calls: 0 });
    clearTimeout(this.#idle);
    held.calls++;
    try {
      return await call(held.engine);
    } catch (error) {
      // Whatever is wrong with the device or the worker is not left to the next call.
      const own = ["invalid-argument", "aborted"].includes(PplxEmbedError.from(error).code);
      if (!own && this.#held === held) this.#held = undefined;
      throw error;
    } finally {
      held.calls--;
      if (this.#held === held) this.#idle = setTimeout(() => this.#end(held), 5_000);
      else this.#end(held);
    }
  }

  #end(held: Held): void {
    if (held.calls > 0) return;
    if (this.#held === held) this.#held = undefined;
    held.engine.close();
  }
}

const engines: Shared[] = [];

function shared(worker: boolean): Shared {
  return (engines[Number(worker)] ??= new Shared(() => (worker ? new WorkerEngine() : new LocalEngine())));
}

function flat(pairs: NonNullable<MaxsimOptions["pairs"]>): Uint32Array {
  if (!Array.isArray(pairs)) throw invalid("pairs", pairs, "an array of [query, document]");
  const result = new Uint32Array(2 * pairs.length);
  for (let i = 0; i < pairs.length; i++) {
    const pair: unknown = pairs[i];
    if (!Array.isArray(pair) || pair.length !== 2) throw invalid(`pairs[${i}]`, pair, "[query, document]");
    for (let j = 0; j < 2; j++) result[2 * i + j] = wholeNumber(`pairs[${i}][${j}]`, pair[j]);
  }
  return result;
}
