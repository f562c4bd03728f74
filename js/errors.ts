/** What went wrong, as a word that stays the same between versions. Messages may be reworded; codes are not. */
export type ErrorCode =
  /** An argument is not allowed. The message names it, what came and what is allowed. */
  | "invalid-argument"
  /**
   * A file is not at the endpoint: check the model's id, the revision and the endpoint. Or the model comes with the
   * package, and the import that brings it is missing. Or no index has that name.
   */
  | "not-found"
  /** A file could not be read to its end. */
  | "io"
  /** A server refused, failed or could not be reached. */
  | "network"
  /** A file is not what the server's manifest says: another size or digest. Or a saved index is cut or changed. */
  | "integrity"
  /** The browser has no room for an index that was to be saved. A model that does not fit is loaded without being kept. */
  | "storage-full"
  /** A model or saved index that was to be removed is being loaded or used, here or in another tab. */
  | "in-use"
  /** A weight file breaks the rules of safetensors, or does not hold what the config promises. */
  | "invalid-checkpoint"
  /** A configuration file is malformed, contradicts itself, or lacks a field. */
  | "invalid-config"
  /** `tokenizer.json` cannot be read, or does not fit the model. */
  | "invalid-tokenizer"
  /** Something well-formed that this version does not do. */
  | "unsupported"
  /** There is no GPU to run on: no WebGPU in this browser, not a secure context, or no adapter. */
  | "no-adapter"
  /** The adapter has less than WebGPU guarantees, or is too small for this input. */
  | "adapter-too-small"
  /** The device's memory, or the browser's, does not suffice. */
  | "out-of-memory"
  /** The GPU was reset or taken away. Load the model again. */
  | "device-lost"
  /** The browser rejected a shader or a command. */
  | "gpu"
  /** A kernel gives wrong numbers on this adapter, so that no vector of it could be trusted. */
  | "wrong-kernel"
  /** The caller's signal was aborted. */
  | "aborted"
  /** The model or index was disposed of. */
  | "disposed"
  /** The worker or the wasm module could not be started. Check where they are served, and the page's CSP. */
  | "start"
  /** A bug in this library. The model is gone; the message says where it happened. */
  | "internal";

/**
 * Every error that this package throws or rejects with.
 *
 * @example
 * ```ts
 * try {
 *   await load("perplexity-ai/no-such-model");
 * } catch (error) {
 *   if (error instanceof PplxEmbedError) console.log(error.code); // not-found
 * }
 * ```
 */
export class PplxEmbedError extends Error {
  /** What went wrong. */
  readonly code: ErrorCode;

  /** @internal */
  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "PplxEmbedError";
    this.code = code;
  }

  /** @internal An error from the wasm module or the worker, both of which give a code and a message. */
  static from(thrown: unknown): PplxEmbedError {
    if (thrown instanceof PplxEmbedError) return thrown;
    const { code, message } = (thrown ?? {}) as { code?: unknown; message?: unknown };
    // A DOMException has a numeric code; a thrown trap of the wasm module has none.
    if (typeof code === "string") return new PplxEmbedError(code as ErrorCode, String(message));
    return new PplxEmbedError("internal", String(message ?? thrown), { cause: thrown });
  }
}

/** @internal */
export function invalid(argument: string, came: unknown, allowed: string): PplxEmbedError {
  return new PplxEmbedError("invalid-argument", `${argument}: ${show(came)}, allowed is ${allowed}`);
}

/** @internal */
export function aborted(signal: AbortSignal): PplxEmbedError {
  return new PplxEmbedError("aborted", "cancelled by the caller", { cause: signal.reason });
}

/** @internal What came, for a message. */
export function show(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}...` : value);
  if (value === null || ["number", "boolean", "undefined", "bigint"].includes(typeof value)) return String(value);
  if (Array.isArray(value)) return "an array";
  if (typeof value === "object") return `a value of type ${value.constructor?.name ?? "object"}`;
  return `a ${typeof value}`;
}
