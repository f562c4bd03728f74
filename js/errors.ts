/** What went wrong. Codes stay the same between versions; messages may change. */
export type ErrorCode =
  /** An argument is not allowed. The message says which one, what it was and what is allowed. */
  | "invalid-argument"
  /**
   * A file is not at the endpoint: check the id of the model, the revision and the endpoint. Or the model comes with the
   * package, and its import is missing. Or no index was saved under that name.
   */
  | "not-found"
  /** A file could not be read or written. */
  | "io"
  /** A server could not be reached, failed, or denied access. */
  | "network"
  /** A file has another size or digest than the server says, or a saved index is cut or changed. */
  | "integrity"
  /** There is no room to save an index. (A model for which there is no room is loaded without being cached.) */
  | "storage-full"
  /** A model or saved index cannot be removed now, because it is being loaded or saved, here or in another tab or process. */
  | "in-use"
  /** A weight file is not valid safetensors, or lacks a tensor that the config implies. */
  | "invalid-checkpoint"
  /** A configuration file is malformed, lacks a field, or contradicts itself. */
  | "invalid-config"
  /** `tokenizer.json` cannot be read, or does not fit the model. */
  | "invalid-tokenizer"
  /** Valid, but not supported by this version. */
  | "unsupported"
  /** There is no GPU to run on: no WebGPU in this browser or runtime, no secure context, or no adapter. */
  | "no-adapter"
  /** The GPU offers less than WebGPU guarantees, or is too small for this input. */
  | "adapter-too-small"
  /** There is not enough memory on the GPU or in the browser. */
  | "out-of-memory"
  /** The GPU was reset or taken away. Load the model again. */
  | "device-lost"
  /** The browser rejected a shader or a command: a bug in the browser or in this library. */
  | "gpu"
  /** A shader gives wrong numbers on this GPU, so its vectors could not be trusted. */
  | "wrong-kernel"
  /** A vector has numbers that are infinite or not numbers: the weights are damaged, or not those of this config. */
  | "not-finite"
  /** The `signal` of the call was aborted. */
  | "aborted"
  /** The model or index was disposed of. */
  | "disposed"
  /**
   * The worker or the wasm module could not be started. Check that they are served, and the CSP of the page; on a server,
   * that no bundler has moved them.
   */
  | "start"
  /** A bug in this library. The message says where it happened. The model and its indexes can no longer be used. */
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

  /** @internal What the wasm module, the worker or anything else threw, as a PplxEmbedError. */
  static from(thrown: unknown): PplxEmbedError {
    if (thrown instanceof PplxEmbedError) return thrown;
    const { code, message } = (thrown ?? {}) as { code?: unknown; message?: unknown };
    // A DOMException has a numeric code; a thrown trap of the wasm module has none.
    if (typeof code === "string") return new PplxEmbedError(code as ErrorCode, String(message));
    return new PplxEmbedError("internal", String(message ?? thrown), { cause: thrown });
  }
}

/** @internal The error for an argument that is not allowed. */
export function invalid(argument: string, came: unknown, allowed: string): PplxEmbedError {
  return new PplxEmbedError("invalid-argument", `${argument}: ${show(came)}, allowed is ${allowed}`);
}

/** @internal The error for a call whose signal was aborted. */
export function aborted(signal: AbortSignal): PplxEmbedError {
  return new PplxEmbedError("aborted", "cancelled by the caller", { cause: signal.reason });
}

/** @internal A value as a message shows it. */
export function show(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}...` : value);
  if (value === null || ["number", "boolean", "undefined", "bigint"].includes(typeof value)) return String(value);
  if (Array.isArray(value)) return "an array";
  if (typeof value === "object") return `a value of type ${value.constructor?.name ?? "object"}`;
  return `a ${typeof value}`;
}
