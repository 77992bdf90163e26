"""What a flood leaves behind: after twice the flood no more is held than after the flood, whatever it is made of."""

import gc
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from streamweir.events import Opened
from streamweir.stages.integrity import Integrity
from streamweir.wire.frames import MAX_EVENT
from streamweir.wire.http1 import MAX_HEAD, Answer, HttpError
from streamweir.wire.websocket import encode_message
from tests.relays import relay

UNITS = 4_000
KILO = 1024


def chunk(content: str) -> bytes:
    return f"data: {{{content}}}\n\n".encode()


FLOODS: dict[str, tuple[str, dict[str, str], Callable[[int], bytes]]] = {
    "numbers with gaps": ("sse-gateway", {}, lambda n: chunk(f'"sequence":{n * 9**9},"choices":[{{"delta":{{"refusal":"x"}}}}]')),
    "numbers without content": ("sse-gateway", {}, lambda n: chunk(f'"sequence":{n * 9**9},"choices":[]')),
    "finish reasons": ("openai", {}, lambda n: chunk(f'"choices":[{{"index":{n},"finish_reason":"{n:050}"}}]')),
    "choices": ("openai", {}, lambda n: chunk(f'"choices":[{{"index":{n + 1},"delta":{{"content":"x"}}}}]')),
    "tool calls": ("openai", {}, lambda n: chunk(f'"choices":[{{"delta":{{"tool_calls":[{{"index":{n},"id":"{n}"}}]}}}}]')),
    "usage": ("sse-chat", {}, lambda n: chunk(f'"choices":[],"usage":{{"completion_tokens":{n},"x{n}":"{n:0100}"}}')),
    "unknown keys": ("openai", {}, lambda n: chunk(f'"choices":[{{"delta":{{"x{n}":"{n:0100}"}}}}]')),
    "no JSON, skipped": ("openai", {"malformed": "skip"}, lambda n: f"data: {n:0100}x\n\n".encode()),
    "ids, names and times": ("sse-generative", {}, lambda n: f"id: {n:0100}\nevent: e{n}\nretry: {n}\n\n".encode()),
    "events of other names": ("sse-generative", {}, lambda n: f"event: e{n}\ndata: {{}}\n\n".encode()),
    "counts": ("sse-generative", {}, lambda n: chunk(f'"tokens_generated":{n},"is_complete":false')),
    "objects of other kinds": ("ndjson-chat", {}, lambda n: f'{{"type":"t{n}","x{n}":[{n}]}}'.encode()),
    "other values": ("ndjson-chat", {}, lambda n: f"[{n}]\n".encode()),
    "empty fragments": ("ws-gateway", {}, lambda n: b"\x00\x00" * 40 if n else b"\x01\x00"),
    "pings": ("ws-gateway", {}, lambda n: encode_message(b"%0100d" % n, 9)),
    "pongs": ("ws-gateway", {}, lambda n: encode_message(b"", 10)),
    "messages of other kinds": ("ws-gateway", {}, lambda n: encode_message(b'{"x%d":1}' % n)),
}  # fmt: skip
KEPT = 48 * KILO
"""The lists that are bounded by a number of entries and may still be filling: the longest is a thousand gaps."""


def held() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


@pytest.mark.parametrize("name", FLOODS)
def test_what_is_held_does_not_grow(name: str) -> None:
    dialect, options, unit = FLOODS[name]
    stream = relay(dialect, encode=lambda events: None, **options)
    # ignoring gaps is what keeps such a stream going
    stream._integrity = Integrity(failing=False)
    stream.start([Opened()], 0.0)
    after = []
    tracemalloc.start()
    try:
        for n in range(UNITS * 3):
            # time goes on: what is kept of it would be seen
            stream.feed(unit(n), n / 1000)
            if dialect == "ws-gateway":
                stream._framing.outgoing()
            if n % UNITS == UNITS - 1:
                after.append(held())
    finally:
        tracemalloc.stop()
    assert not stream.done
    assert after[2] - after[1] < KEPT, after
    stream.end("eof", UNITS * 4)
    assert stream.report.error.code == "stream_interrupted"


def many(item: bytes, start: bytes, end: bytes) -> bytes:
    return start + b",".join([item] * ((MAX_EVENT - 100) // (len(item) + 1))) + end


WIDE: dict[str, tuple[str, bytes]] = {
    "empty objects": ("sse-generative", b"data: " + many(b"{}", b'{"x":[', b"]}") + b"\n\n"),
    "empty arrays in usage": ("ws-gateway", encode_message(many(b"[]", b'{"usage":{"x":[', b"]}}"))),
    "choices with a key": ("openai", b"data: " + many(b'{"a":1}', b'{"choices":[', b"]}") + b"\n\n"),
    "tool calls": ("openai", b"data: " + many(b"{}", b'{"choices":[{"delta":{"tool_calls":[', b"]}}]}") + b"\n\n"),
}
WIDEST = 128 * MAX_EVENT
"""A parsed object takes at most some hundred times its bytes in Python, for as long as one event is in the pipeline: a
choice of 8 bytes is an object, two dicts and a released event. No more than MAX_EVENT of it is ever there at once."""


@pytest.mark.parametrize("name", WIDE)
def test_one_event_of_the_largest_size_and_the_smallest_parts(name: str) -> None:
    dialect, body = WIDE[name]
    stream = relay(dialect, encode=lambda events: None)
    tracemalloc.start()
    try:
        stream.feed(body, 1.0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    print(f"\n{name}: {peak / len(body):.0f} times its bytes")
    assert peak < WIDEST
    stream.end("eof", 2.0)
    assert stream.report.error.code == "stream_interrupted"


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ENDLESS: dict[str, tuple[bytes, bytes]] = {
    "a header": (b"HTTP/1.1 200 OK\r\nX: ", b"y" * KILO),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
    "answers before the answer": (b"", b"HTTP/1.1 103 Early\r\nX: y\r\n\r\n"),
    "a chunk extension": (CHUNKED + b"5;", b"a=b;" * 256),
    "trailers": (CHUNKED + b"0\r\n", b"X: y\r\n"),
    "a trailer": (CHUNKED + b"0\r\nX: ", b"y" * KILO),
    "digits of a size": (CHUNKED, b"0" * KILO),
}


def answers(start: bytes, piece: bytes) -> Iterator[Any]:
    answer = Answer()
    answer.feed(start)
    for _ in range(4 * MAX_HEAD // len(piece)):
        yield answer.feed(piece)


@pytest.mark.parametrize("name", ENDLESS)
def test_what_surrounds_a_body_is_bounded(name: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(HttpError):
            for body in answers(*ENDLESS[name]):
                assert body == b""
        # each header is kept once as it came and once as it is handed on
        assert tracemalloc.get_traced_memory()[1] < 6 * MAX_HEAD
    finally:
        tracemalloc.stop()
