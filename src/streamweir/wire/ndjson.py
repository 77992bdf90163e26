"""Newline-delimited JSON as gateways really send it: complete JSON values in order, whatever stands between them."""

from __future__ import annotations

import re
from typing import Literal

from streamweir.wire.frames import MAX_EVENT, Frame, Malformed, Value

Mode = Literal["between", "nested", "string", "escape", "loose"]

STOPS: dict[Mode, re.Pattern[bytes]] = {
    "between": re.compile(rb"[^ \t\r\n]"),
    "nested": re.compile(rb'["{}\[\]]'),
    "string": re.compile(rb'["\\\n]'),
    "escape": re.compile(rb"(?s:.)"),
    "loose": re.compile(rb"[\r\n{\[]"),
}
"""The next byte that matters in each mode. "loose" is what stands outside objects and arrays: a scalar, or no JSON."""


class NdjsonDecoder:
    """Body bytes to JSON values.

    A line may hold several values back to back, and a value may span lines. A raw line end inside a string is no
    JSON: the broken value is handed out as it stands, and decoding goes on behind it. Every byte is scanned once,
    and the same frames come out under every chunking. What is unfinished at the end of the body is no value: an object
    ends with its bracket, whether a line end follows or not.
    """

    __slots__ = ("_broken", "_depth", "_held", "_max", "_mode")

    def __init__(self, max_event: int = MAX_EVENT) -> None:
        self._max = max_event
        self._held = bytearray()
        self._depth = 0
        self._mode: Mode = "between"
        self._broken = False

    def feed(self, data: bytes) -> list[Frame]:
        """The values that `data` completes."""
        frames: list[Frame] = []
        at = self._flat_lines(data, frames) if self._mode == "between" else 0
        while not self._broken and at < len(data):
            found = STOPS[self._mode].search(data, at)
            end = found.end() if found else len(data)
            done = found is not None and self._step(data[found.start()])
            if done and self._mode == "loose":
                end -= 1  # the byte that ends a loose run belongs to what follows
            if self._mode != "between" or done:
                self._held += data[found.start() if found and not self._held else at : end]
            if len(self._held) > self._max:
                self._broken = True
                frames.append(Malformed(f"an object of the stream has more than {self._max} bytes"))
            elif done:
                frames.append(self._take())
            at = end
        return frames

    def _flat_lines(self, data: bytes, frames: list[Frame]) -> int:
        """Whole lines at the start of `data` that hold one object without another bracket; where they end.

        That is what gateways mostly send, and what the scan below would find too, at ten times the cost.
        """
        at = 0
        while (end := data.find(b"\n", at)) >= 0:
            line = data[at:end].strip(b" \t\r")
            if line:
                flat = line[0] == 0x7B and line[-1] == 0x7D and line.count(b"{") == 1 == line.count(b"}")
                if not flat or b"[" in line or b"]" in line or len(line) > self._max:
                    break
                frames.append(Value(line.decode("utf-8", "replace")))
            at = end + 1
        return at

    def _step(self, byte: int) -> bool:
        """Move on at a byte that matters; True where a value is complete with it."""
        if self._mode == "between":
            self._mode, self._depth = ("nested", 1) if byte in b"{[" else ("loose", 0)
        elif self._mode == "nested":
            if byte == 0x22:
                self._mode = "string"
            else:
                self._depth += 1 if byte in b"{[" else -1
                return self._depth == 0
        elif self._mode == "string":
            if byte == 0x0A:
                return True
            self._mode = "escape" if byte == 0x5C else "nested"
        elif self._mode == "escape":
            self._mode = "string"
        else:
            return True
        return False

    def _take(self) -> Value:
        value = Value(self._held.decode("utf-8", "replace").strip())
        self._held.clear()
        self._mode = "between"
        return value
