// The receipt in streamweir.js: what makes it true, false or unknown, and what a reader is told.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import test from "node:test";
import { Reply } from "../../src/streamweir/server/static/reply.js";

const TEXT = ["Zürich ", "😊", "\u2028", "fin"];
const hashed = (text) => createHash("sha256").update(text, "utf8").digest("hex");
const report = (text, more = {}) => ({ status: "completed", request_id: "r", correlation_id: null, integrity: { sha256: hashed(text) }, record_id: "rec", receipt_verified: null, ...more });

/** Feed a reply with messages, each at its position, and read it. */
async function read(messages, kept = {}) {
  const reply = new Reply(() => {}, kept);
  let seq = kept.after ?? -1;
  for (const one of messages) {
    assert.equal(reply.count((seq += 1)), "new");
    reply.take(one);
  }
  // nothing counts behind the last one, though the receipt is checked still
  reply.take({ type: "token", content: "late", index: 99 });
  assert.equal(reply.over, true);
  assert.equal(reply.resumable, null);
  const events = [];
  try {
    for await (const event of reply) events.push(event);
    return { reply, events, verified: reply.report.receipt_verified };
  } catch (error) {
    return { reply, events, error, verified: error.report?.receipt_verified };
  }
}
const tokens = (texts) => texts.map((content, index) => ({ type: "token", content, index }));
const stop = (said) => ({ type: "stop", report: said });

test("the text that the proxy sent", async () => {
  const { reply, events, verified } = await read([...tokens(TEXT), stop(report(TEXT.join("")))]);
  assert.equal(verified, true);
  assert.deepEqual(events.map((event) => event.type), ["token", "token", "token", "token", "stop"]);
  assert.equal(events.at(-1).report, reply.report);
  assert.equal(reply.partial, TEXT.join(""));
  assert.equal((await read([stop(report("", { status: "truncated" }))])).verified, true);
});

test("another text is no whole reply, and is kept", async () => {
  for (const changed of [["Zurich ", ...TEXT.slice(1)], TEXT.slice(1), [...TEXT, "."], [TEXT[1], TEXT[0], ...TEXT.slice(2)]]) {
    const { reply, events, error, verified } = await read([...tokens(changed), stop(report(TEXT.join("")))]);
    assert.deepEqual([error.name, error.code, error.retryable, verified], ["StreamError", "receipt_mismatch", false, false]);
    assert.deepEqual([error.partial, reply.partial, reply.report], [changed.join(""), changed.join(""), null]);
    assert.equal(error.report.record_id, "rec");
    assert.equal(events.filter((event) => event.type === "stop").length, 0);
  }
});

test("a reply that stopped short says so, with what its receipt says of the text that came", async () => {
  for (const [sent, expected] of [["half", true], ["whole", false]]) {
    const said = report(sent, { status: "interrupted" });
    const cut = await read([...tokens(["half"]), { type: "error", code: "stream_interrupted", message: "Cut.", retryable: true, report: said }]);
    assert.deepEqual([cut.error.code, cut.error.retryable, cut.verified, cut.error.partial], ["stream_interrupted", true, expected, "half"]);
    const blocked = await read([...tokens(["half"]), { type: "blocked", reason: "PII detected", report: report(sent, { status: "blocked" }) }]);
    assert.deepEqual([blocked.error.code, blocked.verified], ["stream_blocked", expected]);
  }
});

test("what was withdrawn is not in it", async () => {
  const { verified, reply } = await read([...tokens(["old"]), { type: "restarted" }, ...tokens(["new"]), { type: "joint", at: 3 }, ...tokens(["er"]), stop(report("newer"))]);
  assert.deepEqual([verified, reply.partial], [true, "newer"]);
});

test("a page that goes on behind a position knows only with the text that it kept", async () => {
  const rest = [...tokens(TEXT.slice(2)), stop(report(TEXT.join("")))];
  const without = await read(rest, { after: 1 });
  assert.deepEqual([without.verified, without.reply.partial], [null, TEXT.slice(2).join("")]);
  const kept = await read(rest, { after: 1, text: TEXT.slice(0, 2).join("") });
  assert.deepEqual([kept.verified, kept.reply.partial], [true, TEXT.join("")]);
  const wrong = await read(rest, { after: 1, text: "something else" });
  assert.deepEqual([wrong.error.code, wrong.verified], ["receipt_mismatch", false]);
  // a new start needs nothing of it
  const anew = await read([{ type: "restarted" }, ...tokens(["new"]), stop(report("new"))], { after: 1 });
  assert.deepEqual([anew.verified, anew.reply.partial], [true, "new"]);
  // from the start the text comes again
  const again = await read([...tokens(TEXT), stop(report(TEXT.join("")))], { text: "kept" });
  assert.equal(again.verified, true);
});

test("where nobody can say it is null, whatever the proxy wrote there", async () => {
  for (const more of [{ integrity: undefined }, { integrity: { sha256: "" } }, { integrity: { sha256: 7 } }]) {
    const { verified } = await read([...tokens(TEXT), stop(report("another", { ...more, receipt_verified: true }))]);
    assert.equal(verified, null);
  }
  // an insecure origin: `crypto` without `subtle`; and one whose `subtle` fails
  const own = Object.getOwnPropertyDescriptor(globalThis, "crypto");
  const failing = { digest: () => Promise.reject(new Error("no")) };
  for (const value of [{}, undefined, { subtle: failing }]) {
    Object.defineProperty(globalThis, "crypto", { configurable: true, value });
    const { verified, reply } = await read([...tokens(TEXT), stop(report("another", { receipt_verified: true }))]);
    assert.deepEqual([verified, reply.report.status], [null, "completed"]);
  }
  Object.defineProperty(globalThis, "crypto", own);
});

test("while it is checked the reply is over: nothing else ends it, and cancelling it tells nobody", async () => {
  let told = 0;
  const reply = new Reply(() => (told += 1));
  reply.count(0);
  reply.take(stop(report("")));
  assert.deepEqual([reply.over, reply.report], [true, null]);
  reply.cancel();
  const events = [];
  for await (const event of reply) events.push(event.type);
  assert.deepEqual([events, told, reply.report.receipt_verified], [["stop"], 0, true]);
});
