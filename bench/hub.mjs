// One model on a local server that speaks the Hub's protocol, for measuring. (tests/hub/ has one that misbehaves.)
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { join, relative } from "node:path";
import { pipeline } from "node:stream/promises";

import { serve } from "../scripts/serve.mjs";

const COMMIT = "0123456789abcdef0123456789abcdef01234567";

/** The files of a folder, with what the Hub's tree says of them. */
async function listing(folder) {
  const files = (await readdir(folder, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile() && !entry.name.startsWith("expected"))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name));
  return Promise.all(files.map(async (file) => {
    const { size } = await stat(file);
    const hash = createHash("sha256");
    await pipeline(createReadStream(file), hash);
    return { type: "file", path: relative(folder, file), size, oid: "", lfs: { oid: hash.digest("hex"), size } };
  }));
}

/** Serves dist/, `scripts` by their paths, and one model; `state.sent` counts the bytes of the model's files. */
export async function hub(folder, scripts = {}) {
  const tree = await listing(folder);
  const state = { sent: 0 };
  const server = await serve({
    port: 0,
    intercept(request, response, headers) {
      const path = new URL(request.url, "http://localhost").pathname;
      const type = { ...headers, "Content-Type": "application/json" };
      const json = (value) => response.writeHead(200, type).end(JSON.stringify(value));
      if (path === "/blank.html") {
        response.writeHead(200, { ...headers, "Content-Type": "text/html" }).end("<!doctype html><title>bench</title>");
      } else if (scripts[path]) {
        response.writeHead(200, { ...headers, "Content-Type": "text/javascript" }).end(scripts[path]);
      } else if (path.startsWith("/api/models/model/revision/")) {
        json({ sha: COMMIT });
      } else if (path.startsWith("/api/models/model/tree/")) {
        json(tree);
      } else if (path.startsWith(`/model/resolve/${COMMIT}/`)) {
        const entry = tree.find((file) => file.path === decodeURIComponent(path.split(`/${COMMIT}/`)[1]));
        if (!entry) return response.writeHead(404, headers).end(), true;
        const first = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
        const range = first ? { "Content-Range": `bytes ${first}-${entry.size - 1}/${entry.size}` } : {};
        const kind = { "Content-Type": "application/octet-stream", ETag: `"${entry.lfs.oid}"` };
        response.writeHead(first ? 206 : 200, { ...headers, ...range, ...kind, "Content-Length": entry.size - first });
        const body = createReadStream(join(folder, entry.path), { start: first, highWaterMark: 1 << 20 });
        body.on("data", (chunk) => (state.sent += chunk.length));
        pipeline(body, response).catch(() => {});
      } else {
        return false;
      }
      return true;
    },
  });
  return { ...server, state };
}
