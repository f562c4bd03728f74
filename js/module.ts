// The wasm module of this thread, and calls into it.

import { PplxEmbedError } from "./errors.js";
import type { Hooks } from "./protocol.js";

export type Wasm = typeof import("./wasm/pplx_embed.js");
export type WebModel = Awaited<ReturnType<Wasm["load"]>>;

/** The module, once somebody has asked for it. There is one for all models of this thread. */
let starting: Promise<Wasm> | undefined;
/** Why it can no longer be used. */
let crashed: PplxEmbedError | undefined;
/** Rejects the calls that are inside the module: after a panic they would never settle. */
const inside = new Set<(reason: PplxEmbedError) => void>();

/** The module, started. */
export function module(wasmUrl: string | undefined): Promise<Wasm> {
  starting ??= start(wasmUrl).catch((error: unknown) => {
    starting = undefined; // the next load tries again
    const from = wasmUrl ? ` from ${wasmUrl}` : "";
    const why = error instanceof Error ? error.message : String(error);
    throw new PplxEmbedError("start", `the wasm module could not be started${from}: ${why}`, { cause: error });
  });
  return starting;
}

async function start(wasmUrl: string | undefined): Promise<Wasm> {
  const wasm = await import("./wasm/pplx_embed.js");
  await (wasmUrl ? wasm.default({ module_or_path: wasmUrl }) : wasm.default());
  wasm.start(crash);
  // What else can end a call inside the module leaves no panic: memory that cannot grow, a stack that is full, an
  // exception of the browser's that no code there expects. It arrives here, and nowhere else.
  addEventListener("error", (event) => crashIfWasm(event.error));
  addEventListener("unhandledrejection", (event) => crashIfWasm(event.reason));
  return wasm;
}

function crashIfWasm(thrown: unknown): void {
  if (inside.size === 0 || !(thrown instanceof Error)) return;
  if (thrown instanceof WebAssembly.RuntimeError || /wasm/.test(thrown.stack ?? "")) crash(String(thrown));
}

/** After this nothing in the module can be relied on. */
function crash(message: string): void {
  crashed ??= new PplxEmbedError("internal", message);
  for (const reject of inside) reject(crashed);
}

/** A call into the module, whose errors are typed. */
export async function guarded<T>(call: () => Promise<T>): Promise<T> {
  if (crashed) throw crashed;
  let reject: (reason: PplxEmbedError) => void = () => {};
  const panic = new Promise<never>((_, r) => (reject = r));
  inside.add(reject);
  try {
    return await Promise.race([call(), panic]);
  } catch (error) {
    throw PplxEmbedError.from(error);
  } finally {
    inside.delete(reject);
  }
}

/** The caller's listener is not called from inside the module, so that its faults are not taken for the module's. */
export function outside({ signal, onProgress }: Hooks): Hooks {
  return { signal, onProgress: onProgress && ((progress) => queueMicrotask(() => onProgress(progress))) };
}

/** Frees an object of the module's; calls that it is in keep it alive until they end. */
export function free(object: { free(): void } | undefined): void {
  if (!crashed) object?.free();
}
