"""What one upstream may be sent: requests a minute, requests at a time, and the pauses that it asks for. Pure.

A request asks for its turn, says when it is sent, and when it is over. Who cannot go at once waits, first in first out.
Times are seconds on a monotonic clock, and arguments.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final

import msgspec

from streamweir.flows.backoff import RetryPolicy, backoff
from streamweir.flows.handshake import Failure
from streamweir.flows.turns import Denied, Turn
from streamweir.report import RateLimitReport

WINDOW: Final = 60.0
"""Seconds in which the requests of a budget are counted: the platform's limits are a minute's."""

SPACING: Final = 0.05
"""Seconds between two requests that waited: few enough leave before the first answer comes, which may be the next 429.
A budget of more than 1,200 a minute has its own, smaller distance, so that waiting never costs a part of it."""

MAX_HALVINGS: Final = 6
"""Behind a pause the distance halves with each second in which no 429 comes; below a millisecond it is none."""

MAX_PAUSE: Final = 3600.0
"""Seconds. What asks for more may be a mistake, and is asked again after an hour: nothing else would end the pause."""

UNKNOWN: Final = 1.0
"""Seconds: what a client is told where nobody can know when there is room again."""

DEFAULTS: Final = RetryPolicy()
"""How long a 429 without `Retry-After` pauses an upstream: the longest of the backoff's waits."""


class BudgetPolicy(msgspec.Struct, frozen=True):
    """0 is no limit. `assumed`: nobody configured the number, so that what the upstream says stands in its place."""

    requests_per_minute: int = 0
    concurrent: int = 0
    assumed: bool = False


class BudgetState(msgspec.Struct, frozen=True):
    """A budget at one moment: `used` of `limit` in the last minute (0: not counted), requests on their way and waiting,
    the seconds for which the upstream is paused, and how often it was.
    """

    limit: int
    used: int
    on_their_way: int
    waiting: int
    paused: float
    pauses: int


