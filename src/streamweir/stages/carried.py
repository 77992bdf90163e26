"""What goes through a guard of what the event model does not know: what cannot be a piece of text."""

from __future__ import annotations

import re
from typing import Any, Final

from msgspec import UNSET, UnsetType

from streamweir.events import Extra

SAFE_KEYS: Final = frozenset(("system_fingerprint", "service_tier", "native_finish_reason", "provider"))
"""Keys whose words describe the answer and not what it says."""

WORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9_./:-]{0,63}")

MAX_NUMBER: Final = 10**9
"""Numbers of ten digits and more may be somebody's."""


def carried(extra: Extra | UnsetType) -> tuple[Extra | UnsetType, int]:
    """The part of `extra` that may leave, and how many of its values may not."""
    if not extra:
        return UNSET, 0
    kept, dropped = _kept(extra)
    return kept or UNSET, dropped


def _kept(keys: dict[str, Any]) -> tuple[dict[str, Any], int]:
    out: dict[str, Any] = {}
    dropped = 0
    for key, value in keys.items():
        if isinstance(value, dict):
            inside, more = _kept(value)  # pyright: ignore[reportUnknownArgumentType]
            dropped += more
            if inside:
                out[key] = inside
        elif _harmless(key, value):
            out[key] = value
        else:
            dropped += 1
    return out, dropped


def _harmless(key: str, value: Any) -> bool:
    if isinstance(value, str):
        return key in SAFE_KEYS and WORD.fullmatch(value) is not None
    if isinstance(value, int | float):
        return abs(value) < MAX_NUMBER
    return value is None
