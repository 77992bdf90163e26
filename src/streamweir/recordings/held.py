"""What is held back of a recording until the guard has decided about its text, in order. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from streamweir.recordings.channels import Channel
from streamweir.recordings.leaves import points
from streamweir.recordings.pieces import MASK

MAX_HELD: Final = 1024 * 1024
"""Characters that are held back; beyond them, what is not decided is masked."""

OVERHEAD: Final = 256
"""Characters that a held piece counts for besides its own, so that empty ones are bounded too."""


class Waiting(msgspec.Struct):
    """A string whose characters are a channel's, from `start` to `end`. `again`: others may have the same ones."""

    channel: Channel
    start: int
    end: int
    raw: str
    again: bool = False


class Held(msgspec.Struct):
    """What is to be written: bytes that `wrap` makes of the parts, or a line of its own."""

    at: float
    wrap: Callable[[str], bytes] | None
    parts: list[str | Waiting]
    line: msgspec.Struct | None = None

    @property
    def size(self) -> int:
        """Characters, about."""
        return OVERHEAD + sum(len(part if isinstance(part, str) else part.raw) for part in self.parts)


class Queue:
    """What is held, in the order in which it came."""

    def __init__(self) -> None:
        self._held: deque[Held] = deque()
        self._size = 0

    def add(self, held: Held) -> None:
        """Hold one more."""
        self._held.append(held)
        self._size += held.size

    def mask(self) -> None:
        """Show nothing of what still waits."""
        for held in self._held:
            held.parts = [part if isinstance(part, str) else MASK * (part.end - part.start) for part in held.parts]
        self._size = sum(held.size for held in self._held)

    def ready(self) -> Iterator[tuple[float, bytes] | msgspec.Struct]:
        """What is decided, in order; what came at one time in one piece."""
        out, at = b"", 0.0
        while self._held and (self._size > MAX_HELD or self._decided(self._held[0])):
            held = self._held.popleft()
            self._size -= held.size
            if out and (held.line is not None or held.at != at):
                yield at, out
                out = b""
            if held.line is not None:
                yield held.line
            elif held.wrap is not None:
                at = held.at
                out += held.wrap("".join(part if isinstance(part, str) else self._shown(part) for part in held.parts))
        if out:
            yield at, out

    @staticmethod
    def _decided(held: Held) -> bool:
        return all(isinstance(part, str) or part.end <= part.channel.decided for part in held.parts)

    @staticmethod
    def _shown(part: Waiting) -> str:
        channel, start, end = part.channel, part.start, part.end
        if channel.decided < end:
            channel.give_up(end)
        out = points(part.raw)
        for first, last in channel.covers(start, end):
            for number in range(max(first, start) - start, min(last, end) - start):
                out[number] = MASK
        if not part.again:
            # a frame may have one piece of text under two keys
            channel.forget(start)
        return "".join(out)
