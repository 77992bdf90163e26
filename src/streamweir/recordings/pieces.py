"""An answer's body in pieces that can be written anew: a frame, or what stands between frames. Pure.

What a piece is read by is the framing of `wire/`, so that a recording is cut where its replay will be. Line ends become
LF, and what is unfinished at the end of a body is left out: it is no frame.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from streamweir.wire.frames import MAX_EVENT, Closed, Event, Frame, Malformed, Value
from streamweir.wire.lines import LineSplitter
from streamweir.wire.ndjson import NdjsonDecoder
from streamweir.wire.sse import BOM, SseDecoder
from streamweir.wire.websocket import WebSocket, encode_close, encode_message

MASK = "*"
PING = encode_message(b"", 9)
NO_FRAME = b"\x83\x00"
"""A WebSocket frame with an opcode that there is none of."""


class Piece(msgspec.Struct, frozen=True):
    """`wrap` makes its bytes of a payload; `payload` is what the frame carried. Without a frame it carries nothing."""

    wrap: Callable[[str], bytes]
    payload: str = ""
    frame: Frame | None = None


class Pieces(Protocol):
    """Body bytes to pieces."""

    def feed(self, data: bytes, /) -> list[Piece]: ...


def fixed(data: bytes, frame: Frame | None = None) -> Piece:
    """A piece whose bytes are what they are."""
    return Piece(lambda _: data, frame=frame)


class SsePieces:
    """A block of lines is a piece, and so is each comment. `masked` says of an event's name how it is written."""

    def __init__(self, masked: Callable[[str], str]) -> None:
        self._masked = masked
        self._lines = LineSplitter()
        self._decoder = SseDecoder()
        self._first = True
        self._head = ""
        self._broken = False

    def feed(self, data: bytes) -> list[Piece]:
        out: list[Piece] = []
        for line in self._lines.feed(data):
            if self._broken:
                break
            if self._first:
                self._first = False
                line = line.removeprefix(BOM)
            self._line(line, out)
        if self._lines.held > MAX_EVENT and not self._broken:
            # a line that is longer already than any may be; of what, does not matter
            self._line(bytes(self._lines.held), out)
        return out

    def _line(self, line: bytes, out: list[Piece]) -> None:
        for frame in self._decoder.feed(line + b"\n"):
            if type(frame) is Event:
                out.append(Piece(self._wrap(self._head), frame.data, frame))
            else:
                self._broken = True
                out.append(fixed(b"data: " + b"*" * (MAX_EVENT + 1) + b"\n\n", frame))
            self._head = ""
            return
        if line.startswith(b":"):
            out.append(fixed(b":" + stars(line[1:].decode("utf-8", "replace"), " ").encode() + b"\n"))
        elif not line:
            out.append(fixed(f"{self._head}\n".encode()))
            self._head = ""
        elif not line.startswith(b"data:") and line != b"data" and len(self._head) < MAX_EVENT:
            self._head += self._field(line.decode("utf-8", "replace"))

    def _field(self, line: str) -> str:
        name, colon, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            return f"event: {self._masked(value)}\n"
        return f"{name if name in ('id', 'retry') else stars(name)}{colon and ': '}{stars(value)}\n"

    @staticmethod
    def _wrap(head: str) -> Callable[[str], bytes]:
        return lambda payload: (head + "".join(f"data: {line}\n" for line in payload.split("\n")) + "\n").encode()


class NdjsonPieces:
    """A value is a piece, on a line of its own. A read of nothing but blanks is a sign of life."""

    def __init__(self) -> None:
        self._decoder = NdjsonDecoder()
        self._between = False

    def feed(self, data: bytes) -> list[Piece]:
        out: list[Piece] = []
        for frame in self._decoder.feed(data):
            if type(frame) is Value:
                out.append(Piece(lambda payload: payload.encode() + b"\n", frame.data, frame))
            else:
                out.append(fixed(b"*" * (MAX_EVENT + 1), frame))
        if self._between and not data.strip():
            out.append(fixed(b"\n"))
        self._between = data.endswith(b"\n")
        return out


class MessagePieces:
    """A message is a piece, in one frame. A read without one is a sign of life, and becomes a ping."""

    def __init__(self, masked: Callable[[str], str]) -> None:
        self._masked = masked
        self._socket = WebSocket(0.0)

    def feed(self, data: bytes) -> list[Piece]:
        if self._socket.over or not data:
            return []
        out: list[Piece] = []
        for frame in self._socket.feed(data):
            if type(frame) is Value:
                out.append(Piece(lambda payload: encode_message(payload.encode()), frame.data, frame))
            elif type(frame) is Closed:
                close = encode_close(frame.code, self._masked(frame.reason))
                out.append(fixed(close if frame.code != 1005 else encode_message(b"", 8), frame))
            elif type(frame) is Malformed:
                out.append(fixed(NO_FRAME, frame))
        # the answers to pings are the connection's own
        self._socket.outgoing()
        return out or [fixed(PING)]


def stars(text: str, kept: str = "") -> str:
    """A text with nothing of it shown but characters in `kept`."""
    return "".join(char if char in kept else MASK for char in text)
