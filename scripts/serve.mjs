// A static file server for the demo and the browser tests; it needs nothing but Node.
//   node scripts/serve.mjs [--port 8080]
//
//   /...                                        www/...
//   /dist/...                                   dist/...
//   /models/{name}/resolve/{revision}/{file}    models/{name}/{file}, laid out as on the Hugging Face Hub
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

const TYPES = {
  ".css": "text/css; charset=utf-8",
  ".html": "text/html; charset=utf-8",
  ".ico": "image/x-icon",
  ".js": "text/javascript; charset=utf-8",
  ".json": "application/json; charset=utf-8",
  ".map": "application/json; charset=utf-8",
  ".md": "text/markdown; charset=utf-8",
  ".mjs": "text/javascript; charset=utf-8",
  ".png": "image/png",
  ".svg": "image/svg+xml",
  ".txt": "text/plain; charset=utf-8",
  ".wasm": "application/wasm",
  ".webp": "image/webp",
  ".woff2": "font/woff2",
};

// The strictest page the library must run in: no eval, no inline code, no other origin, isolated.
const HEADERS = {
  "Content-Security-Policy":
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; worker-src 'self'; connect-src 'self'",
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
  "X-Content-Type-Options": "nosniff",
  "Cache-Control": "no-cache",
  "Accept-Ranges": "bytes",
};

class HttpError extends Error {
  constructor(status, message, headers = {}) {
    super(message);
    Object.assign(this, { status, headers });
  }
}

/** The segments of a path, decoded; none can lead out of the folder they are joined to. */
function segmentsOf(path) {
  return path.split("/").map((part) => {
    let segment;
    try {
      segment = decodeURIComponent(part);
    } catch {
      throw new HttpError(400, "malformed path");
    }
    if (/[/\\\0:]/.test(segment) || segment.startsWith(".")) throw new HttpError(404, "not found");
    return segment;
  });
}

/** The file that a request's path stands for. */
function fileOf(url, root) {
  const path = url.split(/[?#]/, 1)[0];
  const hub = /^\/models\/(.+?)\/resolve\/[^/]+\/(.+)$/.exec(path); // any revision: there is one copy
  if (hub) return join(root, "models", ...segmentsOf(hub[1]), ...segmentsOf(hub[2]));
  const segments = segmentsOf(path.slice(1));
  if (segments.at(-1) === "") segments[segments.length - 1] = "index.html";
  return segments[0] === "dist" ? join(root, ...segments) : join(root, "www", ...segments);
}

/** The one range asked for, or undefined where the whole file is to be sent (several ranges, or another unit). */
function rangeOf(header, size) {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? "");
  if (!match || (!match[1] && !match[2])) return undefined;
  const [first, last] = [match[1], match[2]].map((digits) => (digits ? Number(digits) : undefined));
  const range = first === undefined
    ? { start: Math.max(0, size - last), end: size - 1 }
    : { start: first, end: Math.min(last ?? size - 1, size - 1) };
  if (last !== undefined && first > last) return undefined; // not a range at all, so it is ignored
  if (range.start > range.end) {
    throw new HttpError(416, "range not satisfiable", { "Content-Range": `bytes */${size}` });
  }
  return range;
}

async function answer(request, response, root, more) {
  if (request.method !== "GET" && request.method !== "HEAD") {
    throw new HttpError(405, "method not allowed", { Allow: "GET, HEAD" });
  }
  const file = fileOf(request.url, root);
  const info = await stat(file).catch(() => undefined);
  if (!info?.isFile()) throw new HttpError(404, "not found");

  const etag = `"${info.size.toString(16)}-${Math.floor(info.mtimeMs).toString(16)}"`;
  const headers = { ETag: etag, "Content-Type": TYPES[extname(file)] ?? "application/octet-stream" };
  if (request.headers["if-none-match"] === etag) {
    response.writeHead(304, { ...more, ...headers }).end();
    return;
  }
  const sameFile = (request.headers["if-range"] ?? etag) === etag;
  const range = sameFile ? rangeOf(request.headers.range, info.size) : undefined;
  const { start, end } = range ?? { start: 0, end: info.size - 1 };
  headers["Content-Length"] = end - start + 1;
  if (range) headers["Content-Range"] = `bytes ${start}-${end}/${info.size}`;
  response.writeHead(range ? 206 : 200, { ...more, ...headers });
  if (request.method === "HEAD" || info.size === 0) response.end();
  else await pipeline(createReadStream(file, { start, end }), response);
}

/**
 * Serves until `close()`. `port: 0` takes a free one; `root` is the repository, or a folder laid out like it. A test's
 * `intercept(request, response, headers)` is asked first, and returns true where it answers. `connect` are origins that
 * the pages may reach besides their own.
 */
export async function serve({ port = 8080, host = "127.0.0.1", root = ROOT, intercept, connect = [] } = {}) {
  const policy = [HEADERS["Content-Security-Policy"], ...connect].join(" "); // connect-src is its last part
  const common = { ...HEADERS, "Content-Security-Policy": policy };
  const server = createServer((request, response) => {
    if (intercept?.(request, response, common)) return;
    answer(request, response, root, common).catch((error) => {
      if (response.headersSent) return response.destroy(); // the reader went away, or the file did
      const { status = 500, headers = {}, message } = error;
      response.writeHead(status, { ...common, ...headers, "Content-Type": TYPES[".txt"] });
      response.end(`${status} ${message}\n`);
    });
  });
  await new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, resolve);
  });
  return {
    url: `http://${host}:${server.address().port}/`,
    close: () =>
      new Promise((resolve) => {
        server.close(resolve);
        server.closeAllConnections();
      }),
  };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const { values } = parseArgs({ options: { port: { type: "string", default: process.env.PORT ?? "8080" } } });
  const port = Number(values.port);
  try {
    const { url } = await serve({ port });
    console.log(`The demo is at ${url} (Ctrl-C stops it)`);
  } catch (error) {
    console.error(error.code === "EADDRINUSE" ? `port ${port} is taken: try --port ${port + 1}` : error.message);
    process.exit(1);
  }
}
