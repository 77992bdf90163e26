"""Whether a client reads. Times are arguments; no input or output."""

from __future__ import annotations

from typing import Final

LOOK: Final = 0.5
"""Seconds between looks at a client that has not read everything."""


class Patience:
    """Runs out where nothing of what waits for a client is taken for `after` seconds; one that moves has all the time.

    It begins where something waits in our own memory; what the kernel keeps for the client is not taken yet, where the
    system says how much that is.
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

    def gone(self, taken: int, waiting: int, now: float) -> bool:
        """A look: `taken` bytes so far, and so many that wait. True: it has run out, and begins anew."""
        if not waiting:
            self._since, self._taken = None, taken
        elif self._since is None or taken > self._taken:
            self._since, self._taken = now, taken
        elif now - self._since >= self._after:
            self._since = now
            return True
        return False
