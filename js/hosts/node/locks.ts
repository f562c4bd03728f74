// Locks between the threads and processes of a machine.
//
// A lock is a folder of claims. A claim is an empty file whose name says everything: its place in the queue, whether it is
// exclusive, and whose it is. A claim holds the lock when no claim that excludes it comes before it. Places are given as
// in a bakery (Lamport, 1974): whoever takes one says so first, and the others wait until it is taken. No file is ever
// replaced and every name is used once, so a claim whose owner is gone can be removed by anyone.

import * as fs from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import process from "node:process";

import type { LockRequest, Release } from "../host.js";
import { inBackground } from "../runtime.js";
import { codeOf, inFolder, isMissing, LOCKS, namesIn } from "./files.js";

/** How often an owner shows that it is alive, and after what silence it counts as gone, in milliseconds. */
const BEAT = 15_000;
const SILENCE = 120_000;
/** The first and the longest pause between two looks at a lock that somebody else has, in milliseconds. */
const FIRST_PAUSE = 5;
const LONGEST_PAUSE = 100;

/** What the name of a claim says. A claim without a place is one whose place is being taken. */
interface Claim {
  file: string;
  place: number | undefined;
  exclusive: boolean;
  machine: string;
  pid: number;
  owner: string;
}

const NAME = /^(?:(\d{12})|taking)-([xs])-([0-9a-f]{8})-(\d+)-([0-9a-f]+)-(\d+)$/;
let machine: string | undefined;
/** When this process began, in milliseconds since 1970; a claim from before was made by another one with its number. */
const BEGAN = Date.now() - process.uptime() * 1000;

/** The claims of one thread. */
export class Locks {
  readonly #owner: string;
  readonly #held = new Set<string>();
  #count = 0;
  #beat: ReturnType<typeof setInterval> | undefined;

  /** @param owner - Hexadecimal digits that no other thread has. */
  constructor(owner: string) {
    this.#owner = owner;
  }

  /** `ThreadHost.lock`, where the lock is the folder `lock`. */
  async take(lock: string, { exclusive, wait, signal }: LockRequest): Promise<Release | undefined> {
    const mine = this.#claim(lock, exclusive);
    const release = () => this.#release(lock, mine.file);
    try {
      for (let pause = FIRST_PAUSE; ; pause = Math.min(1.5 * pause, LONGEST_PAUSE)) {
        if (signal?.aborted) throw new DOMException("the wait for a lock was cancelled", "AbortError");
        const before = claimsBefore(lock, mine);
        // A listing may miss a claim that gets its place meanwhile; a second one does not.
        if (before.length === 0 && claimsBefore(lock, mine).length === 0) return release;
        if (!wait && before.length > 0 && before.every(({ place }) => place !== undefined)) break;
        await new Promise((resolve) => setTimeout(resolve, pause));
      }
    } catch (error) {
      release();
      throw error;
    }
    release();
    return undefined;
  }

  /** Makes a claim at the end of the queue. */
  #claim(lock: string, exclusive: boolean): Claim {
    const rest = `${exclusive ? "x" : "s"}-${thisMachine()}-${process.pid}-${this.#owner}-${this.#count++}`;
    const taking = join(lock, `taking-${rest}`);
    touch(taking);
    try {
      const place = 1 + Math.max(0, ...claimsIn(lock).map((other) => other.place ?? 0));
      const file = `${String(place).padStart(12, "0")}-${rest}`;
      touch(join(lock, file));
      this.#hold(join(lock, file));
      return { file, place, exclusive, machine: thisMachine(), pid: process.pid, owner: this.#owner };
    } finally {
      fs.rmSync(taking, { force: true });
    }
  }

