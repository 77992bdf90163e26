"""One coarse timer for all streams of an event loop: none per stream, and none per event."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

TICK = 0.05
"""Seconds between looks. Time limits are seconds long; a twentieth of one more or less is nothing to them."""


class Ticked(Protocol):
    """What the wheel looks after. `due` says when to look next, and is asked anew at each visit."""

    def due(self, now: float) -> float: ...

    def tick(self, now: float) -> None: ...


class Wheel:
    """Visits each member when the `due` it had at the last visit has come."""

    def __init__(self) -> None:
        self._slots: dict[int, list[Ticked]] = {}
        self._members: set[Ticked] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._at = 0

    def add(self, member: Ticked) -> None:
        """Look after `member` until it is removed."""
        now = time.monotonic()
        self._members.add(member)
        self._schedule(member, now)
        if self._timer is None:
            self._at = int(now / TICK)
            self._timer = asyncio.get_running_loop().call_later(TICK, self._turn)

    def remove(self, member: Ticked) -> None:
        """Look after it no more."""
        self._members.discard(member)

    def _schedule(self, member: Ticked, now: float) -> None:
        due = member.due(now)
        if due != float("inf"):
            slot = max(int(due / TICK), int(now / TICK)) + 1
            self._slots.setdefault(slot, []).append(member)

    def _turn(self) -> None:
        now = time.monotonic()
        upto = int(now / TICK)
        for slot in range(self._at, upto + 1):
            for member in self._slots.pop(slot, ()):
                if member in self._members:
                    member.tick(now)
                if member in self._members:
                    self._schedule(member, now)
        self._at = upto + 1
        if self._members:
            self._timer = asyncio.get_running_loop().call_later(TICK, self._turn)
        else:
            self._timer = None
            self._slots.clear()
