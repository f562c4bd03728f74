// WebGPU in Node for engines that were made for pages: Dawn, which is Chrome's, from the package "webgpu".
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

import { create, globals } from "webgpu";

/** Makes `navigator.gpu`. */
export function installDawn() {
  Object.assign(globalThis, globals);
  // Dawn refuses views of shared memory, such as ONNX Runtime's: it gets copies.
  const { writeBuffer } = globals.GPUQueue.prototype;
  globals.GPUQueue.prototype.writeBuffer = function (buffer, at, data, ...range) {
    const bytes = ArrayBuffer.isView(data) ? data : new Uint8Array(data);
    const copy = bytes.buffer instanceof SharedArrayBuffer ? bytes.slice() : data;
    return writeBuffer.call(this, buffer, at, copy, ...range);
  };
  if (!globalThis.navigator) Object.defineProperty(globalThis, "navigator", { value: {}, configurable: true });
  Object.defineProperty(globalThis.navigator, "gpu", { value: create([]), configurable: true });
}

/** What ort.js needs in Node: where the library is, and files of the model, which are in folder `models`. */
export function nodeFiles(models) {
  return {
    dist: new URL("node_modules/onnxruntime-web/dist/", import.meta.url).href,
    read: (path) => readFile(`${models}${path}`),
    wasm: () => readFile(fileURLToPath(new URL("node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.asyncify.wasm", import.meta.url))),
  };
}
