import { elsewhere } from "./elsewhere.js";
import type { Host } from "./host.js";

/** Node.js, and Bun, which reports itself as Node.js. */
export const node: Host = elsewhere("Node.js");
