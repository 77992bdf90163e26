"""Both ends of a log: who numbers what is produced, and who notices what is missing of it. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from streamweir.resumption.log import Append


class Producer:
    """Gives entries their positions, and keeps them until the log says that it has them.

    Nothing is sent to a reader before `acknowledged`: what a client has seen is in the log, whoever dies then.
    """

    __slots__ = ("_waiting", "epoch", "next")

    def __init__(self, epoch: int, next: int = 0) -> None:
        self.epoch = epoch
        self.next = next
        self._waiting: deque[Append] = deque()

    def offer(self, entries: Sequence[bytes], *, last: bool = False) -> Append:
        """The append for new entries."""
        append = Append(self.epoch, self.next, entries, last)
        self.next += len(entries)
        self._waiting.append(append)
        return append

    def acknowledged(self, next: int) -> None:
        """The log has everything before that position."""
        waiting = self._waiting
        while waiting and waiting[0].first + len(waiting[0].entries) <= next:
            waiting.popleft()

    @property
    def unacknowledged(self) -> Sequence[Append]:
        """What must be sent again where no answer came, in order."""
        return tuple(self._waiting)


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
