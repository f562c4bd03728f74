// A `fetch` for the files of this machine. That of Node.js does not read them.

import { type FileHandle, open } from "node:fs/promises";
import { fileURLToPath } from "node:url";

import { PplxEmbedError } from "../../errors.js";
import { codeOf, isMissing } from "./files.js";

/** Bytes that are read at a time. */
const STEP = 1 << 20;

/** Answers as a server that has the file at `url`, an address with the scheme `file:`. */
export async function readUrl(url: string, { headers }: RequestInit): Promise<Response> {
  const path = fileURLToPath(url);
  try {
    const file = await open(path, "r");
    return (await answer(file, new Headers(headers).get("Range"))) ?? (await file.close(), missing());
  } catch (error) {
    if (isMissing(error) || codeOf(error) === "EISDIR") return missing();
    throw new PplxEmbedError("io", `${path}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

const missing = () => new Response(null, { status: 404 });

/** The bytes that were asked for; undefined if it is no file but a folder. */
async function answer(file: FileHandle, asked: string | null): Promise<Response | undefined> {
  const stats = await file.stat();
  if (!stats.isFile()) return undefined;
  const { size } = stats;
  const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(asked ?? "") ?? [];
  const from = Number(first ?? 0);
  const to = Math.min(last ? Number(last) + 1 : size, size);
  const headers: Record<string, string> = { ETag: `"${size}-${stats.mtimeMs}"` };
  if (first !== undefined && from >= to) {
    await file.close();
    return new Response(null, { status: 416, headers: { "Content-Range": `bytes */${size}` } });
  }
  headers["Content-Length"] = String(to - from);
  if (first !== undefined) headers["Content-Range"] = `bytes ${from}-${to - 1}/${size}`;
  return new Response(bytesOf(file, from, to), { status: first === undefined ? 200 : 206, headers });
}

/** The bytes of a file from `from` to `to`. They are read when they are asked for; the file is closed after the last. */
function bytesOf(file: FileHandle, from: number, to: number): ReadableStream<Uint8Array<ArrayBuffer>> {
  let at = from;
  return new ReadableStream(
    {
      async pull(controller) {
        try {
          if (at < to) {
            const bytes = new Uint8Array(Math.min(STEP, to - at));
            const { bytesRead } = await file.read(bytes, 0, bytes.length, at);
            if (bytesRead === 0) throw new Error("the file became shorter while it was read");
            at += bytesRead;
            controller.enqueue(bytes.subarray(0, bytesRead));
          }
          if (at < to) return;
          controller.close();
          await file.close();
        } catch (error) {
          await file.close();
          throw error;
        }
      },
      cancel: () => file.close(),
    },
    { highWaterMark: 0 },
  );
}
