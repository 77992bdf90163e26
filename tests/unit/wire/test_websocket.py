import os
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.protocol import Protocol, Side

from streamweir.wire.frames import Closed, Malformed, Value
from streamweir.wire.websocket import (
    PING_EVERY,
    PONG_WITHIN,
    WebSocket,
    accepts,
    encode_close,
    encode_message,
    upgrade_headers,
)
from tests.chunkings import fed


def frames(body: bytes) -> list[object]:
    return WebSocket(0.0).feed(body)


def fragmented(*parts: bytes) -> bytes:
    out = b""
    for number, part in enumerate(parts):
        opcode = (0x80 if number == len(parts) - 1 else 0) | (0 if number else 1)
        out += bytes((opcode, len(part))) + part
    return out


CASES = [
    (encode_message(b"hello"), [Value("hello")]),
    (encode_message(b""), [Value("")]),
    (encode_message(b"x" * 125), [Value("x" * 125)]),
    (encode_message(b"x" * 126), [Value("x" * 126)]),
    (encode_message(b"x" * 70_000), [Value("x" * 70_000)]),
    (encode_message("é😊".encode(), 2), [Value("é😊")]),
    (encode_message(b"\xff"), [Value("�")]),
    (fragmented(b"h\xc3", b"\xa9", b"llo"), [Value("héllo")]),
    (fragmented(b"a", b"")[:3] + encode_message(b"p", 9) + fragmented(b"a", b"")[3:], [Value("a")]),
    (encode_close(1011, "why"), [Closed(1011, "why")]),
    (encode_message(b"", 8), [Closed(1005)]),
    (encode_message(b"a") + encode_close(1000) + encode_message(b"b"), [Value("a"), Closed(1000)]),
]


@pytest.mark.parametrize(("body", "expected"), CASES)
def test_frames_under_every_chunking(body: bytes, expected: list[object]) -> None:
    if len(body) > 1000:
        assert frames(body) == expected
        return

    def make() -> Any:
        return WebSocket(0.0).feed

    assert fed(make, body) == expected


@pytest.mark.parametrize(
    "body",
    [
        b"\x83\x00",
        b"\xc1\x00",
        b"\x80\x01x",
        bytes((0x81, 0x80)) + b"mask",
        bytes((0x89, 126, 0, 126)),
        encode_message(b"x" * 200),
        b"\x01\x01a" + encode_message(b"b"),
    ],
    ids=["opcode", "reserved bit", "continuation", "masked", "long ping", "too big", "interleaved"],
)
def test_a_broken_frame_is_the_last(body: bytes) -> None:
    socket = WebSocket(0.0, max_message=100)
    out = socket.feed(encode_message(b"ok") + body + encode_message(b"after"))
    assert out[0] == Value("ok")
    assert isinstance(out[-1], Malformed)
    assert len(out) == 2
    assert socket.feed(encode_message(b"more")) == []


def test_a_message_in_fragments_is_bounded_too() -> None:
    socket = WebSocket(0.0, max_message=100)
    out = socket.feed(bytes((0x01, 60)) + b"x" * 60 + bytes((0x80, 60)) + b"x" * 60)
    assert [type(frame) for frame in out] == [Malformed]


def test_empty_fragments_are_not_kept() -> None:
    socket = WebSocket(0.0)
    socket.feed(b"\x01\x01a")
    tracemalloc.start()
    try:
        socket.feed(b"\x00\x00" * 1000)
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(20):
            socket.feed(b"\x00\x00" * 1000)
        # a list of them would have grown by 160 kB
        assert tracemalloc.get_traced_memory()[0] - before < 20_000
    finally:
        tracemalloc.stop()
    assert socket.feed(b"\x80\x01b") == [Value("ab")]


def test_pings_are_answered_and_messages_masked() -> None:
    socket, server = WebSocket(0.0), Protocol(Side.SERVER)
    socket.feed(encode_message(b"id", 9))
    socket.send("é".encode())
    socket.close()
    server.receive_data(socket.outgoing())
    assert [(frame.opcode.name, bytes(frame.data)[:3]) for frame in server.events_received()] == [
        ("PONG", b"id"),
        ("TEXT", "é".encode()),
        ("CLOSE", b"\x03\xe8"),
    ]
    assert socket.outgoing() == b""


def test_a_dead_peer_is_found() -> None:
    socket = WebSocket(100.0)
    assert socket.due() == 100.0 + PING_EVERY
    assert socket.beat(119.0)
    assert socket.outgoing() == b""
    assert socket.beat(120.0)
    assert socket.outgoing()[0] == 0x89
    assert socket.due() == 120.0 + PONG_WITHIN
    assert not socket.beat(130.0)


def test_any_byte_is_a_sign_of_life_and_a_pause_of_ours_is_none_of_its_business() -> None:
    socket = WebSocket(0.0)
    socket.beat(20.0)
    socket.feed(encode_message(b"", 10))
    assert socket.beat(30.0)
    socket = WebSocket(0.0)
    socket.beat(20.0)
    socket.rest(500.0)
    assert socket.beat(500.0)
    assert socket.due() == 500.0 + PING_EVERY


def test_frames_that_were_looked_at_come_first_again() -> None:
    socket = WebSocket(0.0)
    (first,) = socket.feed(encode_message(b"a"))
    socket.give_back([first])
    assert socket.feed(encode_message(b"b")) == [Value("a"), Value("b")]
    socket.give_back([first])
    assert socket.feed(b"") == [Value("a")]


def test_the_opening_handshake_of_the_rfc() -> None:
    key = b"the sample nonce"
    assert dict(upgrade_headers(key))["Sec-WebSocket-Key"] == "dGhlIHNhbXBsZSBub25jZQ=="
    assert accepts("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", key)
    assert not accepts("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", os.urandom(16))
    assert not accepts(None, key)
    assert dict(upgrade_headers(key, ("bearer", "t")))["Sec-WebSocket-Protocol"] == "bearer, t"


@given(st.lists(st.binary(max_size=30), max_size=4), st.data())
@settings(deadline=None, max_examples=100)
def test_random_bytes_raise_nothing(parts: list[bytes], data: st.DataObject) -> None:
    socket = WebSocket(0.0, max_message=1000)
    for part in parts:
        socket.feed(part)
        socket.outgoing()


def test_what_came_with_the_handshake_can_be_recorded_wherever_it_was_cut() -> None:
    ready = encode_message(b"ready")
    rest = (
        encode_message(b"x" * 130) + fragmented(b"one", b"two", b"three") + encode_message(b"last") + encode_close(1000)
    )
    for at in range(len(rest) + 1):
        for step in (1, 7, 1000):
            socket = WebSocket(0.0)
            early = ready + rest[:at]
            seen = [frame for cut in range(0, len(early), step) for frame in socket.feed(early[cut : cut + step])]
            socket.give_back(seen[1:])
            assert frames(socket.unread + rest[at:]) == frames(rest)
            assert socket.feed(b"") + socket.feed(rest[at:]) == frames(rest)
            assert not socket.unread
