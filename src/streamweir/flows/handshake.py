"""From a request to an accepted one: tokens, turns, sending, waiting, giving up. Pure.

    NeedToken -> NeedTurn -> Send -> Opened | Wait | GiveUp        Wait -> NeedToken | NeedTurn

Each state names what it needs and has a method for each answer. No state is reachable from `Opened`, so nothing is
sent again once content may have come.
"""

from __future__ import annotations

from copy import copy
from typing import Literal, TypeAlias, final

import msgspec

from streamweir.errors import APIConnectionError, StreamTimedOut, StreamweirError
from streamweir.events import Retry
from streamweir.flows.backoff import RetryPolicy, backoff
from streamweir.flows.turns import Turn

FailureKind = Literal["refused", "not_connected", "not_now", "stale", "held", "ambiguous", "final", "unsent"]

RETRIED_STATUSES = frozenset((408, 429, 502, 503))
"""Refusals that certainly started no generation. 500 and 504 may have started one, and each costs money."""

MOMENT = 0.25
"""Seconds. A longer wait for a turn is told of in an event; what is shorter is spacing, and nobody's concern."""


LONG = 1e8
"""Seconds: what stands for "no limit" where a timer needs a number."""

AT_ONCE = 0.001
"""Seconds: what stands for "no time", since 0 would be no limit."""

EARLY = 0.002
"""Seconds by which a timer may come before its time: uvloop's count whole milliseconds."""


class Failure(msgspec.Struct, frozen=True):
    """Why a token or a request did not come through.

    `refused`: an error status (in `status`). `not_connected`: no connection was made. `not_now`: a WebSocket was closed
    with a code that asks to come back. `stale`: a reused connection broke before any byte of the answer. `held`: the
    upstream was paused while a connection was made, and nothing was sent. `ambiguous`: the request may have been taken.
    `final`: nothing helps.
    """

    kind: FailureKind
    error: StreamweirError
    status: int = 0
    retry_after: float | None = None


HELD = Failure("held", APIConnectionError("held back: the upstream was paused while a connection was made"))


class Progress(msgspec.Struct, frozen=True):
    """What a call has gone through so far. `attempts` counts requests sent upstream, `failures` what was retried."""

    policy: RetryPolicy
    needs_token: bool
    called_at: float
    deadline_at: float
    attempts: int = 0
    failures: int = 0
    waited: float = 0.0
    renewed: bool = False
    resent: bool = False

    def within(self, now: float, limit: float = 0.0) -> float:
        """The seconds that something may take: its own limit (0: none), and what is left until the deadline.

        Always more than 0 and less than a timer takes; behind the deadline it is over at once.
        """
        seconds = self.deadline_at - now
        if limit and limit < seconds:
            seconds = limit
        return seconds if AT_ONCE < seconds < LONG else max(AT_ONCE, min(seconds, LONG))

    def expired(self, now: float) -> bool:
        """Whether the deadline has come, for what waited until then."""
        return now + EARLY >= self.deadline_at


@final
class NeedToken(msgspec.Struct, frozen=True):
    """A bearer token is needed; with `refused`, another than the cached one, which was not accepted."""

    progress: Progress
    refused: bool = False

    def got(self, token: str | None) -> NeedTurn:
        """Here it is (none: the upstream needs none)."""
        return NeedTurn(self.progress, token)

    def failed(self, failure: Failure, now: float, jitter: float) -> Wait | GiveUp:
        """There is none."""
        limited = failure.kind == "refused" and failure.error.retryable
        if failure.kind == "not_connected" or limited or failure.status in RETRIED_STATUSES:
            return _again(self.progress, failure, now, jitter)
        return GiveUp(self.progress, _told(failure.error))


@final
class NeedTurn(msgspec.Struct, frozen=True):
    """The upstream's budget is to be asked whether the request may go now. Waiting for that is no attempt."""

    progress: Progress
    token: str | None

    def latest(self, now: float, first_token_timeout: float) -> float:
        """Until when it may wait: as long as for a first token (0: no limit), and within its deadline and budget."""
        progress = self.progress
        most = progress.policy.budget - progress.waited
        if first_token_timeout and first_token_timeout < most:
            most = first_token_timeout
        return min(now + most, progress.deadline_at)

    def got(self, turn: Turn) -> Send | GiveUp:
        """The turn has come, or it does not come in time."""
        progress = self.progress
        if turn.denied is not None:
            return GiveUp(progress, turn.denied.error())
        told = None
        if turn.waited >= MOMENT:
            told = Retry(max(1, progress.attempts), turn.waited, f"waited for its turn: {turn.reason}")
        waited = progress.waited + turn.waited
        progress = msgspec.structs.replace(progress, attempts=progress.attempts + 1, waited=waited)
        return Send(progress, self.token, turn, told)


