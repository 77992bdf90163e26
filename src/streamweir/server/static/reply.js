// @ts-check
// One reply: what comes of it, in order, and how it ends.

import { verified } from "./receipt.js";

/** @typedef {{ role: string, content: unknown }} Message */
/**
 * @typedef {object} Asked What is asked for.
 * @property {string} profile the profile's name
 * @property {Message[]} messages
 * @property {number} [temperature]
 * @property {number} [max_tokens]
 * @property {string | string[]} [stop]
 * @property {Record<string, unknown>} [metadata]
 * @property {string} [conversation_id]
 */
/**
 * @typedef {object} Options How it is asked for.
 * @property {string} [url] the proxy; default: where this module came from
 * @property {string} [ticket] a one-use ticket from your own server
 * @property {string} [key] an API key; never in a page that others can load
 * @property {AbortSignal} [signal] cancels the reply
 * @property {number} [silence] milliseconds without a byte, heartbeats included, after which a connection counts as lost
 * @property {boolean} [resumable] false: one request over fetch, and a lost connection is the reply's end
 * @property {string} [idempotencyKey] the reply's own name; asked for by the same name again, it is the same reply
 * @property {number} [patience] milliseconds in which a reply must begin
 * @property {number} [window] the proxy's `server.resume_window` in milliseconds: how long a lost connection is made anew
 */
/** @typedef {{ idempotencyKey?: string, ticket?: string }} TurnOptions What one reply of a connection is asked with. */
/**
 * @typedef {object} Kept What a page still has of a reply that it goes on with.
 * @property {number} [after] the last position; default: none
 * @property {string} [text] the text up to there: `partial` begins with it, and the receipt can be checked
 */
/** @typedef {Options & Kept} ResumeOptions */
/** @typedef {{ url: string, after: number }} KeptFetch */
/** @typedef {{ streamId: string, cap: string | undefined, after: number }} KeptSocket */
/**
 * @typedef {object} Ours What a report has for every page.
 * @property {string} status
 * @property {string} request_id
 * @property {string | null} correlation_id
 * @property {{ sha256: string, [key: string]: unknown }} [integrity] `sha256` is that of the text as the proxy sent it
 * @property {string | null} [record_id] the proxy's record of the reply; null where it keeps none
 * @property {boolean | null} [receipt_verified] whether `sha256` is that of the text that came here; null: nobody can say
 */
/** @typedef {Ours & { [key: string]: unknown }} Report */
/** @typedef {{ type: "token", content: string, index: number }} Token */
/** @typedef {{ type: "joint", at: number }} Joint */
/** @typedef {{ type: "restarted" }} Restarted */
/** @typedef {{ type: "stop", report: Report }} Stop */
/** @typedef {(Token | Joint | Restarted | Stop) & { seq: number }} ReplyEvent `seq` is its position in the reply, from 0 */
/** @typedef {{ type?: string, [key: string]: any }} Wire */

const WHOLE = new Set(["completed", "truncated"]);
export const UNREADABLE = "The proxy's answer could not be read.";
export const LOST = "The connection to the proxy was lost.";
const CHANGED = "The reply was changed on its way here: its text is not the text that the proxy sent.";

/** Why a reply did not end whole. `code` is stable; `partial` is the text that came, `report` the proxy's, where it sent one. */
export class StreamError extends Error {
  /**
   * @param {string} code
   * @param {string} message
   * @param {{ status?: number, retryable?: boolean, correlationId?: string | null, report?: Report | null, retryAfter?: number | null }} [more]
   */
  constructor(code, message, more = {}) {
    super(message);
    this.name = "StreamError";
    this.code = code;
    /** @type {number | null} the HTTP status of a refusal */
    this.status = more.status ?? null;
    this.retryable = more.retryable ?? false;
    /** @type {string | null} */
    this.correlationId = more.correlationId ?? null;
    /** @type {Report | null} */
    this.report = more.report ?? null;
    /** @type {number | null} seconds to wait before asking again */
    this.retryAfter = more.retryAfter ?? null;
    this.partial = "";
  }
}

/** One reply on its way: iterate it for its events, or `text` for the text alone. */
export class Reply {
  /** @type {ReplyEvent[]} */
  #events = [];
  /** @type {(() => void) | null} */
  #wake = null;
  /** @type {StreamError | null} */
  #error = null;
  #over = false;
  /** Whether its reader has been told the end; the receipt is checked before. */
  #settled = false;
  /** Whether `partial` is all of the text. */
  #all;
  /** @type {() => void} */
  #cancel;
  #after;

  /** @param {() => void} cancel what ends the request @param {Kept} [kept] */
  constructor(cancel, { after = -1, text } = {}) {
    this.#cancel = cancel;
    this.#after = after;
    this.#all = after < 0 || text !== undefined;
    /** The text so far; after a restart that of the new start. */
    this.partial = (after >= 0 && text) || "";
    /** @type {Report | null} the report of a reply that ended whole */
    this.report = null;
    /** @type {string | null} */
    this.requestId = null;
    /** @type {string | null} the upstream's name for the reply */
    this.correlationId = null;
    /** How often its connection was made anew. */
    this.reconnects = 0;
    /** @type {{ url: string } | { streamId: string, cap: string | undefined } | null} where the proxy keeps it */
    this.kept = null;
  }

