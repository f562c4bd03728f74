// The worker that writes one file of OPFS for a page.

import { openSync, type SyncWriting } from "./sync.js";
import type { FromWriter, ToWriter } from "./writer.js";

const page = globalThis as unknown as MessagePort;
let file: SyncWriting | undefined;
/** Answers are sent in the order of the messages. */
let turn: Promise<void> = Promise.resolve();

async function answer(message: ToWriter): Promise<FromWriter> {
  try {
    if (message instanceof ArrayBuffer) file?.append(new Uint8Array(message));
    else if (message === "flush") file?.flush();
    else if (message === "close") file?.close();
    else file = await openSync(message);
    return { size: file?.size ?? 0 };
  } catch (error) {
    const { name = "Error", message = String(error) } = error as Partial<Error>;
    return { name, message };
  }
}

// Outside a worker, importing this file does nothing.
if ("importScripts" in globalThis) {
  page.onmessage = ({ data }: MessageEvent<ToWriter>) => {
    turn = turn.then(async () => page.postMessage(await answer(data)));
  };
}
