// Where the page puts an index that is being saved.

import { invalid, PplxEmbedError } from "../errors.js";

/** Takes bytes, in order; the next come when it is done with these. */
type Take = (bytes: Uint8Array<ArrayBuffer>) => Promise<void>;

/** All that `save` hands over, as a file. */
export async function blobOf(save: (take: Take) => Promise<void>): Promise<Blob> {
  const parts: Blob[] = [];
  await save(async (bytes) => void parts.push(new Blob([bytes])));
  return new Blob(parts, { type: "application/octet-stream" });
}

/** Writes all that `save` hands over to a stream, and closes it; aborts it if that fails. */
export async function writeTo(target: WritableStream<Uint8Array>, save: (take: Take) => Promise<void>): Promise<void> {
  if (typeof target?.getWriter !== "function") throw invalid("target", target, "a name or a WritableStream");
  if (target.locked) throw invalid("target", target, "a WritableStream that nobody else is writing to");
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
  return new PplxEmbedError(code, `the stream that was to be written to: ${message}`, { cause: error });
}
