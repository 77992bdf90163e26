// @ts-check
// streamweir for pages: one reply, streamed over fetch or over a WebSocket, with no dependency.
//
//   import { streamReply, connect, StreamError } from "https://gate.example.com/static/streamweir.js";
//   const reply = streamReply({ profile: "support", messages: [{ role: "user", content: "Hello" }] }, { ticket });
//   for await (const event of reply) if (event.type === "token") show(event.content);
//
// A reply that did not end whole throws a StreamError behind its last event; `reply.partial` holds what came.

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
 * @property {number} [silence] milliseconds without a byte, heartbeats included, after which the connection counts as lost
 */
/** @typedef {{ status: string, request_id: string, correlation_id: string | null, [key: string]: unknown }} Report */
/** @typedef {{ type: "token", content: string, index: number }} Token */
/** @typedef {{ type: "joint", at: number }} Joint */
/** @typedef {{ type: "restarted" }} Restarted */
/** @typedef {{ type: "stop", report: Report }} Stop */
/** @typedef {Token | Joint | Restarted | Stop} ReplyEvent */
/** @typedef {{ data: string, event: string, id: string }} SseEvent */
/** @typedef {{ type?: string, [key: string]: any }} Wire */

const HERE = new URL("..", import.meta.url).href;
const PROTOCOL = "streamweir.v1";
const WHOLE = new Set(["completed", "truncated"]);
const UNREADABLE = "The proxy's answer could not be read.";

/** Three heartbeats: fewer would take a busy moment of the network for its end. */
const SILENCE = 45_000;

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

/** Server-sent events from a fetch body, as the WHATWG HTML standard reads them. */
export class SseParser {
  #decoder = new TextDecoder();
  #rest = "";
  #afterCr = false;
  /** @type {string[]} */
  #data = [];
  #event = "";
  #id = "";

