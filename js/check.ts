// Checks the types of arguments. What values are allowed, and the defaults, the wasm module decides.

import { invalid } from "./errors.js";
import { hasFiles } from "./hosts/runtime.js";
import type { LoadOptions, OnProgress } from "./types.js";

/** The options, if they are an object that has only the fields in `allowed`. */
export function options<T extends object>(given: T | undefined, allowed: readonly (keyof T & string)[]): Partial<T> {
  if (given === undefined) return {};
  if (typeof given !== "object" || given === null) throw invalid("options", given, "an object");
  for (const name of Object.keys(given)) {
    if (!(allowed as readonly string[]).includes(name)) throw invalid("options", name, allowed.join(", "));
  }
  return given;
}

/** An option of a primitive type. */
export function primitive<T>(name: string, value: T, type: "string" | "number" | "boolean" | "function"): T {
  if (value !== undefined && typeof value !== type) throw invalid(name, value, `a ${type}`);
  return value;
}

/** The name of something kept in the browser. It becomes one segment of a path, and of the name of a lock. */
export function name(argument: string, value: unknown): string {
  if (typeof value === "string" && /^[\w-][\w.-]{0,63}$/.test(value)) return value;
  throw invalid(argument, value, "1 to 64 letters, digits, '-', '_' and '.', not starting with '.'");
}

/** An address, made absolute, because a worker would resolve it relative to its own script. */
export function address(name: string, value: string | URL | undefined): string | undefined {
  if (value === undefined) return undefined;
  const base = globalThis.document?.baseURI ?? globalThis.location?.href;
  // A URL is not recognised by its class, because each frame of a page has its own.
  const text = typeof value === "string" ? value : (value as URL | null)?.href;
  if (typeof text !== "string") throw invalid(name, value, "a string or a URL");
  if (text === "" || !URL.canParse(text, base)) throw invalid(name, text, "an address");
  return new URL(text, base).href;
}

/**
 * Whether a value is the path or the address of a file or folder. A path is written as one, so that it is never taken for
 * a name: it begins with "/", "./", "../" or a drive. Pages have no files.
 */
export function isPath(value: unknown): value is string | URL {
  if (!hasFiles()) return false;
  const text = typeof value === "string" ? value : (value as URL | null | undefined)?.href;
  return typeof text === "string" && /^(file:|\.{0,2}[\\/]|\.{1,2}$|[a-z]:[\\/])/i.test(text);
}

/** An AbortSignal, not recognised by its class, because each frame of a page has its own. */
export function signal(value: AbortSignal | undefined): AbortSignal | undefined {
  if (value !== undefined && !(typeof value?.aborted === "boolean" && "addEventListener" in value)) {
    throw invalid("signal", value, "an AbortSignal");
  }
  return value;
}

/** A listener whose errors do not reach the call it listens to. */
export function listener(value: OnProgress | undefined): OnProgress | undefined {
  if (!primitive("onProgress", value, "function")) return undefined;
  return (progress) => {
    try {
      value?.(progress);
    } catch (error) {
      // Node.js has no reportError, and that of Deno ends the process.
      if (hasFiles()) console.error(error);
      else reportError(error);
    }
  };
}

/** One text or many, as an array. */
export function texts(value: string | readonly string[]): readonly string[] {
  return strings("texts", value);
}

/** One string or many, as an array. */
export function strings(name: string, value: string | readonly string[]): readonly string[] {
  if (typeof value === "string") return [value];
  if (!Array.isArray(value)) throw invalid(name, value, "a string or an array of strings");
  // By index, because forEach and the like skip holes.
  for (let i = 0; i < value.length; i++) {
    if (typeof value[i] !== "string") throw invalid(`${name}[${i}]`, value[i], "a string");
  }
  return value;
}

/** @throws {@link PplxEmbedError} with code `"invalid-argument"` for what is no device. */
export function device(value: LoadOptions["device"]): LoadOptions["device"] {
  if (!["auto", "webgpu", "cpu", undefined].includes(value)) throw invalid("device", value, "auto, webgpu, cpu");
  return value;
}
