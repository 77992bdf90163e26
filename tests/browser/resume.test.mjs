// streamweir.js against a scripted server: what it asks for, when, and what it makes of the answers.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import test from "node:test";

const STATIC = process.env.STREAMWEIR_STATIC ?? new URL("../../src/streamweir/server/static", import.meta.url).href;
const { connect, resumeReply, streamReply } = await import(`${STATIC}/streamweir.js`);
const { Retries } = await import(`${STATIC}/retries.js`);

const ASKED = { profile: "p", messages: [{ role: "user", content: "x" }] };
const REPORT = { status: "completed", request_id: "r", correlation_id: "c" };
const TEXT = ["é", "😊", "c", "d", "e"];
/** The event at a position: five tokens, then the end. */
const message = (seq) => (seq < TEXT.length ? { type: "token", content: TEXT[seq], index: seq } : { type: "stop", report: REPORT });
const sse = (...seqs) => seqs.map((seq) => `id: ${seq}\ndata: ${JSON.stringify(message(seq))}\n\n`).join("");
const soon = (ms = 20) => new Promise((resolve) => setTimeout(resolve, ms));

async function read(reply) {
  const seqs = [];
  try {
    for await (const event of reply) seqs.push(event.seq);
    return { end: reply.report.status, text: reply.partial, seqs };
  } catch (error) {
    return { end: error.code, text: reply.partial, seqs, error };
  }
}
const WHOLE = { end: "completed", text: TEXT.join(""), seqs: [0, 1, 2, 3, 4, 5] };

/**
 * A server that answers each POST and each GET with the next of its scripts, the last one again and again:
 * a body that ends (a string), [status, body, headers], "reset", "hold" behind a body ({ hold: body }).
 */
