"""Hostile input in bounded memory, and in work that grows as the input does: counted, not timed."""

import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from streamweir.dialects import BUILTIN
from streamweir.events import Opened
from streamweir.wire import lines, ndjson
from streamweir.wire.frames import MAX_EVENT
from streamweir.wire.ndjson import NdjsonDecoder
from streamweir.wire.sse import SseDecoder
from streamweir.wire.websocket import WebSocket
from tests.relays import relay

MEGA = 1024 * 1024
PIECE = 16 * 1024
TOTAL = 20 * MEGA
FEW = MEGA // 2
"""Bytes of input that is made of the smallest units: each costs a step, and memory shows at once or never."""


def endless(piece: bytes, start: bytes = b"", total: int = TOTAL) -> Iterator[bytes]:
    if start:
        yield start
    sent = 0
    while sent < total:
        yield piece
        sent += len(piece)


def gaps() -> Iterator[bytes]:
    for number in range(3_000):
        yield b'data: {"sequence":%d,"choices":[{"delta":{"content":"x"}}]}\n\n' % (number * 1000)


HOSTILE: dict[str, tuple[str, Any]] = {
    "an endless line": ("sse-chat", lambda: endless(b"x" * PIECE)),
    "an endless data line": ("sse-chat", lambda: endless(b"x" * PIECE, b"data: ")),
    "an event of endless lines": ("sse-gateway", lambda: endless(b"data: x\n" * (PIECE // 8))),
    "endless empty lines": ("sse-generative", lambda: endless(b"\n" * PIECE, total=FEW)),
    "endless comments": ("sse-chat", lambda: endless(b": x\n\n" * (PIECE // 5), total=FEW)),
    "endless heartbeats": (
        "sse-generative",
        lambda: endless(b"event: heartbeat\ndata: {}\n\n" * (PIECE // 27), total=FEW),
    ),
    "an endless object": ("ndjson-chat", lambda: endless(b"x" * PIECE, b'{"content":"')),
    "endless depth": ("ndjson-chat", lambda: endless(b"[" * PIECE, total=FEW // 2)),
    "endless blank lines": ("ndjson-chat", lambda: endless(b" \n" * (PIECE // 2), total=FEW)),
    "endless garbage": ("ndjson-chat", lambda: endless(b"x" * PIECE)),
    "an endless message": ("ws-gateway", lambda: endless(b"x" * PIECE, b"\x81\x7f" + (1 << 40).to_bytes(8))),
    "endless fragments": ("ws-gateway", lambda: endless(b"\x00\x7e\x40\x00" + b"x" * 0x4000, b"\x01\x00")),
    "endless pings": ("ws-gateway", lambda: endless(b"\x89\x00" * (PIECE // 2), total=FEW // 8)),
    "gaps without end": ("sse-gateway", gaps),
    "depth in an event": ("openai", lambda: iter([b"data: " + b"[" * (MEGA - 100) + b"\n\n"])),
}

BOUND = 8 * MEGA
"""An event may have a megabyte; joined, decoded and parsed it is there a few times over, for a moment."""


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_input_in_bounded_memory(name: str) -> None:
    dialect, pieces = HOSTILE[name]
    stream = relay(dialect, encode=lambda events: None)
    stream.start([Opened()], 0.0)
    tracemalloc.start()
    try:
        for piece in pieces():
            stream.feed(piece, 1.0)
            if dialect == "ws-gateway":
                stream._framing.outgoing()
            if stream.done:
                break
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    stream.end("eof", 2.0)
    assert peak < BOUND, peak
    assert not stream.report.complete
    assert stream.report.error.code != "stream_failed"


class Scanned:
    """Counts the bytes that are handed to whatever scans them."""

    def __init__(self) -> None:
        self.bytes = 0

    def pattern(self, real: Any) -> Any:
        scanned = self

        class Counting:
            @staticmethod
            def search(data: bytes, at: int = 0) -> Any:
                found = real.search(data, at)
                scanned.bytes += (found.end() if found else len(data)) - at
                return found

        return Counting


class Line(bytes):
    """A read whose splitting is counted."""

    scanned: Scanned

    def splitlines(self, keepends: bool = False) -> list[bytes]:
        self.scanned.bytes += len(self)
        return super().splitlines(keepends)


SIZES = (20_000, 40_000, 80_000, 160_000, 320_000)


def sse_line(size: int, step: int, scanned: Scanned, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = SseDecoder()
    decoder.feed(b"data: ")
    for _ in range(size // step):
        piece = Line(b"x" * step)
        piece.scanned = scanned
        decoder._lines.feed(piece)


def ndjson_object(size: int, step: int, scanned: Scanned, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ndjson, "STOPS", {mode: scanned.pattern(real) for mode, real in REAL_STOPS.items()})
    decoder = NdjsonDecoder()
    decoder.feed(b'{"content":"')
    for _ in range(size // step):
        decoder.feed((b'x\\"{[' * step)[:step])


REAL_STOPS = dict(ndjson.STOPS)


@pytest.mark.parametrize("step", [1, 16])
@pytest.mark.parametrize("scan", [sse_line, ndjson_object])
def test_what_is_scanned_grows_as_the_input_does(scan: Any, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    ratios = []
    for size in SIZES:
        scanned = Scanned()
        scan(size, step, scanned, monkeypatch)
        ratios.append(scanned.bytes / size)
    print(f"\n{scan.__name__}, {step} bytes a read: bytes scanned a byte of input {[round(r, 3) for r in ratios]}")
    assert max(ratios) <= 2.0
    assert max(ratios) - min(ratios) < 0.1


@pytest.mark.parametrize("framing", ["sse", "ndjson", "websocket"])
def test_calls_grow_as_the_input_does(framing: str) -> None:
    """Every Python and C call of the decoders, counted, for an unfinished line, object and message."""
    import sys

    counts = []
    for size in (2_000, 4_000, 8_000, 16_000):
        decoder: Any = {"sse": SseDecoder, "ndjson": NdjsonDecoder, "websocket": lambda: WebSocket(0.0)}[framing]()
        decoder.feed({"sse": b"data: ", "ndjson": b'{"a":"', "websocket": b"\x81\x7f" + (1 << 19).to_bytes(8)}[framing])
        calls = 0

        def count(frame: Any, event: str, argument: Any) -> None:
            nonlocal calls
            calls += event in ("call", "c_call")

        sys.setprofile(count)
        try:
            for _ in range(size):
                decoder.feed(b"x")
        finally:
            sys.setprofile(None)
        counts.append(calls / size)
    assert max(counts) / min(counts) < 1.05, counts


def test_an_unfinished_line_is_joined_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is held of a line is put together when the line ends, not at every read."""
    splitter = lines.LineSplitter()
    for _ in range(10_000):
        assert splitter.feed(b"x") == []
    assert len(splitter._held) == 10_000
    assert splitter.feed(b"\n") == [b"x" * 10_000]


def test_every_dialect_has_hostile_input() -> None:
    assert {dialect for dialect, _ in HOSTILE.values()} == set(BUILTIN)
    assert MAX_EVENT == MEGA
