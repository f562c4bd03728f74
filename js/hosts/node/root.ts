// Where files are kept.

import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";
import process from "node:process";

/** The folder that holds everything this package stores; inside it there is one folder for each cache. */
export function rootFolder(): string {
  const { PPLX_EMBED_CACHE: chosen } = process.env;
  // The command line keeps its files in the folder around. They are not shared, because Node.js cannot take its locks.
  return join(chosen || join(cacheFolder(), "pplx-embed"), "js");
}

/** The folder for caches of this platform, as the command line finds it. */
function cacheFolder(): string {
  const { LOCALAPPDATA: local, XDG_CACHE_HOME: xdg = "" } = process.env;
  if (process.platform === "win32") return local || join(homedir(), "AppData", "Local");
  if (process.platform === "darwin") return join(homedir(), "Library", "Caches");
  return isAbsolute(xdg) ? xdg : join(homedir(), ".cache");
}
