// WebGPU outside of pages: that of the runtime, or that of the package "webgpu".

import { PplxEmbedError } from "../../errors.js";
import type { LoadOptions } from "../../types.js";
import type { Device } from "../host.js";

/** Dawn for Node.js. It need not be installed, so it is imported by a name that bundlers do not see. */
const PACKAGE = "webgpu";
/** The globals that pages and their workers have. Without one of them the wasm module panics where it looks for a GPU. */
const SIGNS = ["Window", "WorkerGlobalScope"];

/** A limit of WebGPU that the wasm module wants to know, and its default. Deno has it, but does not say so (2.9). */
const UNSAID = ["maxBindGroupsPlusVertexBuffers", 24] as const;

interface WebGpuPackage {
  create(options: string[]): GPU;
  globals: object;
}

/** How many calls need the globals that were added. */
let users = 0;
const added: string[] = [];

/** `ThreadHost.withGpu`. */
export async function withGpu<T>(device: LoadOptions["device"], act: (device: Device) => Promise<T>): Promise<T> {
  // Deno 2.9 often crashes when a process ends after a worker has so much as looked for an adapter.
  if (device !== "webgpu") return act("cpu");
  if (!globalThis.navigator?.gpu) await install();
  // Other code could take them for a page's, so they are there only while they are needed.
  if (users++ === 0) {
    if (!SIGNS.some((sign) => sign in globalThis)) add("WorkerGlobalScope", class {});
    if (!globalThis.navigator) add("navigator", {});
  }
  sayLimit();
  try {
    return await act(device);
  } finally {
    if (--users === 0) for (const name of added.splice(0)) Reflect.deleteProperty(globalThis, name);
  }
}

function add(name: string, value: unknown): void {
  Object.defineProperty(globalThis, name, { value, configurable: true });
  added.push(name);
}

function sayLimit(): void {
  const { prototype } = (globalThis as { GPUSupportedLimits?: { prototype: object } }).GPUSupportedLimits ?? {};
  const [name, value] = UNSAID;
  if (prototype && !(name in prototype)) Object.defineProperty(prototype, name, { get: () => value, configurable: true });
}

/** Makes `navigator.gpu` that of the package "webgpu". */
async function install(): Promise<void> {
  let gpu: GPU;
  try {
    const dawn = (await import(/* webpackIgnore: true */ /* @vite-ignore */ PACKAGE)) as WebGpuPackage;
    Object.assign(globalThis, dawn.globals);
    gpu = dawn.create([]);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    const hint = `this runtime has no WebGPU; install the package "${PACKAGE}" beside this one, or use device "cpu"`;
    throw new PplxEmbedError("no-adapter", `no GPU adapter: ${hint} (${why})`, { cause });
  }
  const at = added.indexOf("navigator");
  if (at >= 0) added.splice(at, 1); // which stays
  if (!globalThis.navigator) Object.defineProperty(globalThis, "navigator", { value: {}, configurable: true });
  Object.defineProperty(globalThis.navigator, "gpu", { value: gpu, configurable: true });
}
