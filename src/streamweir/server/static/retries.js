// @ts-check
// When a connection counts as lost, and when it is made anew.

/** Three heartbeats: fewer would take a busy moment of the network for its end. */
const SILENCE = 45_000;

export const SILENT = "Nothing came from the proxy any more, not even a heartbeat.";

/** Milliseconds before a lost connection is made anew, at random between nothing and twice as many each time. */
const FIRST_DELAY = 200;
const LONGEST_DELAY = 5_000;

/** A position that is missing as often was left out by the proxy, and not on its way here. */
const MAX_GAPS = 5;

/** When a lost connection is made anew: soon, later each time, and not for ever. */
export class Retries {
  #tries = 0;
  #gaps = 0;
  #heard = Date.now();
  #last = false;
  #random;
  /** @type {(() => void) | null} */
  #wake = null;

  /** @param {() => number} [random] */
  constructor(random = Math.random) {
    this.#random = random;
  }

  /** Something came from the proxy. */
  heard() {
    this.#heard = Date.now();
    this.#last = false;
  }

  /** The reply went on. */
  news() {
    this.heard();
    this.#tries = 0;
    this.#gaps = 0;
  }

  /** A position is missing; whether it may be asked for again. */
  gap() {
    this.#gaps += 1;
    return this.#gaps < MAX_GAPS;
  }

  /** Milliseconds until the next try: jittered, so that the pages that one proxy lost do not come back together. */
  delay() {
    return this.#random() * Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** this.#tries++);
  }

  /** Wait for the next try. False when nothing was heard for `limit` milliseconds, after a last try. @param {number} limit */
  async again(limit) {
    const left = this.#heard + limit - Date.now();
    if (this.#last) return false;
    // a machine that slept may find the reply there still
    this.#last = left <= 0;
    await this.wait(Math.min(this.delay(), Math.max(left, 0)), true);
    return true;
  }

  /** Wait; `early`: not longer than until the browser is online again. @param {number} ms @param {boolean} early */
  wait(ms, early) {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        globalThis.removeEventListener?.("online", done);
        resolve(undefined);
      };
      const timer = setTimeout(done, ms);
      if (early) globalThis.addEventListener?.("online", done);
      this.#wake = done;
    });
  }

  /** Wait no longer. */
  wake() {
    this.#wake?.();
  }
}

/** Notices that nothing is heard any more. */
export class Watch {
  #at = Date.now();
  #timer;

  /** @param {number | undefined} silence milliseconds @param {() => void} lost */
  constructor(silence = SILENCE, lost) {
    this.#timer = setInterval(() => {
      if (Date.now() - this.#at < silence) return;
      this.stop();
      lost();
    }, Math.min(1000, silence / 4));
  }

  heard() {
    this.#at = Date.now();
  }

  stop() {
    clearInterval(this.#timer);
  }
}
