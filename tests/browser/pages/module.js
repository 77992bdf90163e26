// A page that streams one reply with streamweir.js, over fetch or a WebSocket, and goes on with it when it is reloaded:
// from the start, or, where it kept its text, behind the last position.
import { connect, resumeReply, StreamError, streamReply } from "/static/streamweir.js";

const { url, over, keepsText, profile } = window.settings;
const seen = window.seen;
const options = { url, silence: 1500 };
const asked = { profile, messages: [{ role: "user", content: "complaint" }] };
const kept = JSON.parse(sessionStorage.getItem("kept") ?? "null");
const after = kept && keepsText ? kept.reply.after : -1;
if (kept && keepsText) seen.text = kept.text;

const connection = over === "websocket" ? connect(options) : null;
let reply;
if (connection) reply = kept ? connection.resume(kept.reply, { after }) : connection.stream(asked);
else reply = kept ? resumeReply(kept.reply, { ...options, after }) : streamReply(asked, options);

addEventListener("pagehide", () => sessionStorage.setItem("kept", JSON.stringify({ reply: reply.resumable, text: seen.text })));
seen.after = after;
try {
  for await (const event of reply) {
    seen.seqs.push(event.seq);
    if (event.type === "token") seen.text += event.content;
    seen.reconnects = reply.reconnects;
  }
  seen.status = reply.report.status;
} catch (error) {
  seen.status = error instanceof StreamError ? error.code : String(error);
}
