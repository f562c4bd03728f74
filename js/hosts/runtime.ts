// What kind of runtime this is. Nothing is looked at before it is asked for.

/** Whether this is Node.js, Deno or Bun: a runtime with files and processes. A page has neither. */
export function hasFiles(): boolean {
  const { Deno, Bun, process } = globalThis as {
    Deno?: object;
    Bun?: object;
    process?: { versions?: { node?: string } };
  };
  if (Deno || Bun) return true;
  // A page may have a `process`: Electron and test environments do.
  const page = "document" in globalThis || "importScripts" in globalThis;
  return !!process?.versions?.node && !page;
}

/** Lets a process end before the timer does. A page does not end by itself. */
export function inBackground(timer: unknown): void {
  (timer as { unref?: () => void } | undefined)?.unref?.();
}
