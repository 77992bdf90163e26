"""Token counts as upstreams send them. Pure."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from streamweir.events import UsageUpdate

COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")

MOST: Final = 2**63 - 1
"""The largest number that is taken from the wire. JSON's may have thousands of digits, which no float and no message
holds."""


def count(value: Any) -> int | None:
    """A number that counts something; what is none counts as not given."""
    return value if type(value) is int and 0 <= value <= MOST else None


def usage_update(usage: dict[str, Any]) -> UsageUpdate:
    """Token counts of a `usage` object; what else it holds is kept as details."""
    prompt, completion, total = (count(usage.get(key)) for key in COUNTS)
    details = {key: value for key, value in usage.items() if key not in COUNTS and value is not None}
    return UsageUpdate(prompt, completion, total, details or msgspec.UNSET)


def usage_object(event: UsageUpdate) -> dict[str, Any]:
    """The `usage` object of a chunk."""
    return {k: getattr(event, k) for k in COUNTS if getattr(event, k) is not None} | (event.details or {})
