// Where the page writes an index that is being saved.

import { readable } from "../check.js";
import { attempt, invalid, PplxEmbedError, reason } from "../errors.js";

/** Takes bytes, in order. The next bytes come when the promise resolves. */
type Take = (bytes: Uint8Array<ArrayBuffer>) => Promise<void>;

/** Everything that `save` writes, as a Blob. */
export async function blobOf(save: (take: Take) => Promise<void>): Promise<Blob> {
  const parts: Blob[] = [];
  await save(async (bytes) => void parts.push(new Blob([bytes])));
  return new Blob(parts, { type: "application/octet-stream" });
}

/** Writes everything that `save` writes to a stream, and closes the stream, or aborts it if that fails. */
export async function writeTo(target: WritableStream<Uint8Array>, save: (take: Take) => Promise<void>): Promise<void> {
  const writer = writerOf(target);
  let broken: PplxEmbedError | undefined;
  try {
    const write = async (act: Promise<void>) => {
      try {
        await act;
      } catch (error) {
        throw (broken = failed(error));
      }
    };
    await save((bytes) => write(writer.write(bytes)));
    await write(writer.close());
  } catch (error) {
    writer.abort(error).catch(() => {});
    throw broken ?? error;
  } finally {
    writer.releaseLock();
  }
}

const METHODS = ["write", "close", "abort", "releaseLock"] as const;

/** A stream is not recognized by its class, because each frame of a page has its own. */
function writerOf(target: WritableStream<Uint8Array>): WritableStreamDefaultWriter<Uint8Array> {
  const allowed = "a name or a WritableStream";
  return readable("target", allowed, () => {
    if (typeof target?.getWriter !== "function") throw invalid("target", target, allowed);
    if (target.locked) throw invalid("target", target, "a WritableStream that is not locked");
    const writer = target.getWriter();
    if (METHODS.some((name) => typeof writer?.[name] !== "function")) throw invalid("target", target, allowed);
    return writer;
  });
}

function failed(error: unknown): PplxEmbedError {
  const full = attempt(() => (error as { name?: unknown }).name === "QuotaExceededError", false);
  return new PplxEmbedError(full ? "storage-full" : "io", `writing to the stream failed: ${reason(error)}`, { cause: error });
}
