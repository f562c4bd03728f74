// A way past the event loops of two threads that share memory, as those of cross-origin isolated pages and of Node.js, Deno
// and Bun do. A question to a helper and its answer lie in one piece of memory, and each side wakes the other. A message
// that does not fit, or comes while the helper does not look, is posted as without shared memory.

/** Of the words that both sides see: what state the box is in. */
const STATE = 0;
/** How long the answer is, or {@link POSTED}. */
const LENGTH = 1;
/** How many messages were posted to the helper. */
const TO_HELPER = 2;
/** How many of these it took. */
const TAKEN = 3;
/** How many answers it posted. */
const FROM_HELPER = 4;
const WORDS = 5;

/** The helper does not look. The memory is the leader's. */
const CLOSED = 0;
/** The helper waits for a question. The memory is the leader's, and may have the last answer in it. */
const OPEN = 1;
/** There is a question, and the memory is the helper's. */
const ASKED = 2;

/** The answer did not fit, or is no numbers: it was posted. */
const POSTED = -1;

/** Looks at a word before it sleeps: to be woken takes longer than most of what happens between two products. */
const LOOKS = 2000;
/** Milliseconds that a helper waits before it returns to its event loop. It is called from there when a message is posted. */
const PATIENCE = 1000;
/** Milliseconds that the leader waits before it lets its own event loop run, which may have heard that the helper ended. */
const SLICE = 50;
const FIRST_BYTES = 1 << 18;
const MOST_BYTES = 1 << 26;

/** What both sides are given. */
export interface SharedBox {
  words: Int32Array<SharedArrayBuffer>;
  data: SharedArrayBuffer;
}

/** A new box, or undefined where threads share no memory or this one may not wait, as that of a page may not. */
export function newBox(): SharedBox | undefined {
  if (typeof SharedArrayBuffer !== "function") return undefined;
  const words = new Int32Array(new SharedArrayBuffer(4 * WORDS));
  try {
    Atomics.wait(words, STATE, ASKED, 0);
  } catch {
    return undefined;
  }
  return { words, data: new SharedArrayBuffer(FIRST_BYTES) };
}

/** Waits while the state is `state`, for `patience` milliseconds at most. Gives the state. */
function whileState(words: Int32Array<SharedArrayBuffer>, state: number, patience: number): number {
  for (let i = 0; i < LOOKS; i++) {
    const now = Atomics.load(words, STATE);
    if (now !== state) return now;
  }
  Atomics.wait(words, STATE, state, patience);
  return Atomics.load(words, STATE);
}

/** The side that asks. */
export class Leader {
  readonly #words: Int32Array<SharedArrayBuffer>;
  #data: SharedArrayBuffer;
  #asked = false;
  /** Answers that were posted and taken. */
  #taken = 0;

  constructor({ words, data }: SharedBox) {
    [this.#words, this.#data] = [words, data];
  }

  /** Whether there is a question in the box of which the answer has not been taken. It comes before all posted ones. */
  get asked(): boolean {
    return this.#asked;
  }

  /** Memory for a question of `length` bytes; undefined if it is to be posted. */
  room(length: number): Uint8Array<SharedArrayBuffer> | undefined {
    const [words, load] = [this.#words, Atomics.load];
    const open = !this.#asked && load(words, STATE) === OPEN;
    // A question overtakes no message that was posted before it, nor its answer one.
    const inOrder = load(words, TAKEN) === load(words, TO_HELPER) && load(words, FROM_HELPER) === this.#taken;
    return open && inOrder && length <= this.#data.byteLength ? new Uint8Array(this.#data, 0, length) : undefined;
  }

  /** Asks what was written to `message`. False if it is not in the box, or the helper has stopped looking. */
  ask(message: Uint8Array): boolean {
    if (message.buffer !== this.#data) return false;
    Atomics.store(this.#words, LENGTH, message.byteLength);
    this.#asked = Atomics.compareExchange(this.#words, STATE, OPEN, ASKED) === OPEN;
    if (this.#asked) Atomics.notify(this.#words, STATE);
    return this.#asked;
  }

  /** Called before a message is posted: has the helper return to its event loop. */
  posts(): void {
    Atomics.add(this.#words, TO_HELPER, 1);
    if (Atomics.compareExchange(this.#words, STATE, OPEN, CLOSED) === OPEN) Atomics.notify(this.#words, STATE);
  }

  /** The answer to the question in the box, "posted" if it is or will be, or undefined if there is none yet, after a while. */
  answer(): Float32Array | "posted" | undefined {
    if (whileState(this.#words, ASKED, SLICE) === ASKED) return undefined;
    this.#asked = false;
    const length = Atomics.load(this.#words, LENGTH);
    return length === POSTED ? "posted" : new Float32Array(this.#data, 0, length / 4);
  }

  /** A posted answer was taken. */
  took(): void {
    this.#taken++;
  }

  /** Larger memory for messages of `length` bytes, which the helper is to be told of; undefined if it has that already. */
  grown(length: number): SharedArrayBuffer | undefined {
    if (this.#asked || length <= this.#data.byteLength || length > MOST_BYTES) return undefined;
    return (this.#data = new SharedArrayBuffer(2 ** Math.ceil(Math.log2(length))));
  }
}

/** The side that answers. */
export class Follower {
  readonly #words: Int32Array<SharedArrayBuffer>;
  #data: SharedArrayBuffer;

  constructor({ words, data }: SharedBox) {
    [this.#words, this.#data] = [words, data];
  }

  /** A posted message was taken. */
  took(): void {
    Atomics.add(this.#words, TAKEN, 1);
  }

  /** An answer is about to be posted. */
  posts(): void {
    Atomics.add(this.#words, FROM_HELPER, 1);
  }

  /** Takes larger memory. */
  grow(data: SharedArrayBuffer): void {
    this.#data = data;
  }

  /** Answers questions with `reply` until none comes for a while or a message was posted. It answers in the memory it is
   *  given, or gives "posted". */
  serve(reply: (question: Uint8Array) => number | "posted"): void {
    for (;;) {
      Atomics.store(this.#words, STATE, OPEN);
      Atomics.notify(this.#words, STATE);
      const posted = Atomics.load(this.#words, TO_HELPER) !== Atomics.load(this.#words, TAKEN);
      if (posted || whileState(this.#words, OPEN, PATIENCE) !== ASKED) {
        // The leader may have asked meanwhile.
        if (Atomics.compareExchange(this.#words, STATE, OPEN, CLOSED) !== ASKED) return;
      }
      const answer = reply(new Uint8Array(this.#data, 0, Atomics.load(this.#words, LENGTH)));
      Atomics.store(this.#words, LENGTH, answer === "posted" ? POSTED : answer);
    }
  }
}
