"""How long to wait before a request is sent again. Wire contract 4. Pure: randomness and time are arguments."""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime

import msgspec


class RetryPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Exponential backoff with full jitter. Seconds; `budget` bounds all waits of one call together.

    `ambiguous` sends again what may have started a generation: each costs money.
    """

    max_tries: int = 3
    base: float = 1.0
    factor: float = 2.0
    cap: float = 10.0
    budget: float = 60.0
    ambiguous: bool = False


def backoff(policy: RetryPolicy, tries: int, jitter: float, retry_after: float | None) -> float:
    """Seconds to wait after the `tries`-th failure (from 1). `jitter` is from 0 to 1.

    `retry_after` is the least wait; the jitter is then added on top, so that waiters do not come back together.
    """
    spread = min(policy.cap, policy.base * policy.factor ** (tries - 1))
    return jitter * spread if retry_after is None else retry_after + jitter * min(policy.base, spread)


def parse_retry_after(value: str | None, wall: float) -> float | None:
    """Seconds that a `Retry-After` header asks for: seconds or an HTTP date. What cannot be read counts as absent.

    `wall` is the present in seconds since the epoch.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, date.timestamp() - wall)
