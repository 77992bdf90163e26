// streamweir.js in Node, against a real proxy: what pages do that change their mind.
// usage: module.mjs URL, and that of a server that says nothing
import { connect, streamReply, StreamError } from "../../src/streamweir/server/static/streamweir.js";

const [url, dead] = process.argv.slice(2);
const ask = (profile) => ({ profile, messages: [{ role: "user", content: "hello" }] });
const seen = {};

async function all(reply) {
  try {
    for await (const _ of reply);
    return [reply.report.status, reply.partial, reply.report.profile];
  } catch (error) {
    if (!(error instanceof StreamError)) throw error;
    return [error.code, error.partial, null];
  }
}

// left in the middle, and another asked at once, again and again on one connection
const connection = connect({ url });
seen.left = [];
for (let round = 0; round < 20; round += 1) {
  let count = 0;
  const source = connection.stream(ask("slowly"));
  for await (const _ of round % 2 ? source : source.text) if (++count === 3) break;
  seen.left.push(await all(connection.stream(ask(round % 3 ? "whole" : "cut"))));
}
// cancelled before it was asked, and before it was answered
const early = connect({ url });
const first = early.stream(ask("slowly"));
first.cancel();
seen.early = [await all(first), await all(early.stream(ask("whole")))];
const late = early.stream(ask("slowly"));
setTimeout(() => late.cancel(), 20);
seen.late = [await all(late), await all(early.stream(ask("whole")))];
// two at a time: the second is refused, the first goes on
const one = early.stream(ask("whole"));
const two = early.stream(ask("whole"));
seen.busy = [await all(two), await all(one)];
early.close();
seen.closed = await all(early.stream(ask("whole")));
// over fetch
const abort = new AbortController();
abort.abort();
seen.aborted = [await all(streamReply(ask("whole"), { url, signal: abort.signal })), await all(connect({ url, signal: abort.signal }).stream(ask("whole")))];
const plain = { url, resumable: false };
seen.fetch = [await all(streamReply(ask("whole"), plain)), await all(streamReply(ask("cut"), plain)), await all(streamReply(ask("whole"), { url })), await all(streamReply(ask("cut"), { url: `${url}/` }))];
// nothing comes, no head either
const impatient = { url: dead, silence: 300, patience: 300 };
seen.silent = [await all(streamReply(ask("whole"), { ...impatient, resumable: false })), await all(streamReply(ask("whole"), impatient)), await all(connect(impatient).stream(ask("whole")))];
connection.close();
console.log(JSON.stringify(seen));
process.exit(0);
