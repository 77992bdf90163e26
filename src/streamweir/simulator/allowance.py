"""A request budget that the simulator keeps, as the platform does: so many in each minute, then 429. Pure."""

from __future__ import annotations

from math import ceil
from typing import Final

WINDOW: Final = 60.0
"""Seconds after which the count begins anew."""


class Allowance:
    """`allowed` requests in each window (0: any number); `violations` counts what came beyond it."""

    def __init__(self, allowed: int) -> None:
        self.allowed = allowed
        self.began: float | None = None
        self.count = 0
        self.violations = 0

    def take(self, now: float) -> bool:
        """Count a request; whether it is one too many."""
        if self.began is None or now - self.began >= WINDOW:
            self.began, self.count = now, 0
        if not self.allowed or self.count < self.allowed:
            self.count += 1
            return False
        self.violations += 1
        return True

    def reset(self, now: float) -> int:
        """Whole seconds until the count begins anew."""
        return ceil(WINDOW if self.began is None else max(0.0, self.began + WINDOW - now))
