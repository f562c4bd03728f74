// A Hugging Face Hub for tests: the real protocol over folders, and faults on order. Node alone, no packages.
//
//   node tests/hub/server.mjs [--root FOLDER] [--page FILES]
//
// prints {"hub": "http://127.0.0.1:...", "cdn": "http://127.0.0.1:..."} as one line and serves until standard input
// closes. The model `name` or `owner/name` is the folder {root}/{name}; the default root is tests/fixtures/checkpoints.
// .safetensors files and tokenizer.json are kept as the Hub keeps large files (LFS): on the CDN, by sha256.
//
//   GET  {hub}/api/models/{id}/revision/{revision}    {"id", "sha"}; revisions are main, refs/pr/1 and the commit
//   GET  {hub}/api/models/{id}/tree/{commit}          [{"type", "path", "oid", "size", "lfs"}], `page` files at a time
//   GET  {hub}/{id}/resolve/{revision}/{file}         307 to /api/resolve-cache/..., or 302 to the CDN
//   GET  {cdn}/xet-bridge/{sha256}?Signature=...      the bytes; 400 for a request with Authorization
//   GET  {hub}/plain/{id}/resolve/{revision}/{file}   a static host: the bytes at once, and no API
//   GET  {hub}/mirror/hub/...                         the same Hub at a path
//   GET  {hub}/log                                    {"open": answers under way, "requests": [{"origin": "hub"|"cdn",
//                                                     "method", "path", "headers"}]}, oldest first
//   POST {hub}/control                                changes what is in the body, a JSON object, and answers 204:
//     "faults": [fault, ...]     replaces the list. A request takes the first fault on it that matches, which is then
//                                gone from it; a request that none matches is answered as it should be
//     "private": {id: token}     models that answer 401 without `Authorization: Bearer {token}`
//     "page": n                  files on a page of the tree
//     "type": media type         what the API says its answers are
//     "log": []                  forgets the log
//
// A fault is {"kind", "path": regex, "origin": "hub"|"cdn", "always": true, ...}. Without `path` it matches every path
// (query included) except /log and /control, without `origin` both. `always` keeps it on the list. Kinds:
//
//   status    {status, headers}   answers this status; `headers` are added: 401, 403, 404, 416, 500, 429 with
//                                 {"Retry-After": "1"} or {"RateLimit": "\"resolvers\";r=0;t=1"}, 302 with {"Location"}
//   page      {headers}           answers an empty list, as JSON; `headers` are added
//   hang                          answers nothing
//   stall     {at}                sends `at` bytes of the body and no more, without closing
//   cut       {at}                sends `at` bytes of the body and breaks the connection; before the headers if `at` < 0
//   truncate  {at}                sends `at` bytes of the body as if that were all, and no Content-Length
//   grow      {by}                sends `by` bytes too many, and no Content-Length
//   corrupt   {at}                flips a bit of the byte at `at`
//   length    {by}                a Content-Length that is `by` too large (or too small, where negative)
//   full                          answers a Range with 200 and everything
//   range     {by}                a Content-Range that begins `by` bytes too late
//   norange                       a 206 without Content-Range
//   etag                          another ETag and another Last-Modified
//   encode                        Content-Encoding: gzip
//   html                          200 and a web page
//   slow      {ms, bytes}         `bytes` every `ms` milliseconds
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { gzipSync } from "node:zlib";

const ROOT = fileURLToPath(new URL("../fixtures/checkpoints", import.meta.url));
/** Where the Hub is, too. */
const MIRROR = "/mirror/hub";
const DATE = "Wed, 21 Oct 2015 07:28:00 GMT";
// What the real one lets a page of another origin see.
const EXPOSED =
  "X-Repo-Commit,X-Request-Id,X-Error-Code,X-Error-Message,X-Total-Count,ETag,Link,Accept-Ranges,Content-Range," +
  "X-Linked-Size,X-Linked-ETag,X-Xet-Hash";

