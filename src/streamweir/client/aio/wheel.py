"""One coarse timer for all streams of an event loop: none per stream, and none per event."""

from __future__ import annotations

import asyncio
import time
from typing import Final, Protocol

from streamweir.stages.limits import NEVER

NOWHERE: Final = -1
"""The slot of a member that is never due."""

TICK = 0.05
"""Seconds between looks. Time limits are seconds long; a twentieth of one more or less is nothing to them."""


class Ticked(Protocol):
    """What the wheel looks after. `due` says when to look next, and is asked anew at each visit."""

    def due(self, now: float) -> float: ...

    def tick(self, now: float) -> None: ...


class Wheel:
    """Visits each member when the `due` it had at the last visit has come."""

    def __init__(self) -> None:
        self._slots: dict[int, dict[Ticked, None]] = {}
        self._members: dict[Ticked, int] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._at = 0

    def add(self, member: Ticked) -> None:
        """Look after `member` until it is removed. Added again, it is asked anew when it is due."""
        now = time.monotonic()
        self._schedule(member, now)
        if self._timer is None:
            self._at = int(now / TICK)
            self._timer = asyncio.get_running_loop().call_later(TICK, self._turn)

    def remove(self, member: Ticked) -> None:
        """Look after it no more, and hold it no more: a stream's slot may be a minute away, and it has its prompt."""
        slot = self._members.pop(member, NOWHERE)
        if slot != NOWHERE:
            self._leave(member, slot)

    def _schedule(self, member: Ticked, now: float) -> None:
        due = member.due(now)
        slot = int(max(due, now) / TICK) + 1 if due != NEVER else NOWHERE
        before = self._members.get(member, NOWHERE)
        self._members[member] = slot
        if slot == before:
            return
        if before != NOWHERE:
            self._leave(member, before)
        if slot != NOWHERE:
            members = self._slots.get(slot)
            if members is None:
                members = self._slots[slot] = {}
            members[member] = None

    def _leave(self, member: Ticked, slot: int) -> None:
        if (members := self._slots.get(slot)) is not None:
            members.pop(member, None)

    def _visit(self, member: Ticked, slot: int, now: float) -> None:
        try:
            member.tick(now)
            if self._members.get(member) == slot:
                self._schedule(member, now)
        except Exception as error:
            # a mistake in one must not stop the time of all others
            self.remove(member)
            context = {"message": "a visit of the wheel failed", "exception": error, "member": member}
            asyncio.get_running_loop().call_exception_handler(context)

    def _turn(self) -> None:
        now = time.monotonic()
        upto = int(now / TICK)
        for slot in range(self._at, upto + 1):
            for member in self._slots.pop(slot, ()):
                if self._members.get(member) == slot:
                    self._visit(member, slot, now)
        self._at = upto + 1
        if self._members:
            self._timer = asyncio.get_running_loop().call_later(TICK, self._turn)
        else:
            self._timer = None
            self._slots.clear()
