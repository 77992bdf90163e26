// @ts-check
import { newKey, PATIENCE, under, WINDOW } from "./asking.js";
import { gapError, LOST, lostError, parsed, Reply, StreamError, UNREADABLE } from "./reply.js";
import { Retries, SILENT, Watch } from "./retries.js";

/** @typedef {import("./reply.js").Asked} Asked */
/** @typedef {import("./reply.js").Options} Options */
/** @typedef {import("./reply.js").TurnOptions} TurnOptions */
/** @typedef {import("./reply.js").KeptSocket} KeptSocket */
/** @typedef {import("./reply.js").Wire} Wire */

const PROTOCOL = "streamweir.v1";

/** The messages of a WebSocket behind which nothing of a reply comes. */
const LAST = new Set(["complete", "blocked", "error"]);

/** @typedef {{ reply: Reply, asked: Asked | null, idempotencyKey: string, ticket: string | undefined, until: number, again: boolean }} Turn */

/** A WebSocket to the proxy, made anew where it is lost. Heartbeats of the server are answered; a silent one counts as lost. */
export class Connection {
  #options;
  #retries = new Retries();
  /** @type {WebSocket | null} */
  #socket = null;
  /** @type {Watch | null} */
  #watch = null;
  /** @type {Turn | null} whose messages come now; it may be over for its reader, and not yet for the server */
  #running = null;
  /** @type {Turn | null} what is asked for as soon as the server has ended what runs */
  #next = null;
  /** @type {string | undefined} good once, and then for all that is asked for over the connection that it opened */
  #ticket;
  #ready = false;
  #closed = false;
  #waiting = false;
  /** @type {(error: StreamError | null) => void} */
  #settle = () => {};

  /** @param {Options} options */
  constructor(options) {
    this.#options = options;
    this.#ticket = options.ticket;
    /** @type {Promise<void>} settles when the first connection stands, or cannot be made */
    this.ready = new Promise((resolve, reject) => {
      this.#settle = (error) => (error ? reject(error) : resolve());
    });
    this.ready.catch(() => {}); // whoever streams is told; nobody must wait for `ready`
    if (options.signal?.aborted) this.close();
    else this.#connect();
    options.signal?.addEventListener("abort", () => this.close(), { once: true });
  }

  /** Whether replies can be asked for: until it is closed. */
  get open() {
    return !this.#closed;
  }