  /** The last position that came. */
  get after() {
    return this.#after;
  }

  /**
   * What goes on with the reply on another page: JSON, for a page's sessionStorage. Null before the proxy has it, and
   * where nothing more comes. `after` is the last position that was read here.
   * @returns {KeptFetch | KeptSocket | null}
   */
  get resumable() {
    return this.kept && !this.#over ? { ...this.kept, after: (this.#events[0]?.seq ?? this.#after + 1) - 1 } : null;
  }

  /** Whether nothing more comes. */
  get over() {
    return this.#over;
  }

  /** End the reply; whoever reads it gets a StreamError with the code `cancelled`. */
  cancel() {
    if (this.#over) return;
    this.fail(new StreamError("cancelled", "You cancelled the reply."));
    this.#cancel();
  }

  /** The pieces of text. A restart withdraws earlier ones: iterate the reply itself where that may happen. */
  get text() {
    const events = this[Symbol.asyncIterator]();
    return {
      async *[Symbol.asyncIterator]() {
        for await (const event of events) if (event.type === "token") yield event.content;
      },
    };
  }

  /** The events, in order. @returns {AsyncGenerator<ReplyEvent, void, void>} */
  async *[Symbol.asyncIterator]() {
    try {
      for (;;) {
        for (let event = this.#events.shift(); event; event = this.#events.shift()) yield event;
        if (this.#error) throw this.#error;
        if (this.#settled) return;
        await new Promise((resolve) => (this.#wake = () => resolve(undefined)));
      }
    } finally {
      // whoever stops reading wants no more
      if (!this.#over) this.cancel();
    }
  }

  /** Count a position; one that came before is `old`, and before a `gap` one is missing. @param {number} seq */
  count(seq) {
    if (seq <= this.#after) return "old";
    if (seq > this.#after + 1) return "gap";
    this.#after = seq;
    return "new";
  }

  /** One message of the stream, whichever way it came. Nothing counts after the last one. @param {Wire} message */
  take(message) {
    if (this.#over) return;
    const seq = this.#after;
    if (message.type === "token") {
      const content = String(message.content ?? "");
      this.partial += content;
      this.#push({ type: "token", content, index: message.index, seq });
    } else if (message.type === "restarted") {
      this.partial = "";
      this.#all = true;
      this.#push({ type: "restarted", seq });
    } else if (message.type === "joint") {
      this.#push({ type: "joint", at: message.at, seq });
    } else if (message.type === "stop" && message.report && WHOLE.has(message.report.status)) {
      this.#ids(message.report);
      this.#end(message.report, null, seq);
    } else if (message.type === "blocked") {
      this.#end(message.report, new StreamError("stream_blocked", message.reason, { report: message.report }), seq);
    } else if (message.type === "error") {
      const { code, message: text, retryable, correlation_id: correlationId, report } = message;
      this.#end(report, new StreamError(code || "protocol_error", text || UNREADABLE, { retryable, correlationId, report }), seq);
    } else if (message.type === "stop") {
      this.fail(new StreamError("protocol_error", UNREADABLE, { report: message.report }));
    }
  }

  /** The reply stops short; the first reason is the one that holds. @param {StreamError} error */
  fail(error) {
    if (this.#over) return;
    this.#over = true;
    this.#failed(error);
  }

  /**
   * The proxy's last word. Nothing counts behind it; its reader gets it when the receipt was checked.
   * @param {Report | undefined} report
   * @param {StreamError | null} error why it did not end whole
   * @param {number} seq
   */
  async #end(report, error, seq) {
    this.#over = true;
    if (report) {
      // what cannot be worked out is not known, and no reply waits for ever for it
      report.receipt_verified = await verified(report, this.#all ? this.partial : null).catch(() => null);
      if (!error && report.receipt_verified === false) error = new StreamError("receipt_mismatch", CHANGED, { report });
    }
    if (error) return this.#failed(error);
    this.report = report ?? null;
    this.#settled = true;
    if (report) this.#push({ type: "stop", report, seq });
  }

  /** @param {StreamError} error */
  #failed(error) {
    this.#ids(error.report);
    this.correlationId ??= error.correlationId;
    error.correlationId ??= this.correlationId;
    error.partial = this.partial;
    this.#error = error;
    this.#settled = true;
    this.#wake?.();
  }

  /** @param {Report | null | undefined} report */
  #ids(report) {
    this.requestId = report?.request_id ?? this.requestId;
    this.correlationId = report?.correlation_id ?? this.correlationId;
  }

  /** @param {ReplyEvent} event */
  #push(event) {
    this.#events.push(event);
    this.#wake?.();
  }
}

/** A message of the proxy. @param {string} data @returns {Wire} */
export function parsed(data) {
  /** @type {unknown} */
  let message = null;
  try {
    message = JSON.parse(data);
  } catch {
    // as what is JSON and no message
  }
  if (typeof message !== "object" || message === null) throw new StreamError("protocol_error", UNREADABLE);
  return message;
}

export function lostError(why = LOST) {
  return new StreamError("upstream_lost", why, { retryable: true });
}

/** @param {number} seq */
export function gapError(seq) {
  return new StreamError("protocol_error", `The proxy left out position ${seq} of the reply, again and again.`);
}
