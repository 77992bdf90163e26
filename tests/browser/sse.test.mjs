import assert from "node:assert/strict";
import test from "node:test";
import { SseParser } from "../../src/streamweir/server/console/sse.js";

const CASES = [
  ["one", "data: a\n\n", ["a"]],
  ["CRLF", "data: a\r\ndata: b\r\n\r\n", ["a\nb"]],
  ["CR", "data: a\r\rdata: b\r\r", ["a", "b"]],
  ["mixed", "data: a\n\r\ndata: b\r\n\n", ["a", "b"]],
  ["BOM", "\ufeffdata: a\n\n", ["a"]],
  ["comment", ": x\ndata: a\n\n", ["a"]],
  ["no colon", "data\n\n", [""]],
  ["spaces", "data:  a\n\n", [" a"]],
  ["U+2028", "data: a\u2028b\u0085c\n\n", ["a\u2028b\u0085c"]],
  ["emoji", "data: 😊é\n\n", ["😊é"]],
  ["unfinished", "data: a\n\ndata: b\n", ["a"]],
  ["no data", "event: x\n\ndata: a\n\n", ["a"]],
];

for (const [name, text, expected] of CASES) {
  test(name, () => {
    const bytes = new TextEncoder().encode(text);
    const feed = (pieces) => { const parser = new SseParser(); return pieces.flatMap((piece) => parser.push(piece)).map((event) => event.data); };
    assert.deepEqual(feed([bytes]), expected);
    assert.deepEqual(feed([...bytes].map((byte) => Uint8Array.of(byte))), expected);
    for (let at = 1; at < bytes.length; at += 1) assert.deepEqual(feed([bytes.slice(0, at), bytes.slice(at)]), expected);
  });
}
