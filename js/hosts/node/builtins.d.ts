// The parts of Node.js' modules that this folder uses, which Deno and Bun have too. Declared here rather than by
// @types/node, whose globals would then be known in the code for pages as well.

declare module "node:fs" {
  interface Stats {
    size: number;
    mtimeMs: number;
    isFile(): boolean;
    isDirectory(): boolean;
  }
  export const constants: { O_RDWR: number; O_CREAT: number };
  export function openSync(path: string, flags: string | number): number;
  export function closeSync(fd: number): void;
  export function fstatSync(fd: number): Stats;
  export function statSync(path: string, options: { throwIfNoEntry: false }): Stats | undefined;
  export function statfsSync(path: string): { bavail: number; bsize: number };
  export function readSync(fd: number, into: Uint8Array, offset: number, length: number, at: number): number;
  export function writeSync(fd: number, from: Uint8Array, offset: number, length: number, at: number): number;
  export function fdatasync(fd: number, done: (error: Error | null) => void): void;
  export function mkdirSync(path: string, options: { recursive: true }): void;
  export function readdirSync(path: string): string[];
  export function readlinkSync(path: string): string;
  export function renameSync(from: string, to: string): void;
  export function rmSync(path: string, options: { force: true; recursive?: true }): void;
  export function rmdirSync(path: string): void;
  export function utimesSync(path: string, accessed: Date, changed: Date): void;
}

declare module "node:fs/promises" {
  interface FileHandle {
    stat(): Promise<import("node:fs").Stats>;
    read(into: Uint8Array, offset: number, length: number, at: number): Promise<{ bytesRead: number }>;
    close(): Promise<void>;
  }
  export function open(path: string, flags: "r"): Promise<FileHandle>;
  export function readFile(path: URL): Promise<Uint8Array<ArrayBuffer>>;
}

declare module "node:os" {
  export function availableParallelism(): number;
  export function homedir(): string;
  export function hostname(): string;
}

declare module "node:path" {
  export function basename(path: string): string;
  export function dirname(path: string): string;
  export function isAbsolute(path: string): boolean;
  export function join(...parts: string[]): string;
}

declare module "node:process" {
  const process: {
    readonly execArgv: readonly string[];
    readonly env: Record<string, string | undefined>;
    readonly pid: number;
    readonly platform: string;
    uptime(): number;
    kill(pid: number, signal: 0): void;
    on(event: "uncaughtExceptionMonitor" | "uncaughtException", listener: (thrown: unknown) => void): void;
  };
  export default process;
}

declare module "node:url" {
  export function fileURLToPath(url: string | URL): string;
  export function pathToFileURL(path: string): URL;
}

declare module "node:worker_threads" {
  export const isMainThread: boolean;
  interface Port {
    postMessage(message: unknown, transfer?: ArrayBuffer[]): void;
    on(event: "message", listener: (message: unknown) => void): void;
  }
  export class Worker implements Port {
    constructor(script: URL, options: { workerData: unknown; execArgv?: string[] });
    postMessage(message: unknown, transfer?: readonly ArrayBuffer[]): void;
    on(event: "message", listener: (message: unknown) => void): void;
    on(event: "error", listener: (error: unknown) => void): void;
    on(event: "exit", listener: (code: number) => void): void;
    ref(): void;
    unref(): void;
    terminate(): Promise<number>;
  }
  export const parentPort: Port | null;
  export const workerData: unknown;
}