async function serve(t, { posts = [created], gets = [] }) {
  const seen = { posts: [], afters: [], deletes: [] };
  const next = (scripts, count) => scripts[Math.min(count, scripts.length) - 1];
  const server = createServer(async (request, response) => {
    const url = new URL(request.url, "http://x");
    let body = "";
    for await (const piece of request) body += piece;
    let script = [204, ""];
    if (request.method === "POST") {
      seen.posts.push({ path: url.pathname, key: request.headers["idempotency-key"], ticket: request.headers["x-streamweir-ticket"], body, at: Date.now() });
      script = next(posts, seen.posts.length);
    } else if (request.method === "DELETE") seen.deletes.push(request.url);
    else {
      seen.afters.push(Number(url.searchParams.get("after")));
      script = next(gets, seen.afters.length);
    }
    if (typeof script === "function") script = await script();
    if (script === "reset") return response.destroy();
    if (Array.isArray(script)) return response.writeHead(script[0], script[2] ?? {}).end(script[1]);
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    response.flushHeaders();
    return script.hold === undefined ? response.end(script) : response.write(script.hold);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  seen.url = `http://127.0.0.1:${server.address().port}`;
  return seen;
}
const created = [201, JSON.stringify({ id: "s", url: "/api/llm/streams/s?cap=secret" })];
const refused = (status, code, headers) => [status, JSON.stringify({ error: "No.", code, correlation_id: null }), headers];
const stream = (seen, options = {}) => streamReply(ASKED, { url: seen.url, ...options });

test("delays double to a bound, are jittered, and begin anew when the reply went on", () => {
  const most = new Retries(() => 1);
  assert.deepEqual(Array.from({ length: 8 }, () => most.delay()), [200, 400, 800, 1600, 3200, 5000, 5000, 5000]);
  most.news();
  assert.equal(most.delay(), 200);
  assert.equal(new Retries(() => 0).delay(), 0);
});

test("tries end when nothing was heard for the limit, after a last one", async () => {
  const retries = new Retries(() => 0);
  assert.deepEqual([await retries.again(0), await retries.again(0)], [true, false]);
  retries.heard();
  assert.deepEqual([await retries.again(60_000), await retries.again(60_000), await retries.again(60_000)], [true, true, true]);
});

test("a wait ends when the browser is online again, and one that was ordered does not", async () => {
  const page = new EventTarget();
  globalThis.addEventListener = page.addEventListener.bind(page);
  globalThis.removeEventListener = page.removeEventListener.bind(page);
  const done = [];
  const retries = new Retries();
  retries.wait(60_000, false).then(() => done.push("ordered"));
  const ordered = retries.wake.bind(retries);
  await soon();
  page.dispatchEvent(new Event("online"));
  await soon();
  assert.deepEqual(done, []);
  ordered();
  const early = new Retries().wait(60_000, true);
  page.dispatchEvent(new Event("online"));
  await early;
  delete globalThis.addEventListener;
  delete globalThis.removeEventListener;
});

test("a body that ends too soon, cleanly or not, is asked for from its position on", async (t) => {
  const seen = await serve(t, { gets: [sse(0, 1), "reset", sse(2), `${sse(3)}id: 4\ndata: {"ty`, "", sse(4, 5)] });
  const reply = stream(seen);
  assert.deepEqual(await read(reply), WHOLE);
  assert.deepEqual(seen.afters, [-1, 1, 1, 2, 3, 3]);
  assert.equal(reply.reconnects, 4);
  assert.equal(seen.posts.length, 1);
  assert.equal(reply.resumable, null);
  assert.deepEqual(seen.deletes, []);
});

test("what came before is dropped", async (t) => {
  const seen = await serve(t, { gets: [sse(0, 1, 1, 0, 2), sse(0, 1, 2, 3, 3, 4, 2, 5, 5)] });
  assert.deepEqual(await read(stream(seen)), WHOLE);
});

test("a gap is asked for again", async (t) => {
  const seen = await serve(t, { gets: [{ hold: sse(0, 2, 3) }, sse(2), sse(1, 2, 3, 4, 5)] });
  assert.deepEqual(await read(stream(seen)), WHOLE);
  assert.deepEqual(seen.afters, [-1, 0, 0]);
});

test("a position that the proxy leaves out always is an error, not a loop", async (t) => {
  const seen = await serve(t, { gets: [sse(0, 2)] });
  const { end, text, error } = await read(stream(seen));
  assert.deepEqual([end, text, error.retryable], ["protocol_error", TEXT[0], false]);
  assert.match(error.message, /position 1 /);
  assert.equal(seen.afters.length, 5);
});

test("as many gaps as positions are no loop", async (t) => {
  const seen = await serve(t, { gets: [sse(0, 2), sse(1, 3), sse(2, 4), sse(3, 5), sse(4, 6), sse(5)] });
  assert.deepEqual(await read(stream(seen)), WHOLE);
});

test("silence counts as a lost connection", async (t) => {
  const seen = await serve(t, { gets: [{ hold: sse(0, 1) }, { hold: "" }, { hold: sse(2, 3, 4, 5) }] });
  assert.deepEqual(await read(stream(seen, { silence: 100 })), WHOLE);
  assert.deepEqual(seen.afters, [-1, 1, 1]);
});

test("204 and refusals end it, with what they say", async (t) => {
  const cases = [
    [[204, ""], "already_delivered"],
    [refused(404, "stream_not_found"), "stream_not_found"],
    [refused(404, "position_gone"), "position_gone"],
    [[404, "<h1>no</h1>"], "HTTP 404"],
    [refused(403, "origin_not_allowed"), "origin_not_allowed"],
  ];
  for (const [answer, code] of cases) {
    const seen = await serve(t, { gets: [sse(0, 1), answer] });
    const { end, text, error } = await read(stream(seen));
    assert.deepEqual([end, text, error.retryable], [code, "é😊", false]);
    assert.equal(error.message.length > 2, true);
    assert.equal(seen.afters.length, 2);
  }
});

test("a gateway's trouble on the way is waited out", async (t) => {
  const seen = await serve(t, { gets: [[502, "<h1>"], sse(0, 1), refused(503, "server_draining"), refused(429, "rate_limited"), sse(2, 3, 4, 5)] });
  assert.deepEqual(await read(stream(seen)), WHOLE);
  assert.deepEqual(seen.afters, [-1, -1, 1, 1, 1]);
});

test("it gives up when the window must be over", async (t) => {
  const seen = await serve(t, { gets: [sse(0), "reset"] });
  const { end, text, error } = await read(stream(seen, { window: 300 }));
  assert.deepEqual([end, text, error.retryable], ["upstream_lost", "é", true]);
  assert.ok(seen.afters.length >= 2);
});

test("a reply is made once, though its making is not answered", async (t) => {
  const cut = [201, '{"id": "s", "ur'];
  const seen = await serve(t, { posts: ["reset", cut, [502, "<h1>"], [504, ""], created], gets: [sse(0, 1, 2, 3, 4, 5)] });
  assert.deepEqual(await read(stream(seen, { ticket: "t" })), WHOLE);
  assert.equal(seen.posts.length, 5);
  assert.equal(new Set(seen.posts.map(({ path, key, body, ticket }) => JSON.stringify([path, key, body, ticket]))).size, 1);
  assert.match(seen.posts[0].key, /^[0-9a-f]{32}$/);
  // two replies are two
  const other = await serve(t, { gets: [sse(0, 1, 2, 3, 4, 5)] });
  await read(stream(other));
  assert.notEqual(other.posts[0].key, seen.posts[0].key);
  await read(stream(other, { idempotencyKey: "mine" }));
  assert.equal(other.posts[1].key, "mine");
});

test("Retry-After is kept to where a reply has not begun, within patience", async (t) => {
  const seen = await serve(t, { posts: [refused(503, "full", { "Retry-After": "1" }), refused(429, "rate_limited", { "Retry-After": "1" }), created], gets: [sse(0, 1, 2, 3, 4, 5)] });
  assert.deepEqual(await read(stream(seen)), WHOLE);
  const [first, second, third] = seen.posts.map((post) => post.at);
  assert.ok(second - first >= 990 && third - second >= 990, `${second - first} ${third - second}`);
  for (const [answer, code, after] of [
    [refused(503, "full", { "Retry-After": "60" }), "full", 60],
    [refused(429, "rate_limited"), "rate_limited", null],
    [refused(422, "prompt_blocked"), "prompt_blocked", null],
    [[500, "<h1>"], "HTTP 500", null],
  ]) {
    const other = await serve(t, { posts: [answer] });
    const { end, error } = await read(stream(other));
    assert.deepEqual([end, error.retryAfter, other.posts.length], [code, after, 1]);
    assert.equal(error.retryable, [429, 503].includes(error.status));
  }
});

test("nobody answers: patience ends", async (t) => {
  const seen = await serve(t, { posts: ["reset"] });
  const { end, error } = await read(stream(seen, { patience: 300 }));
  assert.deepEqual([end, error.retryable], ["upstream_lost", true]);
  const silent = await serve(t, { posts: [() => new Promise(() => {})] });
  assert.equal((await read(stream(silent, { patience: 200 }))).end, "upstream_lost");
});

test("cancel tells the proxy, whenever it comes", async (t) => {
  const seen = await serve(t, { gets: [{ hold: sse(0, 1) }] });
  for await (const event of stream(seen)) if (event.seq === 1) break;
  await soon();
  assert.deepEqual(seen.deletes, ["/api/llm/streams/s?cap=secret"]);
  // on its way
  const slow = await serve(t, { posts: [async () => (await soon(100), created)] });
  const early = stream(slow);
  await soon(50);
  early.cancel();
  assert.equal((await read(early)).end, "cancelled");
  await soon(150);
  assert.deepEqual([slow.deletes.length, slow.afters], [1, []]);
  // between two connections
  const lost = await serve(t, { gets: ["reset"] });
  const between = stream(lost);
  await soon(300);
  between.cancel();
  await soon(100);
  const tries = lost.afters.length;
  assert.equal(lost.deletes.length, 1);
  await soon(300);
  assert.equal(lost.afters.length, tries);
  // behind the end there is nothing to cancel
  const whole = await serve(t, { gets: [sse(0, 1, 2, 3, 4, 5)] });
  const over = stream(whole);
  await read(over);
  over.cancel();
  await soon();
  assert.deepEqual(whole.deletes, []);
});

test("a page goes on with what it kept", async (t) => {
  const seen = await serve(t, { gets: [{ hold: sse(0, 1, 2) }, sse(0, 1, 2, 3, 4, 5), sse(1, 2, 3, 4, 5)] });
  const first = stream(seen);
  assert.equal(first.resumable, null);
  const events = first[Symbol.asyncIterator]();
  await events.next();
  await soon();
  // two came and were not read: the page does not have them
  const kept = JSON.parse(JSON.stringify(first.resumable));
  assert.deepEqual(kept, { url: `${seen.url}/api/llm/streams/s?cap=secret`, after: 0 });
  assert.deepEqual(await read(resumeReply(kept)), WHOLE);
  const rest = { ...WHOLE, text: WHOLE.text.slice(1), seqs: WHOLE.seqs.slice(1) };
  assert.deepEqual(await read(resumeReply(kept, { after: kept.after })), rest);
  assert.deepEqual(seen.afters, [-1, -1, 0]);
  assert.equal(seen.posts.length, 1);
  first.cancel();
});

test("a proxy under a path", async (t) => {
  const seen = await serve(t, { gets: [{ hold: sse(0) }] });
  const reply = stream(seen, { url: `${seen.url}/gate` });
  await reply[Symbol.asyncIterator]().next();
  assert.deepEqual([seen.posts[0].path, reply.resumable.url], ["/gate/api/llm/streams", `${seen.url}/gate/api/llm/streams/s?cap=secret`]);
  reply.cancel();
});

test("not resumable: one request, and a cut is the end", async (t) => {
  const seen = await serve(t, { posts: [sse(0, 1)] });
  assert.equal((await read(stream(seen, { resumable: false }))).end, "stream_interrupted");
  assert.deepEqual([seen.posts.length, seen.posts[0].path, seen.posts[0].key, seen.afters], [1, "/api/llm/stream", undefined, []]);
});

/** A WebSocket whose server is the test. */
class Socket extends EventTarget {
  static OPEN = 1;
  static all = [];
  readyState = 0;
  said = [];
  constructor(url, protocols) {
    super();
    Object.assign(this, { url: String(url), protocols });
    Socket.all.push(this);
  }
  send(text) {
    this.said.push(JSON.parse(text));
  }
  close() {
    this.readyState = 3;
  }
  opens() {
    this.readyState = 1;
    this.dispatchEvent(new Event("open"));
    return this;
  }
  says(...messages) {
    for (const one of messages) this.dispatchEvent(Object.assign(new Event("message"), { data: JSON.stringify(one) }));
    return this;
  }
  loses() {
    this.readyState = 3;
    this.dispatchEvent(new Event("close"));
  }
  /** The next one that is made. */
  static async next(count) {
    for (let n = 0; n < 500 && Socket.all.length < count; n += 1) await soon(5);
    assert.equal(Socket.all.length, count);
    return Socket.all[count - 1];
  }
}
globalThis.WebSocket = Socket;
const ACK = { type: "handshake_ack", tokenCount: 1, modelId: "p", streamId: "s", cap: "secret" };
const ws = (...seqs) => seqs.map((seq) => {
  if (seq >= TEXT.length) return { type: "complete", seq, auditLog: { report: REPORT } };
  return { type: "chunk", seq, index: seq, data: { choices: [{ delta: { content: TEXT[seq] } }] } };
});
const opened = (options = {}) => {
  Socket.all.length = 0;
  return connect({ url: "http://proxy.example", ...options });
};

test("a WebSocket that is lost: the same init before its answer, then resume", async () => {
  const connection = opened({ ticket: "t" });
  const reply = connection.stream(ASKED);
  const whole = read(reply);
  (await Socket.next(1)).loses();
  const second = (await Socket.next(2)).opens();
  second.loses();
  const third = (await Socket.next(3)).opens();
  assert.deepEqual(third.said, second.said);
  assert.equal(third.said[0].payload.ticket, "t");
  assert.match(third.said[0].payload.idempotencyKey, /^[0-9a-f]{32}$/);
  third.says(ACK, ...ws(0, 1));
  assert.deepEqual(reply.resumable, { streamId: "s", cap: "secret", after: -1 });
  await soon();
  assert.deepEqual(reply.resumable, { streamId: "s", cap: "secret", after: 1 });
  third.loses();
  const fourth = (await Socket.next(4)).opens();
  assert.deepEqual(fourth.said, [{ type: "resume", payload: { streamId: "s", cap: "secret", after: 1 } }]);
  third.says(...ws(2)); // what an old one still says is not heard
  fourth.says(...ws(0, 1, 2, 2, 3, 4, 5));
  assert.deepEqual(await whole, WHOLE);
  assert.equal(reply.reconnects, 2);
  // the ticket was good once; a reply that follows is asked for on the same connection, and the server says so
  const another = connection.stream(ASKED, { idempotencyKey: "mine" });
  assert.deepEqual([fourth.said[1].payload.idempotencyKey, fourth.said[1].payload.ticket], ["mine", undefined]);
  fourth.says({ type: "error", code: "key_missing", message: "A key." });
  assert.equal((await read(another)).end, "key_missing");
  connection.close();
});

test("a WebSocket's gap, its silence, and what cannot be read", async () => {
  for (const lose of [(socket) => socket.says(...ws(3)), () => {}, (socket) => socket.says(...ws(2)) && socket.loses()]) {
    const connection = opened({ silence: 100 });
    const whole = read(connection.stream(ASKED));
    lose((await Socket.next(1)).opens().says(ACK, ...ws(0, 1)));
    const second = (await Socket.next(2)).opens();
    assert.deepEqual([second.said[0].type, second.said[0].payload.after >= 1], ["resume", true]);
    second.says(...ws(2, 3, 4, 5));
    assert.deepEqual(await whole, WHOLE);
    connection.close();
  }
  const connection = opened();
  const cut = read(connection.stream(ASKED));
  (await Socket.next(1)).opens().says(ACK, null);
  assert.equal((await cut).end, "protocol_error");
  connection.close();
});

test("a WebSocket's position that is always missing", async () => {
  const connection = opened();
  const cut = read(connection.stream(ASKED));
  (await Socket.next(1)).opens().says(ACK, ...ws(0));
  for (let count = 1; count <= 5; count += 1) {
    const socket = await Socket.next(count);
    (count > 1 ? socket.opens() : socket).says(...ws(2));
  }
  assert.deepEqual([(await cut).end, (await cut).text], ["protocol_error", "é"]);
  connection.close();
});

test("a reply that was kept goes on over a WebSocket, and its end may come again", async () => {
  const kept = { streamId: "s", cap: "secret", after: 3 };
  for (const [after, seqs] of [[undefined, [0, 1, 2, 3, 4, 5]], [3, [4, 5]], [5, [5]]]) {
    const connection = opened();
    const rest = read(connection.resume(kept, { after }));
    const socket = (await Socket.next(1)).opens();
    assert.deepEqual(socket.said, [{ type: "resume", payload: { streamId: "s", cap: "secret", after: after ?? -1 } }]);
    socket.says(...ws(...seqs));
    assert.deepEqual([(await rest).end, (await rest).seqs], ["completed", seqs]);
    connection.close();
  }
  const connection = opened();
  const gone = read(connection.resume(kept));
  (await Socket.next(1)).opens().says({ type: "error", code: "stream_not_found", message: "There is none." });
  assert.equal((await gone).end, "stream_not_found");
  connection.close();
});

test("a reply that is cancelled while its WebSocket is lost is cancelled when it is back", async () => {
  const connection = opened();
  const reply = connection.stream(ASKED);
  const cut = read(reply);
  (await Socket.next(1)).opens().says(ACK, ...ws(0)).loses();
  reply.cancel();
  assert.equal((await cut).end, "cancelled");
  const whole = read(connection.stream(ASKED));
  const second = (await Socket.next(2)).opens();
  assert.deepEqual(second.said.map((one) => one.type), ["resume", "cancel"]);
  second.says({ type: "error", seq: 1, code: "cancelled", message: "Cancelled." });
  assert.equal(second.said[2].type, "init");
  second.says({ ...ACK, streamId: "s2" }, ...ws(0, 1, 2, 3, 4, 5));
  assert.deepEqual(await whole, WHOLE);
  connection.close();
});

test("an idle WebSocket that is lost is made anew for the next reply, with its key", async () => {
  const connection = opened({ key: "k" });
  await (await Socket.next(1)).opens().says(...[]).loses();
  await soon(50);
  assert.equal(Socket.all.length, 1);
  assert.equal(connection.open, true);
  const whole = read(connection.stream(ASKED));
  const second = (await Socket.next(2)).opens();
  assert.deepEqual(second.protocols, ["streamweir.v1", "streamweir.key.k"]);
  second.says(ACK, ...ws(0, 1, 2, 3, 4, 5));
  assert.deepEqual(await whole, WHOLE);
  connection.close();
});

test("a WebSocket gives up: patience before a reply, the window in one; closed is cancelled", async () => {
  const quick = opened({ patience: 200 });
  const keepLosing = setInterval(() => Socket.all.at(-1).loses(), 10);
  const { end, error } = await read(quick.stream(ASKED));
  assert.deepEqual([end, error.retryable], ["upstream_lost", true]);
  clearInterval(keepLosing);
  const connection = opened({ window: 200 });
  const cut = read(connection.stream(ASKED));
  (await Socket.next(1)).opens().says(ACK, ...ws(0));
  const again = setInterval(() => Socket.all.at(-1).loses(), 10);
  assert.deepEqual([(await cut).end, (await cut).text], ["upstream_lost", "é"]);
  clearInterval(again);
  const closed = opened();
  const left = read(closed.stream(ASKED));
  const socket = (await Socket.next(1)).opens().says(ACK, ...ws(0));
  closed.close();
  assert.equal((await left).end, "cancelled");
  assert.equal(socket.said.at(-1).type, "cancel");
  assert.equal(closed.open, false);
});

test("a WebSocket's refusal that says when is waited out, within patience", async () => {
  const connection = opened();
  const whole = read(connection.stream(ASKED));
  const socket = (await Socket.next(1)).opens().says({ type: "error", code: "logs_full", message: "Later.", retryAfter: 0.05 });
  await soon(100);
  assert.deepEqual(socket.said[1], socket.said[0]);
  socket.says(ACK, ...ws(0, 1, 2, 3, 4, 5));
  assert.deepEqual(await whole, WHOLE);
  const late = read(connection.stream(ASKED));
  socket.says({ type: "error", code: "logs_full", message: "Later.", retryAfter: 60 });
  assert.deepEqual([(await late).end, (await late).error.retryAfter], ["logs_full", 60]);
  connection.close();
});

test("a ticket that was used by an init without an answer", async () => {
  const connection = opened({ ticket: "t" });
  const cut = read(connection.stream(ASKED));
  (await Socket.next(1)).opens().loses();
  (await Socket.next(2)).opens().says({ type: "error", code: "invalid_ticket", message: "Used." });
  assert.deepEqual([(await cut).end, (await cut).error.retryable], ["upstream_lost", true]);
  const other = read(connection.stream(ASKED, { ticket: "u" }));
  Socket.all[1].says({ type: "error", code: "invalid_ticket", message: "Unknown." });
  assert.equal((await other).end, "invalid_ticket");
  connection.close();
});

test("a proxy that drains is left for another, within patience", async () => {
  const draining = { type: "error", code: "server_draining", message: "The server stops." };
  const connection = opened();
  const whole = read(connection.stream(ASKED));
  const first = (await Socket.next(1)).opens().says(draining);
  const second = (await Socket.next(2)).opens();
  assert.deepEqual(second.said, first.said);
  second.says(ACK, ...ws(0, 1, 2, 3, 4, 5));
  assert.deepEqual(await whole, WHOLE);
  connection.close();
  const late = opened({ patience: 100 });
  const never = read(late.stream(ASKED));
  const answering = setInterval(() => Socket.all.at(-1).opens().says(draining), 5);
  assert.equal((await never).end, "server_draining");
  clearInterval(answering);
  late.close();
});
