import assert from "node:assert/strict";
import test from "node:test";
import { SseParser } from "../../src/streamweir/server/static/streamweir.js";

const CASES = [
  ["one", "data: a\n\n", ["a"]],
  ["CRLF", "data: a\r\ndata: b\r\n\r\n", ["a\nb"]],
  ["CR", "data: a\r\rdata: b\r\r", ["a", "b"]],
  ["mixed", "data: a\n\r\ndata: b\r\n\n", ["a", "b"]],
  ["BOM", "\ufeffdata: a\n\n", ["a"]],
  ["BOM later on", "data: a\n\n\ufeffdata: b\n\n", ["a"]],
  ["empty lines first", "\n\r\n\rdata: a\n\n", ["a"]],
  ["comment", ": x\ndata: a\n\n", ["a"]],
  ["no colon", "data\n\n", [""]],
  ["spaces", "data:  a\n\n", [" a"]],
  ["U+2028", "data: a\u2028b\u0085c\n\n", ["a\u2028b\u0085c"]],
  ["emoji", "data: 😊é\n\n", ["😊é"]],
  ["colons", "data: a: b\ndata::c\n\n", ["a: b\n:c"]],
  ["empty line of data", "data: a\ndata:\ndata: b\n\n", ["a\n\nb"]],
  ["no field", "data : a\n data: b\ndata: c\n\n", ["c"]],
  ["unfinished", "data: a\n\ndata: b\n", ["a"]],
  ["no data", "event: x\n\ndata: a\n\n", ["a"]],
];

test("ids and event types", () => {
  const text = "id: 1\nevent: x\ndata: a\n\ndata: b\n\nid: 2\0\ndata: c\n\nid\ndata: d\n\nretry: 5\nother: e\nDATA: f\n\n";
  const parser = new SseParser();
  assert.deepEqual(parser.push(new TextEncoder().encode(text)), [
    { data: "a", event: "x", id: "1" },
    { data: "b", event: "message", id: "1" },
    { data: "c", event: "message", id: "1" },
    { data: "d", event: "message", id: "" },
  ]);
});

test("bytes that are no UTF-8", () => {
  const bytes = Uint8Array.of(...new TextEncoder().encode("data: a"), 0xff, 0xe2, 0x82, 0x0a, 0x0a);
  for (let at = 0; at <= bytes.length; at += 1) {
    const parser = new SseParser();
    const events = [...parser.push(bytes.slice(0, at)), ...parser.push(bytes.slice(at))];
    assert.deepEqual(events.map((event) => event.data), ["a\ufffd\ufffd"]);
  }
});

for (const [name, text, expected] of CASES) {
  test(name, () => {
    const bytes = new TextEncoder().encode(text);
    const feed = (pieces) => { const parser = new SseParser(); return pieces.flatMap((piece) => parser.push(piece)).map((event) => event.data); };
    assert.deepEqual(feed([bytes]), expected);
    assert.deepEqual(feed([...bytes].map((byte) => Uint8Array.of(byte))), expected);
    for (let at = 1; at < bytes.length; at += 1) assert.deepEqual(feed([bytes.slice(0, at), bytes.slice(at)]), expected);
  });
}
