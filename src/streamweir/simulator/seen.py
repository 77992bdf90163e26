"""What the simulator remembers of a request, for tests to ask about. Pure."""

from __future__ import annotations

from typing import Final

import msgspec

MAX_SEEN: Final = 10_000
"""Requests that are remembered; a soak test makes more, and only the last matter."""


class Seen(msgspec.Struct):
    """A completion request as the simulator saw it. Times are monotonic seconds."""

    path: str
    model: str
    request_id: str | None
    opened: float
    status: int = 0
    outcome: str = "open"
    closed: float | None = None
    written: int = 0
