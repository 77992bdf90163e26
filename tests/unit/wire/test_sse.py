"""SSE as the WHATWG HTML standard says it, with the cases that web-platform-tests' eventsource/ covers."""

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamweir.wire.sse import Event, Malformed, SseDecoder, encode_comment, encode_event
from tests.chunkings import fed

BOM = b"\xef\xbb\xbf"
M = "message"

# name, bytes, events as (data, event, id)
CASES = [
    ("one event", b"data: a\n\n", [("a", M, "")]),
    ("no space after the colon", b"data:a\n\n", [("a", M, "")]),
    ("only one space is taken", b"data:  a\n\n", [(" a", M, "")]),
    ("a tab is no space", b"data:\ta\n\n", [("\ta", M, "")]),
    ("trailing space stays", b"data: a \n\n", [("a ", M, "")]),
    ("LF", b"data: a\n\ndata: b\n\n", [("a", M, ""), ("b", M, "")]),
    ("CR", b"data: a\r\rdata: b\r\r", [("a", M, ""), ("b", M, "")]),
    ("CRLF", b"data: a\r\n\r\ndata: b\r\n\r\n", [("a", M, ""), ("b", M, "")]),
    ("LF then CRLF", b"data: a\n\r\ndata: b\r\n\n", [("a", M, ""), ("b", M, "")]),
    ("CR then CRLF", b"data: a\r\r\ndata: b\n\r", [("a", M, ""), ("b", M, "")]),
    ("LF then CR ends twice", b"data: a\n\rdata: b\n\n", [("a", M, ""), ("b", M, "")]),
    ("CRLF is one end", b"data: a\r\ndata: b\r\n\r\n", [("a\nb", M, "")]),
    ("several data lines", b"data: a\ndata: b\ndata: c\n\n", [("a\nb\nc", M, "")]),
    ("an empty data line between", b"data: a\ndata:\ndata: b\n\n", [("a\n\nb", M, "")]),
    ("data without a colon", b"data\n\n", [("", M, "")]),
    ("data twice without a colon", b"data\ndata\n\n", [("\n", M, "")]),
    ("data with a colon and nothing", b"data:\n\n", [("", M, "")]),
    ("data with a colon and a space", b"data: \n\n", [("", M, "")]),
    ("blank lines alone", b"\n\n\n\r\r\r\n", []),
    ("a block without data", b"event: x\nid: 1\n\ndata: a\n\n", [("a", M, "1")]),
    ("an event name", b"event: x\ndata: a\n\n", [("a", "x", "")]),
    ("the event name is forgotten", b"event: x\ndata: a\n\ndata: b\n\n", [("a", "x", ""), ("b", M, "")]),
    ("the last event name counts", b"event: x\nevent: y\ndata: a\n\n", [("a", "y", "")]),
    ("an empty event name", b"event: x\nevent:\ndata: a\n\n", [("a", M, "")]),
    ("an event name without a colon", b"event: x\nevent\ndata: a\n\n", [("a", M, "")]),
    ("the event name behind the data", b"data: a\nevent: x\n\n", [("a", "x", "")]),
    ("field names are case-sensitive", b"Data: a\nDATA: b\ndata: c\n\n", [("c", M, "")]),
    ("a space before the field name", b" data: a\ndata: b\n\n", [("b", M, "")]),
    ("a space before the colon", b"data : a\ndata: b\n\n", [("b", M, "")]),
    ("unknown fields", b"foo: a\ndata: b\nfoo\n\n", [("b", M, "")]),
    ("a comment", b": hello\ndata: a\n\n", [("a", M, "")]),
    ("a bare colon", b":\n:\ndata: a\n:\n\n", [("a", M, "")]),
    ("a comment that looks like data", b":data: a\n\ndata: b\n\n", [("b", M, "")]),
    ("a comment between data lines", b"data: a\n: x\ndata: b\n\n", [("a\nb", M, "")]),
    ("an id", b"id: 7\ndata: a\n\n", [("a", M, "7")]),
    ("the id stays", b"id: 7\ndata: a\n\ndata: b\n\n", [("a", M, "7"), ("b", M, "7")]),
    ("an empty id clears it", b"id: 7\ndata: a\n\nid\ndata: b\n\n", [("a", M, "7"), ("b", M, "")]),
    ("an id with NUL is ignored", b"id: 7\n\nid: a\0b\ndata: a\n\n", [("a", M, "7")]),
    ("an id with a space kept", b"id:  7\ndata: a\n\n", [("a", M, " 7")]),
    ("an id that is no number", b"id: \xe2\x80\xa6\ndata: a\n\n", [("a", M, "…")]),
    ("a BOM", BOM + b"data: a\n\n", [("a", M, "")]),
    ("two BOMs", BOM + BOM + b"data: a\n\ndata: b\n\n", [("b", M, "")]),
    ("a BOM later", b"data: a\n\n" + BOM + b"data: b\n\ndata: c\n\n", [("a", M, ""), ("c", M, "")]),
    ("a BOM in data", b"data: " + BOM + b"a\n\n", [("\ufeffa", M, "")]),
    ("part of a BOM", b"\xef\xbbdata: a\n\ndata: b\n\n", [("b", M, "")]),
    ("an unfinished last block", b"data: a\n\ndata: b\n", [("a", M, "")]),
    ("an unfinished last line", b"data: a\n\ndata: b", [("a", M, "")]),
    ("a last block without its blank line", b"data: a\nid: 3", []),
    ("bad UTF-8", b"data: a\xffb\n\n", [("a\ufffdb", M, "")]),
    ("UTF-8 cut short by a line end", b"data: \xe2\x82\ndata: x\n\n", [("\ufffd\nx", M, "")]),
    ("four bytes of UTF-8", "data: 😊é\n\n".encode(), [("😊é", M, "")]),
    ("U+2028 is no line end", "data: a\u2028b\n\n".encode(), [("a\u2028b", M, "")]),
    ("U+0085 is no line end", "data: a\u0085b\n\n".encode(), [("a\u0085b", M, "")]),
    ("VT, FF, FS are no line ends", b"data: a\x0bb\x0cc\x1cd\n\n", [("a\x0bb\x0cc\x1cd", M, "")]),
    ("NUL in data", b"data: a\0b\n\n", [("a\0b", M, "")]),
    ("a colon in data", b"data: a:b: c\n\n", [("a:b: c", M, "")]),
    ("JSON", b'data: {"a": "b: c"}\n\n', [('{"a": "b: c"}', M, "")]),
    ("retry does not show", b"retry: 100\ndata: a\n\n", [("a", M, "")]),
]


