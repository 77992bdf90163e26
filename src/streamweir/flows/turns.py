"""A request's turn at an upstream, and what becomes of it. Pure."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from streamweir.errors import RateLimitError


class Denied(msgspec.Struct, frozen=True):
    """Why a request may not go, and the seconds after which another may."""

    seconds: float
    code: str
    reason: str

    def error(self) -> RateLimitError:
        """It, for the caller: the same class as the upstream's own 429."""
        message = f"{self.reason}; this request may not wait so long: try again in {self.seconds:.1f} s"
        error = RateLimitError(message, code=self.code)
        error.status = 429
        error.retry_after = self.seconds
        return error


class Turn:
    """One request's turn: neither `granted` nor `denied` while it waits.

    `asked_at` and `latest` say how long it may wait, `waited` how long it did and `reason` what for. `number` is its
    place among all that were sent; `pause` counts the upstream's pauses before its grant. `wake` is the waiter's own.
    """

    __slots__ = (
        "asked_at",
        "denied",
        "granted",
        "latest",
        "number",
        "over",
        "pause",
        "reason",
        "sent",
        "waited",
        "wake",
    )

    def __init__(self, asked_at: float, latest: float) -> None:
        self.asked_at = asked_at
        self.latest = latest
        self.granted = False
        self.denied: Denied | None = None
        self.waited = 0.0
        self.reason = ""
        self.sent = False
        self.over = False
        self.number = 0
        self.pause = 0
        self.wake: Callable[[], None] = _nobody

    @property
    def waits(self) -> bool:
        """Whether it is still open what becomes of it."""
        return not self.granted and self.denied is None and not self.over


def _nobody() -> None:
    """Nobody waits for this turn yet."""
