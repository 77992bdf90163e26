"""When a cached token is used, renewed early, or waited for. Pure: the clock is an argument.

- A token is renewed a margin before it expires: 60 s, and never more than half of its life.
- Within the margin the old token still serves, while one renewal is under way; if that fails, no stream fails.
- An expired or refused token serves nobody: everyone waits for the one renewal.
"""

from __future__ import annotations

from typing import Literal

import msgspec

MARGIN = 60.0
"""Seconds. The tutorials use 5, 60 and 300; half of the token's life bounds it for short-lived ones."""

Verdict = Literal["fresh", "ageing", "missing"]


class CachedToken(msgspec.Struct, frozen=True):
    """A token and its times on the monotonic clock, in seconds."""

    value: str
    renew_at: float
    expires_at: float

    def __repr__(self) -> str:
        return f"CachedToken(renew_at={self.renew_at:.1f}, expires_at={self.expires_at:.1f})"


def cache(value: str, expires_in: float, asked_at: float) -> CachedToken:
    """A token as it is cached. Its life counts from when it was asked for, the earliest it can have begun."""
    expires_at = asked_at + expires_in
    return CachedToken(value, expires_at - min(MARGIN, expires_in / 2), expires_at)


def verdict(token: CachedToken | None, now: float) -> Verdict:
    """Whether a token can be used at `now`, and whether it should be renewed."""
    if token is None or now >= token.expires_at:
        return "missing"
    return "ageing" if now >= token.renew_at else "fresh"
