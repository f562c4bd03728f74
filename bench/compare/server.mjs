// Serves what pages need: their scripts, this package, the rivals' packages, and models.
//
//   /page/...                                bench/compare/page
//   /dist/...                                dist
//   /www/...                                 www
//   /modules/...                             bench/compare/node_modules
//   /cases.json                              what the texts are, and what has to come out
//   /hub/{model}/{file}                      a model's file, and as on a hub /hub/{model}/resolve/{revision}/{file}
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const HERE = fileURLToPath(new URL(".", import.meta.url));
const TYPES = {
  ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".json": "application/json",
  ".wasm": "application/wasm",
};
const ISOLATION = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };

/**
 * `isolated` pages may have threads that share memory, most pages of the web may not. `sent` has the path of every file
 * that was sent and how many bytes of it.
 */
export async function serveJob({ models, isolated }) {
  const folders = {
    page: join(HERE, "page"), dist: join(ROOT, "dist"), www: join(ROOT, "www"), modules: join(HERE, "node_modules"),
    hub: models,
  };
  const sent = new Map();

  async function answer(request, response) {
    const path = decodeURIComponent(new URL(request.url, "http://localhost").pathname).slice(1);
    const [folder, ...rest] = normalize(path).split("/");
    const inside = rest.join("/").replace(/^([^/]+)\/resolve\/[^/]+\//, "$1/");
    const file = path === "cases.json" ? join(models, path) : folders[folder] && join(folders[folder], inside);
    const info = file && !rest.includes("..") && (await stat(file).catch(() => undefined));
    if (!info?.isFile()) return response.writeHead(404).end();
    const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "");
    const start = Number(range?.[1] ?? 0);
    const end = Math.min(range?.[2] ? Number(range[2]) : Infinity, info.size - 1);
    if (range && start > end) return response.writeHead(416).end();
    response.writeHead(range ? 206 : 200, {
      "Content-Type": TYPES[extname(file)] ?? "application/octet-stream", "Content-Length": end - start + 1,
      "Cache-Control": "no-store", "Accept-Ranges": "bytes",
      ...(range && { "Content-Range": `bytes ${start}-${end}/${info.size}` }),
      ...(isolated && { ...ISOLATION, "Cross-Origin-Resource-Policy": "same-origin" }),
    });
    if (request.method === "HEAD" || info.size === 0) return response.end();
    sent.set(file, (sent.get(file) ?? 0) + end - start + 1);
    createReadStream(file, { start, end, highWaterMark: 1 << 20 }).on("error", () => response.destroy()).pipe(response);
  }

  const server = createServer((request, response) => {
    answer(request, response).catch(() => response.destroy());
  });
  await new Promise((resolve, reject) => server.once("error", reject).listen(0, "127.0.0.1", resolve));
  return {
    origin: `http://127.0.0.1:${server.address().port}`,
    sent,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}
