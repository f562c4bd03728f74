// What a helper's worker runs.

import type { FromHelper, HelperAnswer, HelperStart, ToHelper } from "./helpers.js";
import { Follower } from "./mailbox.js";

/** What it computes with. */
interface Computes {
  receive(message: Uint8Array): HelperAnswer | undefined;
}

/**
 * Obeys messages: first a {@link HelperStart}, then {@link ToHelper}. Answers by `post`, which is handed the buffers. What
 * fails ends the worker by an error that nobody catches; whoever started it hears of that.
 */
export function help(post: (message: FromHelper, transfer: ArrayBuffer[]) => void): (message: unknown) => void {
  let helper: Computes | undefined;
  let box: Follower | undefined;

  const start = async ({ module, texts, box: shared }: HelperStart) => {
    const wasm = await import("../wasm/pplx_embed.js");
    await wasm.default({ module_or_path: module });
    helper = new wasm.WebHelper(texts) as Computes;
    if (shared) box = new Follower(shared);
    post("ready", []);
  };

  const postAnswer = (answer: HelperAnswer) => {
    box?.posts();
    const own = answer.buffer instanceof ArrayBuffer ? answer : answer.slice();
    post(own, [own.buffer as ArrayBuffer]);
  };

  const obey = (message: Uint8Array) => {
    box?.took();
    const answer = helper?.receive(message);
    if (!answer) return;
    postAnswer(answer);
    box?.serve((question) => {
      const answer = helper?.receive(question);
      if (answer instanceof Float32Array && answer.buffer === question.buffer) return answer.byteLength;
      if (answer) postAnswer(answer);
      return "posted";
    });
  };

  return (message) => {
    const told = message as HelperStart | ToHelper;
    if (ArrayBuffer.isView(told)) {
      obey(told);
    } else if ("memory" in told) {
      box?.took();
      box?.grow(told.memory);
    } else {
      start(told).catch((error) => setTimeout(() => { throw error; }));
    }
  };
}
