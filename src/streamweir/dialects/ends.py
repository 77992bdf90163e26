"""How decoders end a stream, and what a caller may choose about decoding. Pure."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from streamweir.events import End
from streamweir.genesys.errors import error_of, parse_error

LENGTH_REASONS = frozenset(("length", "max_tokens", "max_output_tokens", "token_limit"))
"""Finish reasons that mean a token limit; OpenAI's is the first, the others are met on compatible servers."""

FILTER_REASONS = frozenset(("content_filter", "safety"))
"""Finish reasons that mean that the upstream's own filter cut the reply."""


class DecodeOptions(msgspec.Struct, frozen=True):
    """What a caller may choose about decoding. Names and defaults are the configuration's.

    `receipts` is off in a replay: what a recording masks was not changed on its way.
    """

    schema: Literal["lenient", "strict"] = "lenient"
    malformed: Literal["fail", "skip"] = "fail"
    end_marker: Literal["done", "finish_reason"] = "done"
    content: Literal["delta", "cumulative"] = "delta"
    receipts: bool = True


def protocol_error(message: str) -> End:
    """The end of a stream whose bytes are not what the dialect says."""
    return End("failed", code="protocol_error", message=message, error_type="ProtocolError")


def upstream_error(value: Any) -> End:
    """The end of a stream that carried an error object; `value` is that object, decoded or as text."""
    error = parse_error(value) if isinstance(value, str) else error_of(value)
    return End(
        "failed",
        code="upstream_error",
        message=f"the upstream reported an error: {error.message or error.code or 'it gave no message'}",
        error_type="StreamFailed",
        error_status=error.status,
        context_id=error.context_id,
    )


def end_of(stop_reasons: dict[int, str], *, truncated: bool = False) -> End:
    """The end of a stream that reached its end marker; `truncated` where the upstream said so in so many words."""
    reasons = set(stop_reasons.values())
    if reasons & FILTER_REASONS:
        return End(
            "blocked",
            code="stream_blocked",
            message="the upstream's own content filter ended the reply",
            error_type="StreamBlocked",
            stop_reasons=stop_reasons,
        )
    return End("truncated" if truncated or reasons & LENGTH_REASONS else "completed", stop_reasons=stop_reasons)


def closed_early(code: int, reason: str) -> End:
    """The end of a stream whose WebSocket was closed before its end marker."""
    said = f"{code} {reason}".strip() if code != 1005 else "no code"
    return End(
        "interrupted",
        code="stream_interrupted",
        message=f"the upstream closed the stream without an end marker ({said})",
        error_type="StreamInterrupted",
        close_code=code,
    )
