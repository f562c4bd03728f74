// Checks the types of arguments. What values are allowed, and the defaults, the wasm module decides.

import { attempt, invalid, PplxEmbedError, reason } from "./errors.js";
import { hasFiles } from "./hosts/runtime.js";
import type { LoadOptions, OnProgress } from "./types.js";

/**
 * What `read` gives of an argument. What it throws is a fault of the argument: a getter, a trap of a proxy, memory that was
 * transferred elsewhere.
 */
export function readable<T>(argument: string, allowed: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    if (cause instanceof PplxEmbedError) throw cause;
    const message = `${argument}: cannot be read (${reason(cause)}), allowed is ${allowed}`;
    throw new PplxEmbedError("invalid-argument", message, { cause });
  }
}

/** The fields of an object, each read once. The object can change afterwards, and could not be sent to a worker. */
export function fields<T extends object>(argument: string, given: T, names: readonly (keyof T & string)[]): Partial<T> {
  const read: Partial<T> = {};
  for (const name of names) {
    const value = readable(argument === "" ? name : `${argument}.${name}`, "a value", () => given[name]);
    if (value !== undefined) read[name] = value;
  }
  return read;
}

/** The options, if they are an object that has only the fields in `allowed`. */
export function options<T extends object>(
  given: T | undefined,
  allowed: readonly (keyof T & string)[],
  argument = "options",
): Partial<T> {
  if (given === undefined) return {};
  const names = readable(argument, "an object", () => {
    const array = Array.isArray(given) || ArrayBuffer.isView(given); // which has methods that are called like options
    if (typeof given !== "object" || given === null || array) throw invalid(argument, given, "an object");
    return Object.keys(given);
  });
  for (const name of names) {
    if (!(allowed as readonly string[]).includes(name)) throw invalid(argument, name, allowed.join(", "));
  }
  return fields("", given, allowed);
}

/** A copy of an array without its holes, its class and whatever else it has; undefined if it is none. */
export function array(argument: string, value: unknown): unknown[] | undefined {
  return readable(argument, "an array", () => {
    if (!Array.isArray(value)) return undefined;
    const { length } = value;
    const copy: unknown[] = [];
    // By index, because forEach and the like skip holes. A hole is refused, so nothing behind it matters.
    for (let i = 0; i < length; i++) {
      const one: unknown = value[i];
      copy.push(one);
      if (one === undefined) break;
    }
    return copy;
  });
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
  const text = attempt(() => addressed(value), undefined);
  if (text === undefined) throw invalid(name, value, "a string or a URL");
  if (text === "" || !URL.canParse(text, base)) throw invalid(name, text, "an address");
  return new URL(text, base).href;
}

/** A string, or the address of a URL. A URL is not recognized by its class, because each frame of a page has its own. */
function addressed(value: unknown): string | undefined {
  const text = typeof value === "string" ? value : (value as URL | null | undefined)?.href;
  return typeof text === "string" ? text : undefined;
}

/**
 * The path or the address of a file or folder; undefined if the value is none. A path is written as one, so that it is never
 * taken for a name: it begins with "/", "./", "../" or a drive. Pages have no files.
 */
export function path(value: unknown): string | undefined {
  if (!hasFiles()) return undefined;
  const text = attempt(() => addressed(value), undefined);
  return text !== undefined && /^(file:|\.{0,2}[\\/]|\.{1,2}$|[a-z]:[\\/])/i.test(text) ? text : undefined;
}

/** An AbortSignal, not recognized by its class, because each frame of a page has its own. */
export function signal(value: AbortSignal | undefined): AbortSignal | undefined {
  if (value === undefined) return undefined;
  const works = attempt(() => {
    const listener = () => {};
    value.addEventListener("abort", listener);
    value.removeEventListener("abort", listener);
    return typeof value.aborted === "boolean";
  }, false);
  if (!works) throw invalid("signal", value, "an AbortSignal");
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

/** One string or many, as an array of its own. */
export function strings(name: string, value: string | readonly string[], allowed = "a string or an array of strings"): string[] {
  if (typeof value === "string") return [value];
  const copy = array(name, value);
  if (!copy) throw invalid(name, value, allowed);
  for (const [i, text] of copy.entries()) if (typeof text !== "string") throw invalid(`${name}[${i}]`, text, "a string");
  return copy as string[];
}

/** @throws {@link PplxEmbedError} with code `"invalid-argument"` for what is no device. */
export function device(value: LoadOptions["device"]): LoadOptions["device"] {
  if (!["auto", "webgpu", "cpu", undefined].includes(value)) throw invalid("device", value, "auto, webgpu, cpu");
  return value;
}
