"""Turns at one upstream, for any number of threads. What is decided is flows/budget.py's."""

from __future__ import annotations

import threading
import time

from streamweir.client.sync.cancellation import Cancellation
from streamweir.flows.budget import Budget, BudgetPolicy, BudgetState
from streamweir.flows.handshake import Failure
from streamweir.flows.turns import Turn
from streamweir.report import RateLimitReport

LONG = 1e6
"""Seconds: what stands for "until woken" where an event needs a number."""


class Turns:
    """Those who wait for one upstream. The first of them looks at the clock; the others are woken."""

    def __init__(self, policy: BudgetPolicy) -> None:
        self._lock = threading.Lock()
        self._budget = Budget(policy)

    @property
    def state(self) -> BudgetState:
        """The budget, as it is now."""
        with self._lock:
            return self._budget.state(time.monotonic())

    def take(self, latest: float, cancellation: Cancellation) -> Turn:
        """A turn, granted or denied by `latest`. Raises Cancelled, and then it is nobody's."""
        with self._lock:
            turn = self._budget.ask(time.monotonic(), latest)
            if turn.granted or turn.denied is not None:
                return turn
            woken = threading.Event()
            turn.wake = woken.set
        try:
            while turn.waits:
                with cancellation.waking(woken.set):
                    seconds = self._until(turn, woken)
                    cancellation.check()
                    woken.wait(seconds)
        except BaseException:
            self.over(turn)
            raise
        return turn

    def sent(self, turn: Turn) -> bool:
        """Whether its request may still be written; it must be, at once."""
        with self._lock:
            return self._budget.sent(turn, time.monotonic())

    def heard(self, turn: Turn, said: RateLimitReport | None) -> None:
        """What the headers of its answer say."""
        with self._lock:
            self._wake(self._budget.heard(turn, said, time.monotonic()))

    def answered(self, turn: Turn, failure: Failure | None) -> None:
        """What became of it."""
        with self._lock:
            self._wake(self._budget.answered(turn, failure, time.monotonic()))

    def over(self, turn: Turn) -> None:
        """Its request is over."""
        with self._lock:
            self._budget.over(turn)
            self._wake([])

    def _until(self, turn: Turn, woken: threading.Event) -> float:
        """Serve whoever's turn has come; the seconds after which this one looks again."""
        with self._lock:
            woken.clear()
            now = time.monotonic()
            served = self._budget.serve(now)
            if turn.waits and now >= turn.latest:
                self._budget.expire(turn, now)
            for other in served:
                other.wake()
            if not turn.waits:
                self._wake([])
                return 0.0
            due = self._budget.due(now) if self._budget.first is turn else None
            return max(0.0, min(LONG, turn.latest - now, LONG if due is None else due - now))

    def _wake(self, turns: list[Turn]) -> None:
        # the first one too: it may be another than before, or may go at another time
        for turn in turns:
            turn.wake()
        if (first := self._budget.first) is not None:
            first.wake()
