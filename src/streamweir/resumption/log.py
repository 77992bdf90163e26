"""The log of one stream: what was released, by position, with its end. Pure; a store keeps many of them.

    epoch = log.take_over(now)                      # a producer begins, or ends what one that is gone has begun
    log.append(Append(epoch, 0, (b"…",)), now)      # before anything of it is sent
    log.read(after=-1)                              # everything from there on
    log.append(Append(epoch, 7, (b"…",), last=True), now)

Whatever happens between a producer and its log, positions stay dense: an entry that is there already is passed over,
one that would leave a hole is refused, and a producer whose place was taken is refused for ever. Every time is the
store's own: nobody else's clock decides who may produce, or what is forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from streamweir.resumption.entries import Entries

LEASE: Final = 15.0
"""Seconds without a word of its producer after which a stream may be taken over. The producer's side: lease.py."""


class LogError(Exception):
    """An append or a read that the log does not take."""


class Fenced(LogError):
    """Another producer took over: whoever gets this produces nothing more, whatever it still has."""


class Held(LogError):
    """The stream has a producer that is heard of."""


class Hole(LogError):
    """An append that leaves positions out: send again what came before it."""


class Closed(LogError):
    """The stream has ended."""


class Trimmed(LogError):
    """Entries behind the position that is asked for are kept no more."""


class Append(msgspec.Struct, frozen=True):
    """Entries from position `first` on, by the producer of `epoch`. `last`: the last of them ends the stream.

    One without entries says that its producer lives.
    """

    epoch: int
    first: int
    entries: Sequence[bytes]
    last: bool = False


class Log(Entries):
    """See the module's docstring."""

    __slots__ = ("cancelled", "ended", "epoch", "heard_at", "read_at", "read_upto")

    def __init__(self) -> None:
        super().__init__()
        self.epoch = 0
        self.heard_at = float("-inf")
        self.read_at = float("-inf")
        self.read_upto = -1
        self.cancelled = False
        self.ended = False

    def silent(self, now: float) -> bool:
        """Whether the stream has not ended and its producer is not heard of: somebody must take over, and end it."""
        return not self.ended and now - self.heard_at >= LEASE

    def take_over(self, now: float) -> int:
        """Begin to produce; the epoch of whoever does. Raises Held where somebody is at it, Closed behind the end.

        A stream that had a producer cannot go on where that one stopped: what is appended then is its end.
        """
        if self.ended:
            raise Closed
        if not self.silent(now):
            raise Held
        self.epoch += 1
        self.heard_at = now
        self.read_at = max(self.read_at, now)
        return self.epoch

    def append(self, append: Append, now: float) -> int:
        """Keep entries; the next position. Entries that are there already are passed over. Raises LogError."""
        if append.epoch != self.epoch:
            raise Fenced
        self.heard_at = now
        if append.first > self.next:
            raise Hole
        new = append.entries[self.next - append.first :]
        if self.ended:
            if new:
                raise Closed
            return self.next
        self.add(new)
        self.ended = append.last
        return self.next

    def read(self, after: int, most: int = 1 << 62) -> Sequence[bytes]:
        """Entries behind a position, up to about `most` bytes; none where there are none. Raises Trimmed."""
        if after + 1 < self.first:
            raise Trimmed
        return self.since(after + 1, most)

    def attend(self, after: int, now: float) -> None:
        """Somebody reads the stream, and was sent everything up to `after`."""
        self.read_at = now
        self.read_upto = max(self.read_upto, min(after, self.next - 1))

    def unattended(self, now: float, window: float) -> bool:
        """Whether nobody has read the stream for the window, nor has it begun in it."""
        return now - self.read_at >= window

    def cancel(self) -> None:
        """Nobody wants the rest of the stream: its producer is told with the next answer, and ends it."""
        self.cancelled = True

    def unwanted(self, now: float, window: float) -> bool:
        """Whether its producer should end the stream: it was cancelled, or nobody has come for the window."""
        return self.cancelled or self.unattended(now, window)

    def over(self, now: float, window: float) -> bool:
        """Whether the log may be forgotten: the stream has ended, and nobody came for it for the window."""
        return self.ended and self.unattended(now, window) and now - self.heard_at >= window