  #hold(path: string): void {
    this.#held.add(path);
    this.#beat ??= setInterval(() => {
      const now = new Date();
      for (const held of this.#held) {
        try {
          fs.utimesSync(held, now, now);
        } catch {
          // Somebody has cleared the cache by hand.
        }
      }
    }, BEAT);
    inBackground(this.#beat);
  }

  #release(lock: string, file: string): void {
    if (!this.#held.delete(join(lock, file))) return;
    if (this.#held.size === 0) {
      clearInterval(this.#beat);
      this.#beat = undefined;
    }
    removeClaim(lock, file);
  }
}

/** The folder of the lock `name` of a cache in the folder `root`. */
export function lockFolder(root: string, cache: string, name: string): string {
  return join(root, cache, LOCKS, name.replace("/", "-"));
}

/** Removes every claim of a thread that has ended, in all caches in the folder `root`. */
export function releaseAll(owner: string, root: string): void {
  try {
    for (const cache of namesIn(root)) {
      for (const name of namesIn(join(root, cache, LOCKS))) {
        const lock = join(root, cache, LOCKS, name);
        for (const claim of claimsIn(lock)) if (claim.owner === owner) removeClaim(lock, claim.file);
      }
    }
  } catch {
    // Not allowed to look: the claims count as abandoned after a while.
  }
}

function removeClaim(lock: string, file: string): void {
  try {
    fs.rmSync(join(lock, file), { force: true });
    fs.rmdirSync(lock); // the last one out
  } catch {
    // Others have claims, or make one at this moment.
  }
}

function claimsIn(lock: string): Claim[] {
  return namesIn(lock).flatMap((file) => {
    const [, number, mode, machine = "", pid, owner = ""] = NAME.exec(file) ?? [];
    const place = number === undefined ? undefined : Number(number);
    return mode === undefined ? [] : [{ file, place, exclusive: mode === "x", machine, pid: Number(pid), owner }];
  });
}

/** The claims that `mine` has to wait for. Those of owners that are gone are removed, whatever they exclude. */
function claimsBefore(lock: string, mine: Claim): Claim[] {
  return claimsIn(lock).filter((other) => other.file !== mine.file && !isGone(lock, other) && precedes(other, mine));
}

/** Whether `mine` has to wait for `other`. */
function precedes(other: Claim, mine: Claim): boolean {
  if (other.place === undefined) return true; // which may turn out to be before
  if (!other.exclusive && !mine.exclusive) return false;
  return other.file < mine.file;
}

/** Whether the owner of a claim is gone; its claim is then removed. */
function isGone(lock: string, claim: Claim): boolean {
  const path = join(lock, claim.file);
  const changed = fs.statSync(path, { throwIfNoEntry: false })?.mtimeMs;
  if (changed === undefined) return true;
  const here = claim.machine === thisMachine();
  const dead = here && (claim.pid === process.pid ? changed < BEGAN - 1000 : !isRunning(claim.pid));
  if (!dead && Date.now() - changed < SILENCE) return false;
  fs.rmSync(path, { force: true });
  return true;
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) !== "ESRCH"; // it may be another user's
  }
}

/** Makes an empty file. */
function touch(path: string): void {
  for (let left = 100; ; left--) {
    try {
      return fs.closeSync(inFolder(path, () => fs.openSync(path, "wx")));
    } catch (error) {
      // Whoever released the lock at this moment has removed its folder.
      if (left === 0 || !isMissing(error)) throw error;
    }
  }
}

/** Eight digits for the processes that see each other's numbers: the machine, and on Linux the container. */
function thisMachine(): string {
  if (machine !== undefined) return machine;
  let hash = 0x811c9dc5; // FNV-1a
  const place = `${allowed(hostname)} ${allowed(() => fs.readlinkSync("/proc/self/ns/pid"))}`;
  for (const char of place) hash = Math.imul(hash ^ (char.codePointAt(0) ?? 0), 0x01000193);
  return (machine = (hash >>> 0).toString(16).padStart(8, "0"));
}

/** What the system says; nothing if it does not know, or Deno does not let it be asked. */
function allowed(ask: () => string): string {
  try {
    return ask();
  } catch {
    return "";
  }
}
