// MaxSim: scores of token vectors, without a model.

import { cancellable, type Stop } from "../calls/cancel.js";
import * as check from "../check.js";
import type { Answer, Engine, MaxsimRequest } from "../engine/calls.js";
import { startEngine } from "../engine/start.js";
import { aborted, invalid, PplxEmbedError } from "../errors.js";
import { inBackground } from "../hosts/runtime.js";
import type { OnProgress } from "../types.js";
import { rawVectors, type TokenVectors, wholeNumber } from "./token-vectors.js";

/** Options of {@link explainMaxsim}. Every option may be left out. */
export interface ExplainMaxsimOptions {
  /** Whether to score with cosines, by scaling every vector to unit length first. Zeros stay zeros. Default: false. */
  normalize?: boolean | undefined;
  /** Whether to score in a worker, which keeps the page responsive. Default: true where one can be made. */
  worker?: boolean | undefined;
  /** The address of the wasm module, if it is not beside the script. In a page it may be relative to it. */
  wasmUrl?: string | URL | undefined;
  /** Cancels the call. */
  signal?: AbortSignal | undefined;
}

/** Options of {@link maxsim}. Every option may be left out. */
export interface MaxsimOptions extends ExplainMaxsimOptions {
  /** Scores only these pairs, each `[query, document]` by index. */
  pairs?: readonly (readonly [query: number, document: number])[] | undefined;
  /** Called from time to time with how far the call is, and with a notice if there is no GPU. */
  onProgress?: OnProgress | undefined;
}

/** What each token of a query matched in a document: one entry a query token, none if the document is empty. */
export interface MaxsimExplanation {
  /** Which token of the document, from 0; the first of those that are equally similar. */
  tokens: Uint32Array;
  /** Their dot products. Added up in order, in float32, they give exactly the score. */
  similarities: Float32Array;
}

const EXPLAIN_OPTIONS = ["normalize", "worker", "wasmUrl", "signal"] as const;
const OPTIONS = [...EXPLAIN_OPTIONS, "pairs", "onProgress"] as const;

/**
 * Scores queries against documents by late interaction (ColBERT's MaxSim): the sum over the tokens of the query of the
 * highest dot product with any token of the document. It runs on the GPU, or on the CPU if there is none, and needs no
 * model.
 *
 * Negative dot products count as they are, and an empty document scores -Infinity. A score has the same bits whatever
 * else is in the call. It is not divided by the number of query tokens. The memory that a call needs does not grow with
 * the number or the length of the documents.
 *
 * @param queries - Token vectors, as `encodeQuery` returns them, or an array of them.
 * @param documents - Token vectors, as `encodeDocument` returns them, or an array of them.
 * @returns Scores of shape `[queries, documents]`, row by row; with `pairs`, one score a pair.
 * @throws {@link PplxEmbedError}: `"invalid-argument"`, naming the argument and index, for offsets that decrease, data
 * of the wrong size, an empty query, or numbers that are not finite; `"aborted"`, `"out-of-memory"`, `"device-lost"`,
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
  const pairs = o.pairs === undefined ? undefined : flat(o.pairs);
  return run("maxsim", queries, documents, pairs, o);
}

/**
 * Explains a score: which token of a document each token of a query matched, and how much that adds to the score.
 *
 * @param queries - As for {@link maxsim}.
 * @param documents - As for {@link maxsim}.
 * @param pair - Which query and which document, by index. Default: the first of each.
 * @returns One entry for each token of the query.
 * @throws {@link PplxEmbedError}: as {@link maxsim}.
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
  pair?: readonly [query: number, document: number],
  options?: ExplainMaxsimOptions,
): Promise<MaxsimExplanation> {
  const o = check.options(options, EXPLAIN_OPTIONS);
  return run("explainMaxsim", queries, documents, pair === undefined ? undefined : Uint32Array.from(indices("pair", pair)), o);
}

async function run<K extends "maxsim" | "explainMaxsim">(
  name: K,
  queries: TokenVectors | readonly TokenVectors[],
  documents: TokenVectors | readonly TokenVectors[],
  pairs: Uint32Array | undefined,
  o: Omit<MaxsimOptions, "pairs">,
): Promise<Answer<K>> {
  const request: MaxsimRequest = {
    queries: rawVectors("queries", queries),
    documents: rawVectors("documents", documents),
    pairs,
    normalize: check.primitive("normalize", o.normalize, "boolean"),
    wasmUrl: check.address("wasmUrl", o.wasmUrl),
  };
  const worker = check.primitive("worker", o.worker, "boolean");
  const user = check.signal(o.signal);
  const onProgress = check.listener(o.onProgress);
  if (user?.aborted) throw aborted(user);
  const stops: Stop[] = user ? [[user, () => aborted(user)]] : [];
  const shared = engines.get(worker) ?? new SharedEngine();
  engines.set(worker, shared);
  return cancellable(stops, (signal) =>
    shared.use(
      () => startEngine({ worker, onProgress }),
      (engine) => engine.call(name, request, { signal, onProgress }),
    ),
  );
}

/** An engine, and how many calls it is in. */
interface CountedEngine {
  engine: Promise<Engine>;
  calls: number;
}

/** An engine that several calls share. It ends when nobody has used it for five seconds. */
class SharedEngine {
  #current: CountedEngine | undefined;
  #idle: ReturnType<typeof setTimeout> | undefined;

  async use<T>(start: () => Promise<Engine>, call: (engine: Engine) => Promise<T>): Promise<T> {
    const current = (this.#current ??= { engine: start(), calls: 0 });
    clearTimeout(this.#idle);
    current.calls++;
    try {
      return await call(await current.engine);
    } catch (error) {
      // If something is wrong with the device or the worker, the next call starts a new one.
      const callers = ["invalid-argument", "aborted"].includes(PplxEmbedError.from(error).code);
      if (!callers && this.#current === current) this.#current = undefined;
      throw error;
    } finally {
      current.calls--;
      if (this.#current === current) inBackground((this.#idle = setTimeout(() => this.#end(current), 5_000)));
      else this.#end(current);
    }
  }

  #end(ended: CountedEngine): void {
    if (ended.calls > 0) return;
    if (this.#current === ended) this.#current = undefined;
    void ended.engine.then((engine) => engine.close(), () => {}); // whoever called has heard that it did not start
  }
}

/** One for each value of the option `worker`. */
const engines = new Map<boolean | undefined, SharedEngine>();

function flat(pairs: NonNullable<MaxsimOptions["pairs"]>): Uint32Array {
  const list = check.array("pairs", pairs);
  if (!list) throw invalid("pairs", pairs, "an array of [query, document]");
  return Uint32Array.from(list.flatMap((pair, i) => indices(`pairs[${i}]`, pair)));
}

function indices(name: string, pair: unknown): number[] {
  const numbers = check.array(name, pair);
  if (numbers?.length !== 2) throw invalid(name, pair, "[query, document]");
  return numbers.map((number, i) => wholeNumber(`${name}[${i}]`, number));
}
