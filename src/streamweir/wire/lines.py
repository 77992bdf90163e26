"""Bytes to lines, whatever the chunking."""

from __future__ import annotations


class LineSplitter:
    """Splits a byte stream at CR, LF and CRLF, and at nothing else.

    A line is handed out as soon as its end is certain: a CR at the end of a read ends its line at once, and an LF
    that opens the next read is then part of it. `bytes.splitlines` knows exactly these three ends (it is
    `str.splitlines` that also splits at U+2028 and others). `held` counts the bytes of an unfinished line.
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
            if data[0] == 0x0A:
                data = data[1:]
        if not data:
            return []
        lines = data.splitlines()
        last = data[-1]
        if self._held:
            if len(lines) == 1 and last not in b"\r\n":
                self._held += data
                self.held = len(self._held)
                return []
            self._held += lines[0]
            lines[0] = bytes(self._held)
            self._held.clear()
            self.held = 0
        if last == 0x0D:
            self._after_cr = True
        elif last != 0x0A:
            self._held += lines.pop()
            self.held = len(self._held)
        return lines

    def rest(self) -> bytes:
        """The unfinished line at the end of the stream."""
        return bytes(self._held)
