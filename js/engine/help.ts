// What a helper's worker runs.

import type { FromHelper, HelperAnswer, HelperStart } from "./helpers.js";

/** Obeys messages: first a {@link HelperStart}, then bytes. Answers by `post`, which is handed the buffers. */
export function help(post: (message: FromHelper, transfer: ArrayBuffer[]) => void): (message: unknown) => void {
  let helper: { receive(message: Uint8Array): unknown } | undefined;
  return async (message) => {
    if (!ArrayBuffer.isView(message)) {
      const { module, texts } = message as HelperStart;
      const wasm = await import("../wasm/pplx_embed.js");
      await wasm.default({ module_or_path: module });
      helper = new wasm.WebHelper(texts);
      post("ready", []);
      return;
    }
    // A fault ends the worker by an error that nobody catches; whoever started it hears of that.
    const answer = helper?.receive(message as Uint8Array) as HelperAnswer | undefined;
    if (answer) post(answer, [answer.buffer]);
  };
}
