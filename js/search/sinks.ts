// Where the page writes an index that is being saved.

import { invalid, PplxEmbedError } from "../errors.js";

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
  if (typeof target?.getWriter !== "function") throw invalid("target", target, "a name or a WritableStream");
  if (target.locked) throw invalid("target", target, "a WritableStream that is not locked");
  const writer = target.getWriter();
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

function failed(error: unknown): PplxEmbedError {
  const { name, message = String(error) } = (error ?? {}) as { name?: string; message?: string };
  const code = name === "QuotaExceededError" ? "storage-full" : "io";
  return new PplxEmbedError(code, `writing to the stream failed: ${message}`, { cause: error });
}
