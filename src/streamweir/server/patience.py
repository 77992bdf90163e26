"""Whether a client reads. Times are arguments; no input or output."""

from __future__ import annotations

from typing import Final

LOOK: Final = 0.5
"""Seconds between looks at a client that has not read everything."""


class Patience:
    """Runs out where nothing of what waits for a client is taken for `after` seconds; one that moves has all the time.

    Seen are bytes in our own memory: what the kernels hold for the client looks taken.
    """

    __slots__ = ("_after", "_since", "_taken")

    def __init__(self, after: float) -> None:
        self._after = after
        self._since: float | None = None
        self._taken = 0

    @property
    def watching(self) -> bool:
        """Whether something waited at the last look."""
        return self._since is not None

    def gone(self, written: int, waiting: int, now: float) -> bool:
        """A look: of `written` bytes so far `waiting` are not taken. True: it has run out, and begins anew."""
        taken = written - waiting
        if not waiting:
            self._since, self._taken = None, taken
        elif self._since is None or taken > self._taken:
            self._since, self._taken = now, taken
        elif now - self._since >= self._after:
            self._since = now
            return True
        return False
