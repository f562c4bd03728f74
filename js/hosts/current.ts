// Which host this is. Files that a worker starts from must not import this one, because hosts make workers.

import { PplxEmbedError } from "../errors.js";
import type { Host } from "./host.js";
import { hasFiles } from "./runtime.js";
import { web } from "./web.js";

/** The host with files. It is imported by a name that bundlers do not see, because pages have no modules of Node.js. */
const NODE = "./node/host.js";

/** The host of this thread. It is chosen when it is first needed, so that importing the package looks at nothing. */
export async function currentHost(): Promise<Host> {
  if (!hasFiles()) return web;
  try {
    const { node }: typeof import("./node/host.js") = await import(/* webpackIgnore: true */ /* @vite-ignore */ NODE);
    return node;
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    const hint = "if this program was bundled, leave pplx-embed-web out of the bundle (external; in Next.js serverExternalPackages)";
    throw new PplxEmbedError("start", `a part of pplx-embed-web could not be loaded: ${why}; ${hint}`, { cause });
  }
}
