// Arguments, before they go anywhere. What only the model can know (forms, dimensions) it checks itself.

import { invalid, PplxEmbedError, show } from "./errors.js";
import type { EmbedRequest } from "./protocol.js";
import type { EmbedOptions, OnProgress } from "./types.js";

/** The options, if they are an object with no other names than `allowed`. */
export function options<T extends object>(given: T | undefined, allowed: readonly (keyof T & string)[]): Partial<T> {
  if (given === undefined) return {};
  if (typeof given !== "object" || given === null) throw invalid("options", given, "an object");
  for (const name of Object.keys(given)) {
    if (!(allowed as readonly string[]).includes(name)) throw invalid("options", name, allowed.join(", "));
  }
  return given;
}

/** An option that has one of a few values; those in `later` come with a later version. */
export function choice<T>(name: string, value: T, allowed: readonly T[], later: readonly T[]): T {
  if (allowed.includes(value)) return value;
  if (!later.includes(value)) throw invalid(name, value, list([...allowed, ...later]));
  throw new PplxEmbedError("unsupported", `${name} ${show(value)} is not in this version, allowed is ${list(allowed)}`);
}

/** An option of a primitive type. */
export function primitive<T>(name: string, value: T, type: "string" | "number" | "boolean" | "function"): T {
  if (value !== undefined && typeof value !== type) throw invalid(name, value, `a ${type}`);
  return value;
}

/** What something kept in the browser is called: one segment of a path, and of what a lock is called. */
export function name(argument: string, value: unknown): string {
  if (typeof value === "string" && /^[\w-][\w.-]{0,63}$/.test(value)) return value;
  throw invalid(argument, value, "1 to 64 letters, digits, '-', '_' and '.', the first no '.'");
}

/** An address, made absolute: a worker would take it relative to its own script. */
export function address(name: string, value: string | URL | undefined): string | undefined {
  if (value === undefined) return undefined;
  const base = globalThis.document?.baseURI ?? globalThis.location?.href;
  if (value === "" || !URL.canParse(String(value), base)) throw invalid(name, String(value), "an address");
  return new URL(value, base).href;
}

/** An AbortSignal; not by its class, since each frame of a page has its own. */
export function signal(value: AbortSignal | undefined): AbortSignal | undefined {
  if (value !== undefined && !(typeof value?.aborted === "boolean" && "addEventListener" in value)) {
    throw invalid("signal", value, "an AbortSignal");
  }
  return value;
}

/** A listener whose faults do not reach the call it listens to. */
export function listener(value: OnProgress | undefined): OnProgress | undefined {
  if (!primitive("onProgress", value, "function")) return undefined;
  return (progress) => {
    try {
      value?.(progress);
    } catch (error) {
      reportError(error);
    }
  };
}

/** What of the options for vectors goes to the model. */
export function embedRequest(o: Partial<EmbedOptions>): EmbedRequest {
  return {
    dtype: primitive("dtype", o.dtype, "string"),
    dimensions: primitive("dimensions", o.dimensions, "number"),
    normalize: primitive("normalize", o.normalize, "boolean"),
  };
}

/** One text or many, as many. */
export function texts(value: string | readonly string[]): readonly string[] {
  return strings("texts", value);
}

/** One string or many, as many. */
export function strings(name: string, value: string | readonly string[]): readonly string[] {
  if (typeof value === "string") return [value];
  if (!Array.isArray(value)) throw invalid(name, value, "a string or an array of strings");
  // By index, because forEach and the like pass over holes.
  for (let i = 0; i < value.length; i++) {
    if (typeof value[i] !== "string") throw invalid(`${name}[${i}]`, value[i], "a string");
  }
  return value;
}

function list(values: readonly unknown[]): string {
  return values.filter((value) => value !== undefined).join(", ");
}