class Budget:
    """The budget of one upstream. `limit` is the one in force, 0 where none is; `waiting` are those who wait."""

    __slots__ = (
        "_accepted",
        "_granted",
        "_last",
        "_left",
        "_left_at",
        "_left_until",
        "_paused_until",
        "_pauses",
        "_recovering",
        "_refusals",
        "_sent",
        "_total",
        "limit",
        "on_their_way",
        "policy",
        "waiting",
    )

    def __init__(self, policy: BudgetPolicy) -> None:
        self.policy = policy
        self.limit = policy.requests_per_minute
        self.on_their_way = 0
        self._sent: deque[float] = deque()
        self._granted = 0
        self._total = 0
        self.waiting: OrderedDict[Turn, None] = OrderedDict()
        self._last = float("-inf")
        self._paused_until = float("-inf")
        self._pauses = 0
        self._refusals = 0
        self._recovering = False
        self._accepted = True
        # what the upstream said is left, as of which of our requests, and until when that holds
        self._left = self._left_at = 0
        self._left_until = float("-inf")

    # -- a request's way -------------------------------------------------------------------------------

    def ask(self, now: float, latest: float) -> Turn:
        """A turn for one request: granted, denied, or waiting until `latest` at most."""
        turn = Turn(now, latest)
        if not self.waiting and self._opens(0, now) <= now and self._place():
            self._grant(turn, now)
            return turn
        turn.reason = self._reason(now)
        if (opens := self._opens(len(self.waiting), now)) > latest:
            self._deny(turn, opens, now)
        else:
            self.waiting[turn] = None
        return turn

    def serve(self, now: float) -> list[Turn]:
        """Grant whoever's turn has come, and give them."""
        served: list[Turn] = []
        while self.waiting and self._place() and self._opens(0, now) <= now:
            turn, _ = self.waiting.popitem(last=False)
            self._grant(turn, now)
            served.append(turn)
        return served

    def expire(self, turn: Turn, now: float) -> None:
        """A turn that waited as long as it may; one that does not wait stays as it is."""
        if turn in self.waiting:
            del self.waiting[turn]
            self._deny(turn, self._opens(0, now), now)

    def sent(self, turn: Turn, now: float) -> bool:
        """Its request is written now, and from its grant until a minute behind this it counts.

        Not where the upstream was paused since the grant: then it must not be written, and needs another turn.
        """
        if turn.pause != self._pauses:
            return False
        turn.sent = True
        self._granted -= 1
        self._total += 1
        turn.number = self._total
        if self.limit:
            self._sent.append(now)
        return True

    def over(self, turn: Turn) -> None:
        """Its request is over, or nobody wants it any more. What was never sent does not count."""
        self.waiting.pop(turn, None)
        over, turn.over = turn.over, True
        if turn.granted and not over:
            self.on_their_way -= 1
            if not turn.sent:
                self._granted -= 1

    # -- what the upstream says ------------------------------------------------------------------------

    def heard(self, turn: Turn, said: RateLimitReport | None, now: float) -> list[Turn]:
        """What the headers of an answer say of the budget; those who now wait in vain. Who turned it off is not bound.

        `count` holds what others used, so that it wins until its `reset`; requests sent after this one come on top.
        """
        policy = self.policy
        if said is None or not policy.requests_per_minute:
            return []
        if turn.number < self._left_at and now < self._left_until:
            # an answer that was overtaken knows less
            return []
        if said.allowed:
            self.limit = said.allowed if policy.assumed else min(said.allowed, policy.requests_per_minute)
        if said.count is not None and said.allowed is not None:
            self._left = said.allowed - said.count
            self._left_at = turn.number
            self._left_until = now + min(WINDOW if said.reset is None else said.reset, MAX_PAUSE)
        return self._in_vain(now)

    def answered(self, turn: Turn, failure: Failure | None, now: float) -> list[Turn]:
        """What became of its request; those who now wait in vain. One that was accepted goes on until it is `over`."""
        if failure is not None:
            self.over(turn)
            if failure.status == 429:
                return self._pause(turn, failure.retry_after, now)
        if (failure is None or failure.status) and turn.pause == self._pauses:
            # sent behind the last pause, and answered with anything else: the upstream takes requests again
            self._refusals = 0
            self._accepted = True
            self._recovering = self._recovering and bool(self.waiting)
        return []

    def _pause(self, turn: Turn, retry_after: float | None, now: float) -> list[Turn]:
        if turn.pause == self._pauses:
            self._pauses += 1
            self._refusals += 1
        self._recovering, self._accepted = True, False
        seconds = backoff(DEFAULTS, max(1, self._refusals), 1.0, None) if retry_after is None else retry_after
        self._paused_until = max(self._paused_until, now + min(seconds, MAX_PAUSE))
        return self._in_vain(now)

    # -- who looks -------------------------------------------------------------------------------------

    def due(self, now: float) -> float | None:
        """When to `serve` next; None where nobody waits, or for an end of a request only."""
        return self._opens(0, now) if self.waiting and self._place() else None

    @property
    def first(self) -> Turn | None:
        """Who waits longest."""
        return next(iter(self.waiting), None)

    def state(self, now: float) -> BudgetState:
        """What a user or a metric may want to know of it."""
        self._forget(now)
        used = len(self._sent) + self._granted if self.limit else 0
        paused = max(0.0, self._paused_until - now)
        return BudgetState(self.limit, used, self.on_their_way, len(self.waiting), paused, self._pauses)

    # -- the rest --------------------------------------------------------------------------------------

    def _grant(self, turn: Turn, now: float) -> None:
        turn.granted = True
        turn.waited = now - turn.asked_at
        turn.pause = self._pauses
        self._last = now
        self._granted += 1
        self.on_their_way += 1
        if self._accepted and not self.waiting:
            self._recovering = False

    def _deny(self, turn: Turn, opens: float, now: float) -> None:
        left = opens - now if opens > now else UNKNOWN
        paused = self._paused_until > now
        turn.denied = Denied(left, "upstream_paused" if paused else "budget_spent", self._reason(now))

    def _in_vain(self, now: float) -> list[Turn]:
        denied: list[Turn] = []
        kept = 0
        for turn in list(self.waiting):
            if (opens := self._opens(kept, now)) > turn.latest:
                del self.waiting[turn]
                self._deny(turn, opens, now)
                denied.append(turn)
            else:
                kept += 1
        return denied

    def _place(self) -> bool:
        return not self.policy.concurrent or self.on_their_way < self.policy.concurrent

    def _opens(self, position: int, now: float) -> float:
        """The moment before which the one at `position` in the queue cannot go; for the first one, when it can."""
        at = max(now, self._paused_until, self._room(position, now) if self.limit else now)
        if position or not (self.waiting or self._recovering):
            # nobody is spaced out who neither waits nor comes behind a pause
            return at
        return max(at, self._last + self._spacing(now))

    def _room(self, position: int, now: float) -> float:
        self._forget(now)
        at = now
        sent = self._sent
        missing = position - (self.limit - len(sent) - self._granted)
        if missing >= 0:
            # those that are granted and not yet sent count for a minute from then on
            at = sent[missing] + WINDOW if missing < len(sent) else now + WINDOW
        if now < self._left_until and position >= self._left - (self._total - self._left_at) - self._granted:
            at = max(at, self._left_until)
        return at

    def _forget(self, now: float) -> None:
        sent = self._sent
        while sent and sent[0] + WINDOW <= now:
            sent.popleft()

    def _spacing(self, now: float) -> float:
        spacing = min(SPACING, WINDOW / self.limit) if self.limit and self.waiting else 0.0
        if self._recovering:
            seconds = max(0, int(now - self._paused_until))
            spacing = max(spacing, SPACING / 2**seconds if seconds < MAX_HALVINGS else 0.0)
        return spacing

    def _reason(self, now: float) -> str:
        """Why a request cannot go at once."""
        if (left := self._paused_until - now) > 0:
            return f"the upstream answered 429 and is paused for another {left:.1f} s"
        if not self._place():
            return f"{self.on_their_way} requests are on their way, and no more are allowed at a time (concurrent)"
        if self.limit and self._room(0, now) > now:
            return f"the request budget of {self.limit} a minute is spent"
        return "others wait for the same upstream"
