"""What is said of a mistake in a configuration: what was probably meant, and where it stands."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any


def among(name: str, known: Mapping[str, Any] | tuple[str, ...]) -> str:
    """What is known, for a name that is not: the one that was probably meant, else all."""
    close = get_close_matches(name, list(known), 1, 0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known are {', '.join(sorted(known))}" if known else "and none is configured"


def readable(message: str) -> str:
    """Msgspec's words with the path in front: "Expected `int`, got `str` - at `$.server.body_limit`"."""
    what, _, at = message.partition(" - at `$.")
    return f"{at.rstrip('`')}: {what}" if at else what