  /** The events that bytes complete. @param {Uint8Array} bytes @returns {SseEvent[]} */
  push(bytes) {
    const text = this.#decoder.decode(bytes, { stream: true });
    if (!text) return [];
    const whole = this.#afterCr && text.startsWith("\n") ? text.slice(1) : text;
    this.#afterCr = text.endsWith("\r");
    const lines = (this.#rest + whole).split(/\r\n|\r|\n/);
    this.#rest = lines.pop() ?? "";
    /** @type {SseEvent[]} */
    const events = [];
    for (const line of lines) {
      if (line) {
        this.#field(line);
        continue;
      }
      if (this.#data.length) events.push({ data: this.#data.join("\n"), event: this.#event || "message", id: this.#id });
      this.#data = [];
      this.#event = "";
    }
    return events;
  }

  /** @param {string} line */
  #field(line) {
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value.startsWith(" ")) value = value.slice(1);
    if (name === "data") this.#data.push(value);
    else if (name === "event") this.#event = value;
    else if (name === "id" && !value.includes("\0")) this.#id = value;
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
  /** @type {() => void} */
  #cancel;

  /** @param {() => void} cancel what ends the request */
  constructor(cancel) {
    this.#cancel = cancel;
    /** The text so far; after a restart that of the new start. */
    this.partial = "";
    /** @type {Report | null} the report of a reply that ended whole */
    this.report = null;
    /** @type {string | null} */
    this.requestId = null;
    /** @type {string | null} the upstream's name for the reply */
    this.correlationId = null;
  }

  /** Whether nothing more comes. */
  get over() {
    return this.#over;
  }

  /** End the reply; whoever reads it gets a StreamError with the code `cancelled`. */
  cancel() {
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
        if (this.#over) return;
        await new Promise((resolve) => (this.#wake = () => resolve(undefined)));
      }
    } finally {
      // whoever stops reading wants no more
      if (!this.#over) this.cancel();
    }
  }

  /** One message of the stream, whichever way it came. Nothing counts after the last one. @param {Wire} message */
  take(message) {
    if (this.#over) return;
    if (message.type === "token") {
      const content = String(message.content ?? "");
      this.partial += content;
      this.#push({ type: "token", content, index: message.index });
    } else if (message.type === "restarted") {
      this.partial = "";
      this.#push({ type: "restarted" });
    } else if (message.type === "joint") {
      this.#push({ type: "joint", at: message.at });
    } else if (message.type === "stop" && message.report && WHOLE.has(message.report.status)) {
      this.#ids(message.report);
      this.report = message.report;
      this.#over = true;
      this.#push({ type: "stop", report: message.report });
    } else if (message.type === "blocked") {
      this.fail(new StreamError("stream_blocked", message.reason, { report: message.report }));
    } else if (message.type === "error") {
      const { code, message: text, retryable, correlation_id: correlationId, report } = message;
      this.fail(new StreamError(code || "protocol_error", text || UNREADABLE, { retryable, correlationId, report }));
    } else if (message.type === "stop") {
      this.fail(new StreamError("protocol_error", UNREADABLE, { report: message.report }));
    }
  }

  /** The reply stops short; the first reason is the one that holds. @param {StreamError} error */
  fail(error) {
    if (this.#over) return;
    this.#ids(error.report);
    this.correlationId ??= error.correlationId;
    error.correlationId ??= this.correlationId;
    error.partial = this.partial;
    this.#error = error;
    this.#over = true;
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

/**
 * Ask for a reply over fetch.
 * @param {Asked} asked
 * @param {Options} [options]
 */
export function streamReply(asked, options = {}) {
  const abort = new AbortController();
  const reply = new Reply(() => abort.abort());
  if (options.signal?.aborted) reply.cancel();
  options.signal?.addEventListener("abort", () => reply.cancel(), { once: true });
  post(reply, asked, options, abort).catch((error) => {
    if (error instanceof SyntaxError) reply.fail(new StreamError("protocol_error", UNREADABLE));
    else reply.fail(new StreamError("upstream_lost", "The connection to the proxy was lost.", { retryable: true }));
  }).finally(() => abort.abort());
  return reply;
}

/**
 * @param {Reply} reply
 * @param {Asked} asked
 * @param {Options} options
 * @param {AbortController} abort
 */
async function post(reply, asked, options, abort) {
  const watch = new Watch(options.silence, () => lost(reply, abort));
  try {
    await read(reply, asked, options, abort, watch);
  } finally {
    watch.stop();
  }
}

/**
 * @param {Reply} reply
 * @param {Asked} asked
 * @param {Options} options
 * @param {AbortController} abort
 * @param {Watch} watch
 */
async function read(reply, asked, options, abort, watch) {
  const { profile, ...rest } = asked;
  /** @type {Record<string, string>} */
  const headers = { "Content-Type": "application/json" };
  if (options.ticket) headers["X-Streamweir-Ticket"] = options.ticket;
  if (options.key) headers["Authorization"] = `Bearer ${options.key}`;
  const answer = await fetch(under(options.url, "api/llm/stream"), {
    method: "POST",
    headers,
    signal: abort.signal,
    body: JSON.stringify({ configurationId: profile, ...rest }),
  });
  watch.heard();
  reply.requestId = answer.headers.get("X-Request-Id");
  reply.correlationId = answer.headers.get("ININ-Correlation-Id");
  if (!answer.ok || !answer.body) {
    const body = await answer.json().catch(() => ({}));
    const retryAfter = Number(answer.headers.get("Retry-After")) || null;
    const more = { status: answer.status, correlationId: body.correlation_id, retryAfter, retryable: [429, 503].includes(answer.status) };
    reply.fail(new StreamError(body.code || `HTTP ${answer.status}`, body.error || "The request was refused.", more));
    return;
  }
  const parser = new SseParser();
  const reader = answer.body.getReader();
  while (!reply.over) {
    const { done, value } = await reader.read();
    watch.heard();
    if (done) break;
    for (const event of parser.push(value)) reply.take(JSON.parse(event.data));
  }
  // a body that ends without a terminal event was cut, however clean its end
  reply.fail(new StreamError("stream_interrupted", "The reply was cut off before its end.", { retryable: true }));
}

/** A route of the proxy, whatever path it stands under. @param {string | undefined} base @param {string} route */
function under(base = HERE, route) {
  return new URL(route, base.endsWith("/") ? base : `${base}/`);
}

/** @param {Reply} reply @param {{ abort(): void }} abort */
function lost(reply, abort) {
  reply.fail(new StreamError("upstream_lost", "Nothing came from the proxy any more, not even a heartbeat.", { retryable: true }));
  abort.abort();
}

/** Notices that nothing is heard any more. */
class Watch {
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

/**
 * A connection over which one reply after the other streams.
 * @param {Options} [options]
 */
export function connect(options = {}) {
  return new Connection(options);
}

/** @typedef {{ reply: Reply, asked: Asked }} Turn */

/** A WebSocket to the proxy. Heartbeats of the server are answered; a silent one counts as lost. */
export class Connection {
  #socket;
  #watch;
  /** @type {Reply | null} whose messages come now; it may be over for its reader, and not yet for the server */
  #running = null;
  /** @type {Turn | null} what is asked for as soon as the server has ended what runs */
  #next = null;
  #ready = false;

  /** @param {Options} options */
  constructor(options) {
    const url = under(options.url, "ws");
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    const protocols = [PROTOCOL];
    if (options.ticket) protocols.push(`streamweir.ticket.${options.ticket}`);
    if (options.key) protocols.push(`streamweir.key.${options.key}`);
    this.#socket = new WebSocket(url, protocols);
    this.#watch = new Watch(options.silence, () => this.#gone("Nothing came from the proxy any more, not even a heartbeat."));
    this.#socket.addEventListener("message", (message) => this.#heard(message.data));
    this.#socket.addEventListener("close", () => this.#gone("The connection to the proxy was lost."));
    /** @type {Promise<void>} settles when the connection stands, or cannot be made */
    this.ready = new Promise((resolve, reject) => {
      this.#socket.addEventListener("open", () => {
        this.#ready = true;
        this.#turn();
        resolve();
      });
      this.#socket.addEventListener("close", () => reject(new StreamError("upstream_lost", "The proxy took no connection.", { retryable: true })));
    });
    this.ready.catch(() => {}); // whoever streams is told; nobody must wait for `ready`
    if (options.signal?.aborted) this.close();
    options.signal?.addEventListener("abort", () => this.close(), { once: true });
  }

  /** Whether the connection stands, or is being made. */
  get open() {
    return this.#socket.readyState <= WebSocket.OPEN;
  }

  /** Ask for a reply; the one before it must have ended, or been cancelled. @param {Asked} asked */
  stream(asked) {
    /** @type {Reply} */
    const reply = new Reply(() => {
      if (this.#running === reply) this.#send({ type: "cancel" });
    });
    const busy = [this.#running, this.#next?.reply].some((one) => one && !one.over);
    if (busy) reply.fail(new StreamError("busy", "A reply streams on this connection: cancel it, or wait for its end."));
    else if (!this.open) reply.fail(new StreamError("upstream_lost", "The connection is closed: make another.", { retryable: true }));
    else {
      this.#next = { reply, asked };
      this.#turn();
    }
    return reply;
  }

  /** Close the connection; a reply that streams on it is cancelled. */
  close() {
    this.#fail(new StreamError("cancelled", "The connection was closed."));
    this.#socket.close(1000);
  }

  /** Ask for what waits, once nothing runs. */
  #turn() {
    const next = this.#next;
    if (!next || this.#running || !this.#ready) return;
    this.#next = null;
    if (next.reply.over) return;
    this.#running = next.reply;
    const { profile, ...rest } = next.asked;
    this.#send({ type: "init", payload: { modelId: profile, ...rest } });
  }

  /** @param {object} message */
  #send(message) {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  /** @param {StreamError} error */
  #fail(error) {
    this.#watch.stop();
    this.#running?.fail(error);
    this.#next?.reply.fail(error);
    this.#next = null;
  }

  /** @param {string} why */
  #gone(why) {
    this.#fail(new StreamError("upstream_lost", why, { retryable: true }));
    this.#socket.close();
  }

  /** @param {string} data */
  #heard(data) {
    this.#watch.heard();
    const reply = this.#running;
    /** @type {Wire} */
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      reply?.fail(new StreamError("protocol_error", UNREADABLE));
      this.#socket.close();
      return;
    }
    if (message.type === "ping") this.#send({ type: "pong" });
    else if (!reply || message.type === "pong") return;
    else if (message.type === "handshake_ack") reply.requestId = message.streamId;
    else if (message.type === "chunk") {
      const content = message.data?.choices?.[0]?.delta?.content;
      if (content) reply.take({ type: "token", content, index: message.index });
    } else {
      const report = message.auditLog?.report;
      reply.take(message.type === "complete" ? { type: "stop", report } : { ...message, report });
      if (message.type !== "joint" && message.type !== "restarted") {
        // its last message: only now does the server take another
        this.#running = null;
        this.#turn();
      }
    }
  }
}
