// Which host this is. Files that a worker starts from must not import this one, because the web host makes workers.

import { deno } from "./deno.js";
import type { Host } from "./host.js";
import { node } from "./node.js";
import { web } from "./web.js";

/** The host of this thread. It is chosen when it is first needed, so that importing the package looks at nothing. */
export function currentHost(): Host {
  const { Deno, process } = globalThis as { Deno?: object; process?: { versions?: { node?: string } } };
  if (Deno) return deno;
  // A page may have a `process`: Electron and test environments do.
  const page = "document" in globalThis || "importScripts" in globalThis;
  return process?.versions?.node && !page ? node : web;
}
