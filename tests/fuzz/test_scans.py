"""Bytes that the decoders touch, counted where they touch them: as many a byte of input for long input as for short.

Calls are counted elsewhere; here it is the bytes that C functions walk over in one call. The counting types stand in for the
buffers themselves, so that a decoder that searched, joined or copied what it holds at every read would be seen.
"""

from collections.abc import Callable
from typing import Any, SupportsIndex

import pytest

from streamweir.wire.ndjson import NdjsonDecoder
from streamweir.wire.sse import SseDecoder
from streamweir.wire.websocket import WebSocket

SIZES = (10_000, 20_000, 40_000, 80_000, 160_000)


class Buffer(bytearray):
    """A buffer that counts the bytes of itself that anything walks over."""

    touched = 0

    def _walk(self, size: int) -> None:
        Buffer.touched += size

    def __iadd__(self, more: Any) -> "Buffer":
        self._walk(len(more))
        super().__iadd__(more)
        return self

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            self._walk(len(range(*at.indices(len(self)))))
        return super().__getitem__(at)

    def __delitem__(self, at: Any) -> None:
        # from the front, which moves a pointer; what is deleted was added once, and is paid for
        assert not isinstance(at, slice) or not at.start
        super().__delitem__(at)

    def find(self, sub: Any, start: SupportsIndex | None = 0, end: SupportsIndex | None = None) -> int:
        self._walk(len(self) - int(start or 0))
        return super().find(sub, start, end)

    def decode(self, *how: str) -> str:
        self._walk(len(self))
        return super().decode(*how)

    def __bytes__(self) -> bytes:
        self._walk(len(self))
        return bytes(memoryview(self))


def sse() -> Any:
    decoder = SseDecoder()
    decoder._lines._held = Buffer()
    return decoder


def sse_event() -> Any:
    decoder = sse()
    decoder.feed(b"data: x\n")
    decoder._data = Buffer(b"x")
    return decoder


def ndjson() -> Any:
    decoder = NdjsonDecoder()
    decoder._held = Buffer()
    return decoder


def websocket() -> Any:
    decoder = WebSocket(0.0)
    decoder._parts = Buffer()
    decoder._protocol.reader.buffer = Buffer()
    return decoder


def length(size: int) -> bytes:
    return b"\x81\x7f" + size.to_bytes(8)


def fragments(size: int) -> bytes:
    return b"\x01\x01x" + b"\x00\x04abcd" * (size // 6) + b"\x80\x01x"


SCANS: dict[str, tuple[Callable[[], Any], Callable[[int], bytes]]] = {
    "an unfinished line": (sse, lambda size: b"data: " + b"x" * size),
    "a long line": (sse, lambda size: b"data: " + b"x" * size + b"\n\n"),
    "an event of many lines": (sse_event, lambda size: b"data: x\n" * (size // 8) + b"\n"),
    "short events": (sse, lambda size: b"data: x\n\n" * (size // 9)),
    "line ends": (sse, lambda size: b"\r\n\r\r\n" * (size // 5)),
    "an unfinished string": (ndjson, lambda size: b'{"a":"' + b'x\\"{' * (size // 4)),
    "a deep value": (ndjson, lambda size: b"[" * (size // 2) + b"]" * (size // 2)),
    "garbage": (ndjson, lambda size: b"x" * size + b"\n"),
    "short lines": (ndjson, lambda size: b'{"a":1}\n' * (size // 8)),
    "lines that are cut": (ndjson, lambda size: b'{"a":"\n' * (size // 7)),
    "an unfinished message": (websocket, lambda size: length(size + 1) + b"x" * size),
    "a long message": (websocket, lambda size: length(size) + b"x" * size),
    "fragments": (websocket, fragments),
    "empty fragments": (websocket, lambda size: b"\x01\x00" + b"\x00\x00" * (size // 2)),
}


@pytest.mark.parametrize("step", [1, 16, 4096])
@pytest.mark.parametrize("name", SCANS)
def test_bytes_touched_grow_as_the_input_does(name: str, step: int) -> None:
    make, body = SCANS[name]
    ratios = []
    for size in SIZES if step > 1 else SIZES[:-2]:
        decoder, data = make(), body(size)
        Buffer.touched = 0
        for at in range(0, len(data), step):
            decoder.feed(data[at : at + step])
        ratios.append(Buffer.touched / len(data))
    print(f"\n{name}, {step} bytes a read: {[round(ratio, 2) for ratio in ratios]}")
    assert max(ratios) <= 6
    assert max(ratios) - min(ratios) < 0.2


def test_a_decoder_that_looks_again_is_seen() -> None:
    ratios = []
    for size in SIZES[:3]:
        held = Buffer()
        Buffer.touched = 0
        for _ in range(size // 16):
            held += b"x" * 16
            held.find(b"\n")
        ratios.append(Buffer.touched / size)
    assert ratios[2] > 3.5 * ratios[0]
