"""What a WebSocket's client sends, as far as its frames' heads say: masks, and messages that do not end. Pure."""

from __future__ import annotations

from typing import Final

FINAL: Final = 0x80
MASKED: Final = 0x80
CONTROL: Final = 0x08


class Frames:
    """Follows frames over any split. `unmasked` says that one came without a mask, which RFC 6455 (5.1) forbids.

    `since` is when the first byte of a message came that has not ended, in frames or fragments; None: no such message.
    """

    __slots__ = ("_fragments", "_head", "_left", "since", "unmasked")

    def __init__(self) -> None:
        self._head = bytearray()
        self._left = 0
        self._fragments = False
        self.unmasked = False
        self.since: float | None = None

    def feed(self, data: bytes, now: float) -> None:
        """A read."""
        at, size = 0, len(data)
        while at < size and not self.unmasked:
            if self._left:
                step = min(self._left, size - at)
                at += step
                self._left -= step
            else:
                self._head.append(data[at])
                at += 1
                self._begin()
            if self._left or self._head or self._fragments:
                self.since = now if self.since is None else self.since
            else:
                self.since = None

    def _begin(self) -> None:
        """The head of a frame, once it is whole."""
        head = self._head
        if len(head) < 2:
            return
        self.unmasked = not head[1] & MASKED
        length = head[1] & 0x7F
        more = 2 if length == 126 else 8 if length == 127 else 0
        if len(head) < 2 + more + 4:
            return
        self._left = int.from_bytes(head[2 : 2 + more]) if more else length
        if not head[0] & CONTROL:
            self._fragments = not head[0] & FINAL
        self._head = bytearray()
