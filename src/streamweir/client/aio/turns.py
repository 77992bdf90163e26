"""Turns at one upstream, in one event loop. What is decided is flows/budget.py's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

from streamweir.flows.budget import Budget, BudgetPolicy, BudgetState
from streamweir.flows.handshake import Failure
from streamweir.flows.turns import Turn
from streamweir.report import RateLimitReport
from streamweir.stages.limits import NEVER


class Turns:
    """Those who wait for one upstream: each for itself, behind one timer for the first of them."""

    def __init__(self, policy: BudgetPolicy) -> None:
        self._budget = Budget(policy)
        self._timer: asyncio.TimerHandle | None = None

    @property
    def state(self) -> BudgetState:
        """The budget, as it is now."""
        return self._budget.state(time.monotonic())

    async def take(self, latest: float) -> Turn:
        """A turn, granted or denied by `latest`. Cancelled, it is nobody's."""
        now = time.monotonic()
        turn = self._budget.ask(now, latest)
        if turn.waits:
            await self._wait(turn, now)
        return turn

    def sent(self, turn: Turn) -> bool:
        """Whether its request may still be written; it must be, at once."""
        return self._budget.sent(turn, time.monotonic())

    def heard(self, turn: Turn, said: RateLimitReport | None) -> None:
        """What the headers of its answer say."""
        if said is not None:
            self._told(self._budget.heard(turn, said, time.monotonic()))

    def answered(self, turn: Turn, failure: Failure | None) -> None:
        """What became of it."""
        self._told(self._budget.answered(turn, failure, time.monotonic()))

    def over(self, turn: Turn) -> None:
        """Its request is over."""
        self._budget.over(turn)
        if self._budget.waiting:
            self._serve()

    async def _wait(self, turn: Turn, now: float) -> None:
        loop = asyncio.get_running_loop()
        woken: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            if not woken.done():
                woken.set_result(None)

        turn.wake = wake
        expiry = loop.call_later(turn.latest - now, self._expire, turn) if turn.latest < NEVER else None
        self._serve()
        try:
            await woken
        except asyncio.CancelledError:
            self.over(turn)
            raise
        finally:
            if expiry is not None:
                expiry.cancel()

    def _expire(self, turn: Turn) -> None:
        self._budget.expire(turn, time.monotonic())
        self._told((turn,))

    def _told(self, turns: Iterable[Turn]) -> None:
        for turn in turns:
            turn.wake()
        if self._budget.waiting:
            self._serve()

    def _serve(self) -> None:
        """Wake those whose turn has come, and come back for the next."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._budget.waiting:
            return
        now = time.monotonic()
        for turn in self._budget.serve(now):
            turn.wake()
        due = self._budget.due(now)
        if due is not None:
            self._timer = asyncio.get_running_loop().call_later(max(0.0, due - now), self._serve)
