// @ts-check
// streamweir for pages: one reply, streamed over fetch or over a WebSocket, with no dependency.
// A connection that is lost is made anew, and the reply goes on where it was; it is asked for once.
//
//   import { streamReply, connect, StreamError } from "https://gate.example.com/static/streamweir.js";
//   const reply = streamReply({ profile: "support", messages: [{ role: "user", content: "Hello" }] }, { ticket });
//   for await (const event of reply) if (event.type === "token") show(event.content);
//
// A reply that did not end whole throws a StreamError behind its last event; `reply.partial` holds what came.
// Where the text is not the one that the proxy sent it does too; `report.receipt_verified` says whether that was checked.
// `reply.resumable` is what a page keeps to go on after a reload: resumeReply(kept), or connection.resume(kept).

import { Connection } from "./connection.js";
import { Fetching } from "./fetching.js";
import { Reply, StreamError } from "./reply.js";
import { SseParser } from "./sse.js";

/** @typedef {import("./reply.js").Asked} Asked */
/** @typedef {import("./reply.js").KeptFetch} KeptFetch */
/** @typedef {import("./reply.js").KeptSocket} KeptSocket */
/** @typedef {import("./reply.js").Options} Options */
/** @typedef {import("./reply.js").ReplyEvent} ReplyEvent */
/** @typedef {import("./reply.js").Report} Report */
/** @typedef {import("./reply.js").ResumeOptions} ResumeOptions */

export { Connection, Reply, SseParser, StreamError };

/**
 * Ask for a reply over fetch. It is resumed over as many connections as it takes.
 * @param {Asked} asked
 * @param {Options} [options]
 */
export function streamReply(asked, options = {}) {
  return new Fetching(options).begin((fetching) => (options.resumable === false ? fetching.once(asked) : fetching.create(asked)));
}

/**
 * Go on with a reply of which `reply.resumable` was kept: from its start, or behind `options.after`.
 * @param {KeptFetch} kept
 * @param {ResumeOptions} [options]
 */
export function resumeReply(kept, options = {}) {
  return new Fetching(options, options).begin((fetching) => fetching.follow(new URL(kept.url)));
}

/**
 * A connection over which one reply after the other streams.
 * @param {Options} [options]
 */
export function connect(options = {}) {
  return new Connection(options);
}
