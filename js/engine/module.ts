// The wasm module of this thread, and calls into it.

import { type ErrorCode, MOVED, PplxEmbedError } from "../errors.js";
import type { ThreadHost } from "../hosts/host.js";
import type { Hooks } from "./calls.js";

export type Wasm = typeof import("../wasm/pplx_embed.js");
export type WebModel = Awaited<ReturnType<Wasm["load"]>>;

/** The module, once it was asked for, and how many calls wait for it. All models of this thread share it. */
let starting: { wasm: Promise<Wasm>; waiting: number; stop: AbortController } | undefined;
/** Why the module can no longer be used. */
let crashed: PplxEmbedError | undefined;
/** Rejects the calls inside the module, which would never settle after a panic. */
const inside = new Set<(reason: PplxEmbedError) => void>();

/**
 * The module, started. If `signal` is aborted before, and nobody else waits, its download ends.
 *
 * @throws {@link PplxEmbedError} with code `"start"`.
 */
export async function module(host: ThreadHost, wasmUrl: string | undefined, signal: AbortSignal): Promise<Wasm> {
  starting ??= begin(host, wasmUrl);
  const { wasm, stop } = starting;
  const mine = starting;
  mine.waiting++;
  const leave = () => {
    // Not after it has started: everybody goes on using it.
    if (--mine.waiting === 0) stop.abort();
  };
  signal.addEventListener("abort", leave);
  try {
    return await wasm;
  } catch (error) {
    if (!stop.signal.aborted || signal.aborted) throw error;
  } finally {
    signal.removeEventListener("abort", leave);
  }
  return module(host, wasmUrl, signal); // those who wanted it before did not wait for it
}

function begin(host: ThreadHost, wasmUrl: string | undefined): NonNullable<typeof starting> {
  const stop = new AbortController();
  const wasm = start(host, wasmUrl, stop.signal).catch((error: unknown) => {
    starting = undefined; // the next load tries again
    const from = wasmUrl ? ` from ${wasmUrl}` : "";
    const why = error instanceof Error ? error.message : String(error);
    const hint = wasmUrl ? "" : `; ${MOVED}`;
    throw new PplxEmbedError("start", `the wasm module could not be started${from}: ${why}${hint}`, { cause: error });
  });
  return { wasm, stop, waiting: 0 };
}

async function start(host: ThreadHost, wasmUrl: string | undefined, signal: AbortSignal): Promise<Wasm> {
  const [wasm, given] = await Promise.all([import("../wasm/pplx_embed.js"), host.wasm(wasmUrl, signal)]);
  const { memory } = await wasm.default({ module_or_path: given });
  wasm.start((panic: string) => crash("internal", panic));
  // Some failures inside the module are not panics: memory that cannot grow, a full stack, an exception of the browser
  // that no code there expects. They are reported here and nowhere else.
  host.onUncaught((thrown) => crashIfWasm(thrown, memory));
  return wasm;
}

function crashIfWasm(thrown: unknown, memory: WebAssembly.Memory): boolean {
  if (inside.size === 0 || !(thrown instanceof Error)) return false;
  if (!(thrown instanceof WebAssembly.RuntimeError) && !/wasm/.test(thrown.stack ?? "")) return false;
  // A panic has been told before it gets here. What else ends by this instruction is an allocation that failed.
  const full = thrown instanceof WebAssembly.RuntimeError && /unreachable/i.test(thrown.message) && !crashed;
  const bytes = Math.round(memory.buffer.byteLength / 2 ** 20);
  if (full) crash("out-of-memory", `the wasm module has ${bytes} MiB of memory, which was not enough and could not grow`);
  else crash("internal", String(thrown));
  return true;
}

/** Marks the module as unusable: its state can no longer be trusted. */
function crash(code: ErrorCode, message: string): void {
  crashed ??= new PplxEmbedError(code, message);
  for (const reject of inside) reject(crashed);
}

/** Calls into the module, and turns what it throws into a {@link PplxEmbedError}. */
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

/** Hooks whose listener is called outside the module, so that an error in it is not taken for one of the module's. */
export function outside({ signal, onProgress }: Hooks): Hooks {
  return { signal, onProgress: onProgress && ((progress) => queueMicrotask(() => onProgress(progress))) };
}

/** Frees an object of the module. Calls that use it keep it alive until they end. */
export function free(object: { free(): void } | undefined): void {
  if (!crashed) object?.free();
}