const hash = (name, ...parts) => parts.reduce((h, part) => h.update(part), createHash(name)).digest("hex");
const isLarge = (path) => path.endsWith(".safetensors") || path.endsWith("tokenizer.json");

/** The files of a model: `{ commit, files: Map of path to { path, bytes, oid, sha256 } }`, or undefined. */
function read(root, id) {
  if (!id.split("/").every((part) => /^[\w-][\w.-]*$/.test(part))) return undefined;
  const folder = [join(root, id), join(root, id.split("/").at(-1))].find(existsSync);
  if (!folder) return undefined;
  const files = new Map();
  for (const path of readdirSync(folder, { recursive: true }).sort()) {
    if (!statSync(join(folder, path)).isFile()) continue;
    const bytes = readFileSync(join(folder, path));
    const oid = hash("sha1", `blob ${bytes.length}\0`, bytes);
    files.set(path, { path, bytes, oid, sha256: hash("sha256", bytes) });
  }
  return { commit: hash("sha1", id, ...[...files.values()].map((f) => f.path + f.oid)), files };
}

/** Serves until `close()`. Gives `{ hub, cdn, control(change), log(), close() }`; `control` is what POST /control does. */
export async function serveHub({ root = ROOT, page = 1000 } = {}) {
  const state = { faults: [], private: {}, page, type: "application/json; charset=utf-8", log: [] };
  const models = new Map();
  const objects = new Map();
  let open = 0;
  let addresses;

  function model(id) {
    if (!models.has(id)) models.set(id, read(root, id));
    for (const file of models.get(id)?.files.values() ?? []) objects.set(file.sha256, file);
    return models.get(id);
  }

  function takeFault(origin, path) {
    const matches = (f) => (f.origin ?? origin) === origin && new RegExp(f.path ?? "").test(path);
    const index = state.faults.findIndex(matches);
    if (index < 0) return {};
    return state.faults[index].always ? state.faults[index] : state.faults.splice(index, 1)[0];
  }

  /** Sends `bytes`, or the part of them that was asked for, the way that `fault` wants it. */
  async function send(request, response, fault, status, bytes, headers = {}) {
    const ranged = status === 200 && headers.ETag ? /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "") : null;
    const same = [undefined, headers.ETag, headers["Last-Modified"]].includes(request.headers["if-range"]);
    const total = bytes.length;
    if (fault.kind === "corrupt" && total > 0) {
      bytes = Buffer.from(bytes);
      bytes[fault.at % total] ^= 1;
    }
    if (fault.kind === "etag") Object.assign(headers, { ETag: '"other"', "Last-Modified": DATE.replace("2015", "2016") });
    if (ranged && same && fault.kind !== "full") {
      const first = Number(ranged[1]);
      const last = Math.min(ranged[2] === "" ? Infinity : Number(ranged[2]), total - 1);
      if (first > last) return send(request, response, {}, 416, Buffer.alloc(0), { "Content-Range": `bytes */${total}` });
      [status, bytes] = [206, bytes.subarray(first, last + 1)];
      if (fault.kind !== "norange") {
        headers["Content-Range"] = `bytes ${first + (fault.kind === "range" ? fault.by : 0)}-${last}/${total}`;
      }
    }
    if (fault.kind === "encode") {
      bytes = gzipSync(bytes);
      headers["Content-Encoding"] = "gzip";
    }
    if (fault.kind === "truncate") bytes = bytes.subarray(0, fault.at);
    if (fault.kind === "grow") bytes = Buffer.concat([bytes, Buffer.alloc(fault.by)]);
    if (!["truncate", "grow"].includes(fault.kind)) {
      headers["Content-Length"] = Math.max(0, bytes.length + (fault.kind === "length" ? fault.by : 0));
    }
    response.strictContentLength = false;
    response.writeHead(status, headers);
    if (request.method === "HEAD") return response.end();
    if (fault.kind === "cut" || fault.kind === "stall") {
      // Headers alone are kept back otherwise.
      response.flushHeaders();
      response.write(bytes.subarray(0, fault.at), () => fault.kind === "cut" && response.destroy());
    } else if (fault.kind === "slow") {
      for (let at = 0; at < bytes.length && !response.destroyed; ) {
        const end = at + fault.bytes; // which may be another one after the sleep
        response.write(bytes.subarray(at, end));
        at = end;
        await sleep(fault.ms);
      }
      response.end();
    } else {
      // A Content-Length that promises more must not leave the reader waiting.
      const { socket } = response;
      if (fault.kind === "length") response.once("finish", () => socket.destroySoon());
      response.end(bytes);
    }
  }

  function answer(origin, request, response) {
    const base = request.url.startsWith(`${MIRROR}/`) ? MIRROR : "";
    const path = request.url.slice(base.length);
    const url = new URL(path, addresses[origin]);
    const cors = origin === "cdn" || !request.headers.origin
      ? { "Access-Control-Allow-Origin": "*" }
      : { "Access-Control-Allow-Origin": request.headers.origin, "Access-Control-Expose-Headers": EXPOSED, Vary: "Origin" };
    if (request.method === "OPTIONS") {
      const allowed = origin === "hub" ? { "Access-Control-Allow-Headers": "authorization,content-type,range" } : {};
      return response.writeHead(204, { ...cors, ...allowed }).end();
    }
    if (origin === "hub" && path === "/log") {
      const json = JSON.stringify({ open, requests: state.log });
      return response.writeHead(200, { ...cors, "Content-Type": "application/json" }).end(json);
    }
    if (origin === "hub" && path === "/control") {
      let body = "";
      request.on("data", (chunk) => (body += chunk));
      request.on("end", () => {
        Object.assign(state, JSON.parse(body));
        response.writeHead(204, cors).end();
      });
      return;
    }
    open++;
    response.on("close", () => open--);
    state.log.push({ origin, method: request.method, path: request.url, headers: request.headers });
    const fault = takeFault(origin, path);
    const give = (status, body, headers) =>
      send(request, response, fault, status, Buffer.from(body), { ...cors, ...headers });
    const refuse = (status, code, message) =>
      give(status, message, { "Content-Type": "text/plain", "X-Error-Code": code, "X-Error-Message": message });
    const json = (value, headers) =>
      give(200, JSON.stringify(value), { "Content-Type": state.type, ...headers });

    if (fault.kind === "hang") return;
    if (fault.kind === "cut" && fault.at < 0) return response.destroy();
    if (fault.kind === "html") return give(200, "<!doctype html><title>hello</title>", { "Content-Type": "text/html" });
    if (fault.kind === "page") return json([], fault.headers);
    if (fault.kind === "status") return give(fault.status, `the fault ${fault.status}`, fault.headers);

    if (origin === "cdn") {
      const object = objects.get(url.pathname.replace("/xet-bridge/", ""));
      if (request.headers.authorization) return give(400, "Only one auth mechanism allowed");
      if (!object || !url.searchParams.has("Signature")) return give(403, "Access denied");
      return give(200, object.bytes, { "Content-Type": "binary/octet-stream", ETag: `"${object.sha256}"` });
    }
    const [, plain, id, revision, name] = /^(\/plain)?\/([^/]+(?:\/[^/]+)?)\/resolve\/([^/]+)\/(.+)$/.exec(url.pathname) ?? [];
    const file = name && decodeURIComponent(name);
    if (plain) {
      const found = model(id)?.files.get(file);
      if (!found) return give(404, "not found");
      return give(200, found.bytes, {
        "Content-Type": "application/octet-stream",
        ETag: `"${found.oid}"`,
        "Last-Modified": DATE,
      });
    }
    const api = /^\/api\/(models|resolve-cache\/models)\/(.+?)(?:\/(revision|tree)\/([^/]+)|\/([0-9a-f]{40})\/(.+))$/.exec(url.pathname);
    if (!api && !id) return give(404, "not found");
    const repository = id ?? api[2];
    const found = model(repository);
    const token = state.private[repository];
    if (!found || (token && request.headers.authorization !== `Bearer ${token}`)) {
      return refuse(401, "RepoNotFound", "Invalid username or password.");
    }
    const asked = decodeURIComponent(revision ?? api[4] ?? api[5]);
    if (!["main", "refs/pr/1", found.commit].includes(asked)) {
      return refuse(404, "RevisionNotFound", `Invalid rev id: ${asked}`);
    }
    if (api?.[3] === "revision") return json({ _id: "0", id: repository, sha: found.commit, private: !!token });
    if (api?.[3] === "tree") return tree(url, base, found, json);
    const wanted = found.files.get(file ?? decodeURIComponent(api[6]));
    if (!wanted) return refuse(404, "EntryNotFound", "Entry not found");
    const commit = { "X-Repo-Commit": found.commit };
    if (api) return give(200, wanted.bytes, { ...commit, "Content-Type": "text/plain", ETag: `"${wanted.oid}"` });
    if (!isLarge(file)) {
      const to = `${base}/api/resolve-cache/models/${repository}/${found.commit}/${name}`;
      return give(307, `Temporary Redirect. Redirecting to ${to}`, { ...commit, Location: to });
    }
    give(302, "Found. Redirecting to the CDN", {
      ...commit,
      Location: `${addresses.cdn}/xet-bridge/${wanted.sha256}?Signature=s3cret&X-Amz-Expires=3600`,
      "X-Linked-Size": wanted.bytes.length,
      "X-Linked-ETag": `"${wanted.sha256}"`,
    });
  }

  function tree(url, base, found, json) {
    const entries = [...found.files.values()].map(({ path, bytes, oid, sha256 }) => {
      const size = bytes.length;
      if (!isLarge(path)) return { type: "file", oid, size, path };
      return { type: "file", oid: hash("sha1", sha256), size, path, lfs: { oid: sha256, size, pointerSize: 134 } };
    });
    const folders = new Set(entries.map(({ path }) => path.split("/")).filter((p) => p.length > 1).map((p) => p[0]));
    entries.push(...[...folders].map((path) => ({ type: "directory", oid: hash("sha1", path), size: 0, path })));
    const start = Number(url.searchParams.get("cursor") ?? 0);
    const end = start + state.page;
    const next = `${addresses.hub}${base}${url.pathname}?recursive=true&limit=${state.page}&cursor=${end}`;
    json(entries.slice(start, end), end < entries.length ? { Link: `<${next}>; rel="next"` } : {});
  }

  const listen = async (origin) => {
    const server = createServer((request, response) => {
      try {
        answer(origin, request, response);
      } catch (error) {
        response.destroy(error);
      }
    });
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    return server;
  };
  const servers = { hub: await listen("hub"), cdn: await listen("cdn") };
  addresses = Object.fromEntries(Object.entries(servers).map(([k, s]) => [k, `http://127.0.0.1:${s.address().port}`]));
  return {
    ...addresses,
    control: (change) => void Object.assign(state, change),
    log: () => ({ open, requests: state.log }),
    close: () =>
      Promise.all(Object.values(servers).map((server) => {
        const closed = new Promise((resolve) => server.close(resolve));
        server.closeAllConnections();
        return closed;
      })),
  };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const { values } = parseArgs({ options: { root: { type: "string" }, page: { type: "string", default: "1000" } } });
  const { hub, cdn } = await serveHub({ root: values.root, page: Number(values.page) });
  console.log(JSON.stringify({ hub, cdn }));
  process.stdin.on("end", () => process.exit()).resume();
}