  /**
   * Ask for a reply; the one before it must have ended, or been cancelled.
   * @param {Asked} asked
   * @param {TurnOptions} [options]
   */
  stream(asked, options = {}) {
    /** @type {Reply} */
    const reply = new Reply(() => this.#cancelled(reply));
    return this.#wait(reply, asked, options);
  }

  /**
   * Go on with a reply of which `reply.resumable` was kept: from its start, or behind `options.after`.
   * @param {KeptSocket} kept
   * @param {import("./reply.js").Kept} [options]
   */
  resume(kept, options = {}) {
    /** @type {Reply} */
    const reply = new Reply(() => this.#cancelled(reply), options);
    reply.kept = { streamId: kept.streamId, cap: kept.cap };
    return this.#wait(reply, null, {});
  }

  /** Close the connection; a reply that streams on it is cancelled. */
  close() {
    this.#closed = true;
    if (this.#running && !this.#running.reply.over) this.#send({ type: "cancel" });
    this.#fail(new StreamError("cancelled", "The connection was closed."));
    this.#drop();
    this.#settle(lostError("The connection was closed."));
  }

  /** @param {Reply} reply @param {Asked | null} asked @param {TurnOptions} options */
  #wait(reply, asked, options) {
    const busy = [this.#running, this.#next].some((turn) => turn && !turn.reply.over);
    if (busy) reply.fail(new StreamError("busy", "A reply streams on this connection: cancel it, or wait for its end."));
    else if (this.#closed) reply.fail(lostError("The connection is closed: make another."));
    else {
      const until = Date.now() + (this.#options.patience ?? PATIENCE);
      this.#next = { reply, asked, idempotencyKey: options.idempotencyKey ?? newKey(), ticket: options.ticket, until, again: false };
      this.#retries.heard();
      if (this.#socket) this.#turn();
      else if (!this.#waiting) this.#connect();
    }
    return reply;
  }

  /** Ask for what waits, once nothing runs. */
  #turn() {
    if (!this.#next || this.#running || !this.#ready) return;
    const next = this.#next;
    this.#next = null;
    if (next.reply.over) return;
    this.#running = next;
    this.#ask(next);
  }

  /** @param {Turn} turn */
  #ask(turn) {
    const { reply, asked, idempotencyKey } = turn;
    if (asked === null || reply.kept) {
      this.#send({ type: "resume", payload: { ...reply.kept, after: reply.after } });
      return;
    }
    const { profile, ...rest } = asked;
    this.#send({ type: "init", payload: { modelId: profile, ...rest, idempotencyKey, ticket: turn.ticket ?? this.#ticket } });
  }

  /** @param {Reply} reply */
  #cancelled(reply) {
    // where nothing is connected it is cancelled as soon as something is
    if (this.#running?.reply === reply) this.#send({ type: "cancel" });
    if (this.#waiting) this.#retries.wake();
  }

  /** @param {object} message */
  #send(message) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  /** @param {StreamError} error */
  #fail(error) {
    this.#running?.reply.fail(error);
    this.#next?.reply.fail(error);
    this.#running = null;
    this.#next = null;
  }

  #connect() {
    const url = under(this.#options.url, "ws");
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    const protocols = [PROTOCOL];
    if (this.#options.key) protocols.push(`streamweir.key.${this.#options.key}`);
    const socket = (this.#socket = new WebSocket(url, protocols));
    const watch = (this.#watch = new Watch(this.#options.silence, () => this.#lost(socket, SILENT)));
    socket.addEventListener("close", () => this.#lost(socket, LOST));
    socket.addEventListener("open", () => {
      if (socket === this.#socket) this.#opened();
    });
    socket.addEventListener("message", (message) => {
      if (socket !== this.#socket) return;
      watch.heard();
      this.#retries.heard();
      this.#heard(message.data);
    });
  }

  #opened() {
    this.#ready = true;
    this.#settle(null);
    if (!this.#running) return this.#turn();
    const { reply } = this.#running;
    reply.reconnects += 1;
    this.#running.again = true;
    this.#ask(this.#running);
    if (reply.over) this.#send({ type: "cancel" });
  }

  /** Leave the socket; whatever still comes from it is not heard. */
  #drop() {
    this.#watch?.stop();
    this.#socket?.close();
    this.#socket = null;
    this.#ready = false;
  }

  /** @param {WebSocket | null} socket @param {string} why */
  #lost(socket, why) {
    if (!socket || socket !== this.#socket) return;
    this.#drop();
    this.#settle(lostError("The proxy took no connection."));
    this.#again(why);
  }

  /** Connect again, where somebody waits for it: a reply that comes, that is to come, or that is still to be cancelled. */
  async #again(/** @type {string} */ why) {
    if (!this.#wanted()) return;
    this.#waiting = true;
    const { patience = PATIENCE, window = WINDOW } = this.#options;
    const turn = this.#running ?? this.#next;
    const begun = turn?.reply.kept;
    // a server that goes on saying no is heard, and that is no reason to ask for ever
    const late = !begun && turn && Date.now() >= turn.until;
    const again = !late && (await this.#retries.again(begun ? window : patience));
    this.#waiting = false;
    if (this.#closed || !this.#wanted()) return;
    if (again) this.#connect();
    else this.#fail(lostError(why));
  }

  #wanted() {
    // what the proxy was never heard to have taken ends by itself
    if (this.#running?.reply.over && !this.#running.reply.kept) this.#running = null;
    return this.#running !== null || (this.#next !== null && !this.#next.reply.over);
  }

  /** @param {string} data */
  #heard(data) {
    const turn = this.#running;
    /** @type {Wire} */
    let message;
    try {
      message = parsed(data);
    } catch (error) {
      if (error instanceof StreamError) turn?.reply.fail(error);
      this.#lost(this.#socket, UNREADABLE);
      return;
    }
    if (message.type === "ping") this.#send({ type: "pong" });
    else if (!turn || message.type === "pong") return;
    else if (message.type === "handshake_ack") {
      turn.reply.requestId = message.streamId;
      turn.reply.kept = { streamId: message.streamId, cap: message.cap };
      this.#ticket = undefined;
    } else if (typeof message.seq === "number") this.#numbered(turn.reply, message, message.seq);
    else if (message.type === "error") this.#refused(turn, message);
  }

  /** A message with a position. @param {Reply} reply @param {Wire} message @param {number} seq */
  #numbered(reply, message, seq) {
    const last = message.type !== undefined && LAST.has(message.type);
    const place = reply.count(seq);
    if (place === "gap") {
      if (!this.#retries.gap()) reply.fail(gapError(reply.after + 1));
      this.#lost(this.#socket, LOST);
      return;
    }
    // the last one is sent again to whoever asks for what comes behind it
    if (place === "old" && !last) return;
    this.#retries.news();
    const report = message.auditLog?.report;
    if (message.type === "chunk") {
      const choice = message.data?.choices?.[0];
      const content = choice?.delta?.content;
      // the text is that of the first choice, as over fetch
      if (content && !choice.index) reply.take({ type: "token", content, index: message.index });
    } else reply.take(message.type === "complete" ? { type: "stop", report } : { ...message, report });
    // only now does the server take another
    if (last) this.#over();
  }

  /** What was asked is not taken; perhaps it is a little later. @param {Turn} turn @param {Wire} message */
  #refused(turn, message) {
    const { code, message: text, retryAfter = null } = message;
    if (code === "server_draining" && Date.now() < turn.until) {
      // nothing began, and nothing will here: another connection may lead to another process
      this.#lost(this.#socket, text);
      return;
    }
    if (code === "invalid_ticket" && turn.again) {
      turn.reply.fail(lostError("The connection was lost before the proxy answered, and the ticket is used: ask with another one."));
      this.#over();
      return;
    }
    if (retryAfter === null || Date.now() + retryAfter * 1000 > turn.until) {
      turn.reply.fail(new StreamError(code || "protocol_error", text || UNREADABLE, { retryAfter, retryable: retryAfter !== null }));
      this.#over();
      return;
    }
    const socket = this.#socket;
    setTimeout(() => {
      // over another connection it was asked for as soon as that stood
      if (turn !== this.#running || socket !== this.#socket) return;
      if (turn.reply.over) this.#over();
      else this.#ask(turn);
    }, retryAfter * 1000);
  }

  #over() {
    this.#running = null;
    this.#turn();
  }
}
