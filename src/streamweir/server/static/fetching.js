// @ts-check
import { newKey, PATIENCE, under, WINDOW } from "./asking.js";
import { gapError, LOST, lostError, parsed, Reply, StreamError } from "./reply.js";
import { Retries, SILENT, Watch } from "./retries.js";
import { SseParser } from "./sse.js";

/** @typedef {import("./reply.js").Asked} Asked */
/** @typedef {import("./reply.js").Options} Options */

/** One reply over fetch. */
export class Fetching {
  #options;
  #reply;
  #retries = new Retries();
  #abort = new AbortController();
  /** @type {URL | null} */
  #url = null;

  /** @param {Options} options @param {import("./reply.js").Kept} [kept] */
  constructor(options, kept) {
    this.#options = options;
    this.#reply = new Reply(() => this.#cancelled(), kept);
  }

  /** @param {(fetching: Fetching) => Promise<void>} run */
  begin(run) {
    const { signal } = this.#options;
    const cancel = () => this.#reply.cancel();
    if (signal?.aborted) cancel();
    signal?.addEventListener("abort", cancel, { once: true });
    const running = this.#reply.over ? Promise.resolve() : run(this);
    running
      .catch((error) => this.#reply.fail(error instanceof StreamError ? error : lostError()))
      .finally(() => {
        signal?.removeEventListener("abort", cancel);
        this.#abort.abort();
      });
    return this.#reply;
  }

  /** The plain request: what is lost is lost. @param {Asked} asked */
  async once(asked) {
    const watch = new Watch(this.#options.silence, () => this.#abort.abort(lostError(SILENT)));
    try {
      const answer = await this.#post("api/llm/stream", asked, {});
      if (!answer.ok) throw await refusal(answer);
      await this.#read(answer, watch);
    } finally {
      watch.stop();
    }
    // a body that ends without a terminal event was cut, however clean its end
    this.#reply.fail(new StreamError("stream_interrupted", "The reply was cut off before its end.", { retryable: true }));
  }

  /** Have the reply made, once, however often that must be said. @param {Asked} asked */
  async create(asked) {
    const headers = { "Idempotency-Key": this.#options.idempotencyKey ?? newKey() };
    const until = Date.now() + (this.#options.patience ?? PATIENCE);
    for (;;) {
      const [created, why] = await this.#created(asked, headers);
      if (created) {
        this.#reply.kept = { url: created.href };
        this.#url = created;
        if (!this.#reply.over) return this.follow(created);
        // cancelled on its way
        return this.#delete(created);
      }
      const wait = why.retryAfter === null ? this.#retries.delay() : why.retryAfter * 1000;
      // from here on nobody knows whether it was made: unless it is asked for again, the window ends it
      if (this.#reply.over) return;
      if (!why.again || Date.now() + wait > until) throw why.error;
      await this.#retries.wait(wait, why.retryAfter === null);
      if (this.#reply.over) return;
    }
  }

  /**
   * Where the reply is read, or why it is not made.
   * @param {Asked} asked
   * @param {Record<string, string>} headers
   * @returns {Promise<[URL, null] | [null, { error: StreamError, again: boolean, retryAfter: number | null }]>}
   */
  async #created(asked, headers) {
    const abort = new AbortController();
    const patience = setTimeout(() => abort.abort(), this.#options.patience ?? PATIENCE);
    try {
      const answer = await this.#post("api/llm/streams", asked, headers, abort.signal);
      if (answer.status === 201) return [under(this.#options.url, (await answer.json()).url.replace(/^\//, "")), null];
      const error = await refusal(answer);
      const { retryAfter } = error;
      // a gateway before the proxy says 502 and 504, in words of its own
      const again = ([429, 503].includes(answer.status) && retryAfter !== null) || ([502, 504].includes(answer.status) && error.code.startsWith("HTTP"));
      return [null, { error, again, retryAfter }];
    } catch {
      return [null, { error: lostError(), again: true, retryAfter: null }];
    } finally {
      clearTimeout(patience);
    }
  }

  /** Read a reply that the proxy keeps, until its end. @param {URL} url */
  async follow(url) {
    this.#url = url;
    this.#reply.kept = { url: url.href };
    this.#retries.heard();
    for (let first = true; ; first = false) {
      const why = await this.#attach(url, !first);
      if (this.#reply.over) return;
      if (!(await this.#retries.again(this.#options.window ?? WINDOW))) throw lostError(why);
      if (this.#reply.over) return;
    }
  }

  /** One connection, until it is lost. @param {URL} url @param {boolean} again @returns {Promise<string>} how it was lost */
  async #attach(url, again) {
    const abort = (this.#abort = new AbortController());
    const watch = new Watch(this.#options.silence, () => abort.abort());
    const here = new URL(url);
    // Last-Event-ID would cost a preflight request: it is none of the headers that a page may always send
    here.searchParams.set("after", String(this.#reply.after));
    try {
      const answer = await fetch(here, { signal: abort.signal, cache: "no-store" });
      if (answer.status === 429 || answer.status >= 500) return `The proxy answered HTTP ${answer.status}.`;
      if (answer.status === 204) throw new StreamError("already_delivered", "The reply has ended, and all of it was delivered.");
      if (!answer.ok) throw await refusal(answer);
      if (again) this.#reply.reconnects += 1;
      await this.#read(answer, watch);
    } catch (error) {
      if (error instanceof StreamError) throw error;
    } finally {
      watch.stop();
      abort.abort();
    }
    return LOST;
  }

  /** @param {Response} answer @param {Watch} watch */
  async #read(answer, watch) {
    const reply = this.#reply;
    reply.requestId ??= answer.headers.get("X-Request-Id");
    reply.correlationId ??= answer.headers.get("ININ-Correlation-Id");
    const parser = new SseParser();
    const reader = answer.body?.getReader();
    while (reader && !reply.over) {
      const { done, value } = await reader.read();
      watch.heard();
      if (done) return;
      this.#retries.heard();
      for (const event of parser.push(value)) {
        const message = parsed(event.data);
        const place = reply.count(Number(event.id));
        if (place === "gap") {
          if (!this.#retries.gap()) throw gapError(reply.after + 1);
          return;
        }
        if (place === "old") continue;
        this.#retries.news();
        reply.take(message);
      }
    }
  }

  /**
   * @param {string} route
   * @param {Asked} asked
   * @param {Record<string, string>} more
   * @param {AbortSignal} [signal]
   */
  async #post(route, asked, more, signal = this.#abort.signal) {
    const { profile, ...rest } = asked;
    /** @type {Record<string, string>} */
    const headers = { "Content-Type": "application/json", ...more };
    if (this.#options.ticket) headers["X-Streamweir-Ticket"] = this.#options.ticket;
    if (this.#options.key) headers["Authorization"] = `Bearer ${this.#options.key}`;
    const body = JSON.stringify({ configurationId: profile, ...rest });
    const answer = await fetch(under(this.#options.url, route), { method: "POST", headers, body, signal });
    this.#reply.requestId = answer.headers.get("X-Request-Id");
    this.#reply.correlationId = answer.headers.get("ININ-Correlation-Id");
    return answer;
  }

  #cancelled() {
    this.#retries.wake();
    this.#abort.abort();
    if (this.#url) this.#delete(this.#url);
  }

  /** @param {URL} url */
  #delete(url) {
    // without it the window ends the reply; with `keepalive` it is sent though the page is left
    return fetch(url, { method: "DELETE", keepalive: true }).then(() => {}, () => {});
  }
}

/** What an answer says that is no reply. @param {Response} answer */
async function refusal(answer) {
  const body = await answer.json().catch(() => null);
  const retryAfter = Number(answer.headers.get("Retry-After")) || null;
  const more = { status: answer.status, correlationId: body?.correlation_id, retryAfter, retryable: [429, 503].includes(answer.status) };
  return new StreamError(body?.code || `HTTP ${answer.status}`, body?.error || "The request was refused.", more);
}
