"""Bytes to lines, whatever the chunking."""

from __future__ import annotations

from typing import Final

CR: Final = 0x0D


class LineSplitter:
    """Splits a byte stream at CR, LF and CRLF, and at nothing else.

    A line is handed out as soon as its end is certain: a CR at the end of a read ends its line at once, and an LF
    that opens the next read is then part of it. `held` counts the bytes of an unfinished line.
    """

    __slots__ = ("_after_cr", "_held", "held")

    def __init__(self) -> None:
        # a buffer and no list of pieces: an object a piece is thirty times the bytes where reads are short
        self._held = bytearray()
        self.held = 0
        self._after_cr = False

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that `data` completes, without their ends."""
        if self._after_cr and data:
            self._after_cr = False
            data = data.removeprefix(b"\n")
        if CR in data:
            self._after_cr = data[-1] == CR
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = data.split(b"\n")
        if self._held:
            self._held += lines[0]
            self.held = len(self._held)
            if len(lines) == 1:
                return []
            lines[0] = bytes(self._held)
            self._held.clear()
            self.held = 0
        rest = lines.pop()
        if rest:
            self._held += rest
            self.held = len(rest)
        return lines

    def rest(self) -> bytes:
        """The unfinished line at the end of the stream."""
        return bytes(self._held)
