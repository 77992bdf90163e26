"""When another profile is asked instead: before the first content only, and never where the request is wrong. Pure."""

from __future__ import annotations

from typing import Final

from streamweir.errors import APIStatusError, RequestError, StreamweirError
from streamweir.events import End

WRONG_REQUEST: Final = frozenset((400, 413, 422))
"""Statuses by which an upstream says that what was asked is wrong; another one would be asked the same."""

FAILURES: Final = frozenset(
    ("stream_interrupted", "upstream_lost", "stream_stalled", "stream_timed_out", "upstream_error", "protocol_error")
)
"""Codes of ends, before any content, that another profile may not have."""


def falls_back(error: StreamweirError) -> bool:
    """Whether a refusal is one that another profile may not have. The deadline is the call's, whoever is asked."""
    if isinstance(error, RequestError) or getattr(error, "limit", None) == "deadline":
        return False
    if error.code == "records_unavailable":
        # nobody may be asked
        return False
    return not (isinstance(error, APIStatusError) and error.status in WRONG_REQUEST)


def ended_early(end: End) -> bool:
    """Whether an end before any content is one that another profile may not have."""
    return end.code in FAILURES and end.limit != "deadline"
