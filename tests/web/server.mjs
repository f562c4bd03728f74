// The demo's server, and beside it a plain host of models that misbehaves; tests/hub/server.mjs is the Hub:
//
//   /fixtures/{name}/resolve/{revision}/{file}          tests/fixtures/checkpoints/{name}/{file}
//   /fault/{fault}/{name}/resolve/{revision}/{file}     the same, with one of FAULTS
//   /noworker/...                                       dist/ without worker.js
//   /blank.html, /page.js, /arguments.js                an empty page, and the scripts of the tests' pages
import { createReadStream, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

import { serve } from "../../scripts/serve.mjs";
import { serveHub } from "../hub/server.mjs";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const WEIGHTS = "model.safetensors";

/** A safetensors file with another header. */
function withHeader(bytes, change) {
  const length = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, 8 + length).toString());
  change(header);
  const json = Buffer.from(JSON.stringify(header));
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([prefix, json, bytes.subarray(8 + length)]);
}

const tensor = (header) => header[Object.keys(header).find((name) => name !== "__metadata__")];

/** What each fault does: gets `{ file, bytes, response, headers, request, send }`, and returns false to do nothing. */
const FAULTS = {
  "500": ({ file, send }) => file === "config.json" && send(500, "it broke"),
  "401": ({ send }) => send(401, "", { "X-Error-Message": "Access to this model is restricted" }),
  "busy": ({ send }) => send(429, "", { "Retry-After": "200" }),
  // Nothing is sent back at all.
  "hang-up": ({ file, response }) => file === WEIGHTS && (response.destroy(), true),
  // Less than the Content-Length says.
  "cut": ({ file, bytes, response, headers }) => {
    if (file !== WEIGHTS) return false;
    response.writeHead(200, { ...headers, "Content-Length": bytes.length });
    response.write(bytes.subarray(0, bytes.length / 2), () => response.destroy());
    return true;
  },
  // Nobody says how much it should be: the header of the file does.
  "short-chunked": ({ file, bytes, response, headers }) => {
    if (file !== WEIGHTS) return false;
    response.writeHead(200, headers).write(bytes.subarray(0, bytes.length / 2));
    response.end();
    return true;
  },
  "short": ({ file, bytes, send }) => file === WEIGHTS && send(200, bytes.subarray(0, bytes.length - 4)),
  "long": ({ file, bytes, send }) => file === WEIGHTS && send(200, Buffer.concat([bytes, Buffer.alloc(4)])),
  "huge-header": ({ file, bytes, send }) => {
    if (file !== WEIGHTS) return false;
    const lie = Buffer.from(bytes);
    lie.writeBigUInt64LE(2n ** 60n);
    return send(200, lie);
  },
  "lying-offsets": ({ file, bytes, send }) =>
    file === WEIGHTS && send(200, withHeader(bytes, (header) => (tensor(header).data_offsets[1] += 4))),
  "other-shape": ({ file, bytes, send }) =>
    file === WEIGHTS && send(200, withHeader(bytes, (header) => tensor(header).shape.unshift(1))),
  "no-weights": ({ file, send }) => file === WEIGHTS && send(404, "not found"),
  "bad-tokenizer": ({ file, send }) => file === "tokenizer.json" && send(200, '{"version": "1.0"}'),
  "bad-config": ({ file, send }) => file === "config.json" && send(200, '{"model_type": '),
  "other-model": ({ file, send }) => file === "config.json" && send(200, '{"model_type": "bert"}'),
  // Where there is no file, development servers answer with the start page.
  "html": ({ bytes, send }) => !bytes && send(200, "<!doctype html>", { "Content-Type": "text/html" }),
  "gzip": ({ bytes, send }) => bytes && send(200, gzipSync(bytes), { "Content-Encoding": "gzip" }),
  "redirect": ({ request, response, headers }) => {
    response.writeHead(302, { ...headers, Location: request.url.replace("/fault/redirect/", "/fixtures/") }).end();
    return true;
  },
  // 4 KiB every tenth of a second: a minute for the smallest model.
  "slow": ({ file, bytes, response, headers }) => {
    if (file !== WEIGHTS) return false;
    response.writeHead(200, { ...headers, "Content-Length": bytes.length });
    const pieces = async function* () {
      for (let at = 0; at < bytes.length; at += 4096) {
        yield bytes.subarray(at, at + 4096);
        await sleep(100);
      }
    };
    Readable.from(pieces()).on("error", () => {}).pipe(response);
    return true;
  },
};

/**
 * Serves on free ports. `log` has `{ path, authorization }` of what was asked of the plain host; `open` counts its
 * answers; `hub` is a Hub with a CDN, of the models in `root`.
 */
export async function serveTests({ root, intercept } = {}) {
  const log = [];
  const state = { open: 0 };

  function host(request, response, headers, fault, name, file) {
    const [id, path] = [name, file].map(decodeURIComponent);
    log.push({ path: request.url, authorization: request.headers.authorization });
    state.open++;
    response.on("close", () => state.open--);
    const location = join(ROOT, "tests/fixtures/checkpoints", id, path);
    const bytes = existsSync(location) ? readFileSync(location) : undefined;
    const send = (status, body, more = {}) => {
      const length = { "Content-Length": Buffer.byteLength(body) };
      response.writeHead(status, { ...headers, ...length, ...more }).end(body);
      return true;
    };
    if (FAULTS[fault]?.({ file: path, bytes, request, response, headers, send })) return;
    if (bytes) send(200, bytes);
    else send(404, "not found");
  }

  function script(response, headers, file) {
    response.writeHead(200, { ...headers, "Content-Type": "text/javascript" });
    createReadStream(join(ROOT, file)).pipe(response);
  }

  const hubs = await serveHub({ root, page: 3 });
  const { url, close } = await serve({
    port: 0,
    connect: [hubs.hub, hubs.cdn],
    intercept(request, response, headers) {
      if (intercept?.(request, response, headers)) return true;
      const match = /^\/(?:fixtures|fault\/([^/]+))\/(.+)\/resolve\/[^/]+\/(.+)$/.exec(request.url);
      if (match) {
        host(request, response, headers, ...match.slice(1));
      } else if (request.url === "/blank.html") {
        response.writeHead(200, { ...headers, "Content-Type": "text/html" });
        response.end('<!doctype html><title>test</title>');
      } else if (["/page.js", "/arguments.js"].includes(request.url)) {
        script(response, headers, `tests/web${request.url}`);
      } else if (request.url.startsWith("/noworker/") && !request.url.endsWith("/worker.js")) {
        script(response, headers, request.url.replace("/noworker/", "dist/"));
      } else {
        return false;
      }
      return true;
    },
  });
  return { url, close: () => Promise.all([close(), hubs.close()]), log, state, hub: hubs };
}
