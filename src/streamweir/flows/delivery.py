"""What becomes of a delivery: what an answer means, when the next try is. Pure: time and randomness are arguments."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from streamweir.flows.backoff import parse_retry_after

MINUTE: Final = 60.0
HOUR: Final = 3600.0
DAY: Final = 86400.0

WAITS: Final = (5.0, MINUTE, 5 * MINUTE, 30 * MINUTE, *(hours * HOUR for hours in (2, 5, 10, 14, 18, 22)))
"""Seconds before each further try, 71.6 h in all: an outage that begins on a Friday evening is over by Monday."""

TRIES: Final = len(WAITS) + 1
"""The first and those behind each wait; the last one that fails leaves a dead letter."""

SOONER: Final = 0.2
"""The part of a wait that jitter takes away, so that what failed together does not come back together."""

LONGEST: Final = DAY
"""Seconds of a `Retry-After` that are believed: an endpoint may not put a delivery off for ever."""

REDIRECTS: Final = range(300, 400)
BUSY: Final = (429, 503)
"""The statuses whose `Retry-After` says when to come again."""


class Outcome(NamedTuple):
    """How a try ended. `gone`: this target wants no more deliveries, ever; `refused`: it will not take this one, ever.

    `reason` is for people, and holds no more of an answer than its status; `retry_after` is in seconds.
    """

    verdict: Literal["delivered", "failed", "gone", "refused"]
    reason: str = ""
    retry_after: float | None = None


class Next(NamedTuple):
    """What to write: it is done, due again at `due_at` (seconds since the epoch), or a dead letter.

    `disable`: so is everything else for this target.
    """

    state: Literal["done", "due", "dead"]
    due_at: float = 0.0
    disable: bool = False


def answered(status: int, retry_after: str | None, wall: float) -> Outcome:
    """What an endpoint's answer means. `retry_after` is that header; `wall` the present in seconds since the epoch."""
    if 200 <= status < 300:
        return Outcome("delivered")
    if status == 410:
        return Outcome("gone", "HTTP 410: the endpoint wants no more deliveries")
    if status in REDIRECTS:
        return Outcome("failed", f"HTTP {status}: redirects are not followed, give the URL that it leads to")
    return Outcome("failed", f"HTTP {status}", parse_retry_after(retry_after, wall) if status in BUSY else None)


def after(outcome: Outcome, tries: int, now: float, jitter: float) -> Next:
    """What follows the `tries`-th try (from 1) that ended so at `now`. `jitter` is from 0 to 1."""
    if outcome.verdict == "delivered":
        return Next("done")
    if outcome.verdict == "gone":
        return Next("dead", disable=True)
    if outcome.verdict == "refused" or tries >= TRIES:
        return Next("dead")
    wait = WAITS[tries - 1] * (1 - SOONER * jitter)
    if outcome.retry_after is not None:
        wait = max(wait, min(outcome.retry_after, LONGEST) + WAITS[0] * jitter)
    return Next("due", now + wait)