@final
class Send(msgspec.Struct, frozen=True):
    """The request is to be sent, with this token, in this turn. `retry` is the event of a wait for it."""

    progress: Progress
    token: str | None
    turn: Turn
    retry: Retry | None = None

    def accepted(self) -> Opened:
        """The upstream answered 200 or 201."""
        return Opened(self.progress)

    def failed(self, failure: Failure, now: float, jitter: float) -> NeedToken | NeedTurn | Wait | GiveUp:
        """It did not."""
        progress = self.progress
        if failure.status == 401 and progress.needs_token and not progress.renewed:
            return NeedToken(msgspec.structs.replace(progress, renewed=True), refused=True)
        if failure.kind == "unsent":
            return GiveUp(msgspec.structs.replace(progress, attempts=progress.attempts - 1), failure.error)
        if failure.kind == "held":
            return NeedTurn(msgspec.structs.replace(progress, attempts=progress.attempts - 1), self.token)
        if failure.kind == "stale" and not progress.resent:
            return NeedTurn(msgspec.structs.replace(progress, resent=True), self.token)
        return send_again(progress, failure, now, jitter)


@final
class Wait(msgspec.Struct, frozen=True):
    """Wait for `seconds`, then go on. `retry` is the event that tells of it."""

    progress: Progress
    seconds: float
    retry: Retry

    def over(self) -> NeedToken | NeedTurn:
        """The wait is over."""
        return begin(self.progress)


@final
class Opened(msgspec.Struct, frozen=True):
    """The upstream took the request and the answer's body follows."""

    progress: Progress


@final
class GiveUp(msgspec.Struct, frozen=True):
    """Nothing more is tried."""

    progress: Progress
    error: StreamweirError


State: TypeAlias = NeedToken | NeedTurn | Send | Wait | Opened | GiveUp


def begin(progress: Progress) -> NeedToken | NeedTurn:
    """The first state, and the one after a wait."""
    return NeedToken(progress) if progress.needs_token else NeedTurn(progress, None)


def send_again(progress: Progress, failure: Failure, now: float, jitter: float) -> Wait | GiveUp:
    """Whether a request that failed is sent again."""
    certain = failure.kind in ("not_connected", "not_now") or failure.status in RETRIED_STATUSES
    if certain or (failure.kind == "ambiguous" and progress.policy.ambiguous):
        return _again(progress, failure, now, jitter)
    return GiveUp(progress, _told(failure.error))


def _again(progress: Progress, failure: Failure, now: float, jitter: float) -> Wait | GiveUp:
    policy, tried = progress.policy, progress.failures + 1
    if tried >= policy.max_tries:
        return GiveUp(progress, _told(failure.error, f"given up after {tried} tries" if tried > 1 else ""))
    seconds = backoff(policy, tried, jitter, failure.retry_after)
    if progress.waited + seconds > policy.budget:
        return GiveUp(
            progress,
            _told(
                failure.error, f"it asks for a wait of {seconds:.0f} s, beyond the retry budget of {policy.budget:g} s"
            ),
        )
    if now + seconds > progress.deadline_at:
        return GiveUp(progress, _told(failure.error, f"a wait of {seconds:.0f} s would outlast the deadline"))
    return Wait(
        msgspec.structs.replace(progress, failures=tried, waited=progress.waited + seconds),
        seconds,
        Retry(tried, seconds, failure.error.message),
    )


def _told(error: StreamweirError, why: str = "") -> StreamweirError:
    # several streams may wait for one token, and each gets an error of its own to put its report on
    error = copy(error)
    if why:
        error.message = f"{error.message}; {why}"
        error.args = (error.message,)
    return error


def deadline_error(limit: str, sentence: str) -> StreamTimedOut:
    """The error of a call whose time ran out before it was accepted."""
    error = StreamTimedOut(sentence, code="stream_timed_out")
    error.limit = limit
    return error
