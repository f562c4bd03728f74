// The worker's side of writing from a page: one file, driven by messages.

import { openWriting } from "./opfs.js";
import type { SyncWriting } from "./opfs.js";
import type { FromWriter, ToWriter } from "./writer.js";

const page = globalThis as unknown as MessagePort;
let file: SyncWriting | undefined;
/** Answers go out in the order of what they answer. */
let turn: Promise<void> = Promise.resolve();

async function answer(message: ToWriter): Promise<FromWriter> {
  try {
    if (message instanceof ArrayBuffer) file?.append(new Uint8Array(message));
    else if (message === "flush") file?.flush();
    else if (message === "close") file?.close();
    else file = await openWriting(message);
    return { size: file?.size ?? 0 };
  } catch (error) {
    const { name = "Error", message = String(error) } = error as Partial<Error>;
    return { name, message };
  }
}

// Somewhere else than in a worker, importing this file does nothing.
if ("importScripts" in globalThis) {
  page.onmessage = ({ data }: MessageEvent<ToWriter>) => {
    turn = turn.then(async () => page.postMessage(await answer(data)));
  };
}
