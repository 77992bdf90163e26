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


def _nobody() -> None:
    """Nobody waits for this turn yet."""


class Turn(msgspec.Struct, eq=False):
    """One request's turn: neither `granted` nor `denied` while it waits.

    `asked_at` and `latest` say how long it may wait, `waited` how long it did and `reason` what for. `number` is its
    place among all that were sent; `pause` counts the upstream's pauses before its grant. `wake` is the waiter's own.
    """

    asked_at: float
    latest: float
    granted: bool = False
    denied: Denied | None = None
    waited: float = 0.0
    reason: str = ""
    sent: bool = False
    over: bool = False
    number: int = 0
    pause: int = 0
    wake: Callable[[], None] = _nobody

    @property
    def waits(self) -> bool:
        """Whether it is still open what becomes of it."""
        return not self.granted and self.denied is None and not self.over
