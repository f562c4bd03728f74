import { type ErrorCode, PplxEmbedError } from "../errors.js";
import type { Host } from "./host.js";

/** A host on which this version runs nothing; every attempt fails at once and says so. */
export function elsewhere(name: string): Host {
  const fail = (code: ErrorCode): never => {
    throw new PplxEmbedError(code, `${name} is not supported in this version, which needs WebGPU in a browser`);
  };
  return {
    requireDevice: () => fail("no-adapter"),
    startWorker: () => fail("start"),
    wasm: () => fail("start"),
    adapterName: async () => "",
    openFiles: async () => fail("io"),
    everyFiles: async () => [],
    lock: async () => () => {},
    storage: async () => ({ quota: undefined, usage: 0, persisted: false }),
    persist: () => {},
  };
}
