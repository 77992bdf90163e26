"""How late the event loop is: one timer for the process, whose lateness every stream has beside its own."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from typing import Final

EVERY: Final = 0.5
"""Seconds between samples: two wake-ups a second cost nothing, and a loop that is late stays so for longer."""

BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Seconds: from a timer's own jitter to what every user sees."""

WINDOW: Final = 60.0
"""Seconds that `worst` looks back, at least: longer than the usual time between two scrapes, whoever else scrapes."""


class Lag:
    """Counts how late its own timer comes. `start` and `stop` belong to the loop that is measured."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.total = 0.0
        self._worst = (0.0, 0.0)
        self._window_ends = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def worst(self) -> float:
        """The longest of the last one to two minutes, in seconds."""
        return max(self._worst)

    def start(self) -> None:
        """Measure from now on."""
        loop = asyncio.get_running_loop()
        due = loop.time() + EVERY
        self._timer = loop.call_at(due, self._come, due)

    def stop(self) -> None:
        """Measure no more."""
        if self._timer is not None:
            self._timer.cancel()

    def late(self, seconds: float, now: float) -> None:
        """One sample."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds
        if now >= self._window_ends:
            self._worst = (0.0, self._worst[0])
            self._window_ends = now + WINDOW
        self._worst = (max(self._worst[0], seconds), self._worst[1])

    def _come(self, due: float) -> None:
        now = asyncio.get_running_loop().time()
        self.late(max(0.0, now - due), now)
        self.start()