@pytest.mark.parametrize(("data", "expected"), [pytest.param(d, e, id=n) for n, d, e in CASES])
def test_whatwg(data: bytes, expected: list[tuple[str, str, str]]) -> None:
    assert fed(lambda: SseDecoder().feed, data) == [Event(*event) for event in expected]


@pytest.mark.parametrize(("data", "expected"), [pytest.param(d, e, id=n) for n, d, e in CASES])
def test_trailing_data_does_not_change_what_came_before(data: bytes, expected: list[tuple[str, str, str]]) -> None:
    events = SseDecoder().feed(data + b"\n\nevent: z\ndata: tail\n\n")
    assert events[: len(expected)] == [Event(*event) for event in expected]
    assert events[-1].data.endswith("tail")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"retry: 3000", 3000),
        (b"retry:0", 0),
        (b"retry: 3000x", None),
        (b"retry: -1", None),
        (b"retry: 1.5", None),
        (b"retry:  9", None),
        (b"retry", None),
        (b"retry: \xd9\xa3", None),
        (b"retry: " + b"9" * 5000, None),
    ],
)
def test_retry_takes_digits_only(line: bytes, expected: int | None) -> None:
    decoder = SseDecoder()
    decoder.feed(line + b"\n")
    assert decoder.retry == expected


HELD = 128 * 1024


def peak(start: bytes, piece: bytes) -> int:
    """Bytes of memory that a decoder takes at most for HELD bytes of something unfinished."""
    decoder = SseDecoder(2 * HELD)
    tracemalloc.start()
    try:
        decoder.feed(start)
        for _ in range(HELD // len(piece)):
            assert decoder.feed(piece) == []
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "data",
    [b"data: " + b"x" * 60, b"data: " + b"x" * 30 + b"\ndata: " + b"y" * 30 + b"\n", b": " + b"x" * 60, b"data\n" * 60],
)
def test_an_oversized_event_ends_the_stream_and_keeps_what_came_before(data: bytes) -> None:
    frames = fed(lambda: SseDecoder(50).feed, b"data: a\n\n" + data + b"\n\ndata: b\n\n")
    assert frames == [Event("a"), Malformed("an event of the stream has more than 50 bytes")]


@pytest.mark.parametrize("piece", [b"xy", b"x", b"x" * 16])
def test_an_unfinished_line_takes_the_memory_of_its_bytes(piece: bytes) -> None:
    assert peak(b"data: ", piece) < 3 * HELD


@pytest.mark.parametrize("line", [b"data: xy\n", b"data:\n", b"data\n"])
def test_an_unfinished_event_takes_the_memory_of_its_bytes(line: bytes) -> None:
    assert peak(b"", line) < 3 * HELD


@given(st.lists(st.tuples(st.text(), st.sampled_from(["", "ping", "error"])), max_size=5), st.data())
@settings(deadline=None, max_examples=100)
def test_what_is_encoded_is_decoded(events: list[tuple[str, str]], data: st.DataObject) -> None:
    events = [(text.encode("utf-8", "replace").decode(), name) for text, name in events]
    wire = b"".join(encode_comment("x") + encode_event(text, event=name) for text, name in events)
    decoder, out = SseDecoder(), []
    while wire:
        size = data.draw(st.integers(1, len(wire)))
        out += decoder.feed(wire[:size])
        wire = wire[size:]
    normal = [(text.replace("\r\n", "\n").replace("\r", "\n"), name or "message") for text, name in events]
    assert [(event.data, event.event) for event in out] == normal
