import { elsewhere } from "./elsewhere.js";
import type { Host } from "./host.js";

/** Deno. */
export const deno: Host = elsewhere("Deno");
