"""Both ends of a log: who numbers what is produced, and who notices what is missing of it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from streamweir.resumption.log import Append


class Producer:
    """Gives entries their positions, and keeps them until the log says that it has them.

    Nothing is sent to a reader that is not `logged`: what a client has seen is in the log, whoever dies then. A message
    to the log may be lost, come late or twice; what is sent `again` does no harm where it came.
    """

    __slots__ = ("_waiting", "crowded", "epoch", "logged", "next")

    def __init__(self, epoch: int, next: int = 0) -> None:
        """`next`: where the log was when it gave the epoch."""
        self.epoch = epoch
        self.next = next
        self.logged = next
        """The log has every entry before this position."""
        self.crowded = False
        """The log is full of what nobody has read: the upstream must wait."""
        self._waiting: list[Append] = []

    def offer(self, entries: Sequence[bytes], *, last: bool = False) -> Append:
        """The append for new entries. Raises ValueError for an end without a record of it."""
        if last and not entries:
            raise ValueError("a stream ends with an entry that says how it ended")
        append = Append(self.epoch, self.next, entries, last)
        self.next += len(entries)
        self._waiting.append(append)
        return append

    def acknowledged(self, next: int, *, crowded: bool = False) -> None:
        """The log has everything before that position. Answers may come in any order: an old one says nothing new."""
        if next >= self.logged:
            self.logged, self.crowded = next, crowded
        waiting = self._waiting
        while waiting and waiting[0].first + len(waiting[0].entries) <= next:
            del waiting[0]

    @property
    def unacknowledged(self) -> Sequence[Append]:
        """What the log is not known to have, in order."""
        return tuple(self._waiting)

    def again(self) -> Append:
        """What to send where no answer came: all that is unacknowledged, or at least that the producer lives."""
        waiting = self._waiting
        if not waiting:
            return Append(self.epoch, self.next, ())
        entries = [entry for append in waiting for entry in append.entries]
        return Append(self.epoch, waiting[0].first, entries, waiting[-1].last)


class Reader:
    """What one reader has: everything up to `after`, and nothing twice."""

    __slots__ = ("after",)

    def __init__(self, after: int = -1) -> None:
        self.after = after

    def take(self, first: int, entries: Sequence[bytes]) -> Sequence[bytes] | None:
        """Those that are new, of entries from position `first` on. None: some before them are missing."""
        if first > self.after + 1:
            return None
        new = entries[self.after + 1 - first :]
        self.after += len(new)
        return new
