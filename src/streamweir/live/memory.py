"""The logs of this process's streams, in memory and under a bound of bytes. No input or output."""

from __future__ import annotations

from typing import Final

from streamweir.resumption.log import Append, Log

EACH: Final = 4 * 1024 * 1024
"""Bytes of one stream's log: a reply of 16,000 tokens over the WebSocket, whose frames are the largest."""

ALL: Final = 256 * 1024 * 1024
"""Bytes of all logs."""

TIGHT: Final = 64 * 1024
"""Bytes of one stream's log while all of them are over their bound: enough to come back behind a broken connection."""


class MemoryLogs:
    """Counts what its logs keep. Over the bound new streams are refused, and those that run keep less."""

    __slots__ = ("_tight", "limit", "size")

    def __init__(self, limit: int = ALL, tight: int = TIGHT) -> None:
        self.limit = limit
        """Bytes of all logs; another one holds from then on."""
        self._tight = tight
        self.size = 0

    @property
    def full(self) -> bool:
        """Whether the bound is reached."""
        return self.size >= self.limit

    @property
    def each(self) -> int:
        """Bytes that one log may keep now."""
        return self._tight if self.full else min(EACH, self.limit)

    def append(self, log: Log, append: Append, now: float) -> bool:
        """Keep entries. Whether the log is too large then, or all of them. Raises LogError."""
        before = log.size
        log.append(append, now)
        self.size += log.size - before
        return self.size >= self.limit or log.size > EACH

    def trim(self, log: Log, upto: int) -> None:
        """Forget what every reader that matters has, where the log is too large."""
        before = log.size
        log.trim(upto, self.each)
        self.size += log.size - before

    def crowded(self, log: Log) -> bool:
        """Forget what was read of a log that is too large. Whether it still is: its producer must wait."""
        self.trim(log, log.read_upto)
        return log.size > self.each

    def forget(self, log: Log) -> None:
        """The log is gone."""
        self.size -= log.size
