// What a helper's worker runs.

import type { FromHelper, HelperAnswer } from "./helpers.js";

/** Obeys messages: first the compiled module, then bytes. Answers by `post`, which is handed the buffers. */
export function help(post: (message: FromHelper, transfer: ArrayBuffer[]) => void): (message: unknown) => void {
  let helper: { receive(message: Uint8Array): unknown } | undefined;
  return async (message) => {
    if (message instanceof WebAssembly.Module) {
      const wasm = await import("../wasm/pplx_embed.js");
      await wasm.default({ module_or_path: message });
      helper = new wasm.WebHelper();
      post("ready", []);
      return;
    }
    // A fault ends the worker by an error that nobody catches; whoever started it hears of that.
    const answer = helper?.receive(message as Uint8Array) as HelperAnswer | undefined;
    if (answer) post(answer, [answer.buffer]);
  };
}
