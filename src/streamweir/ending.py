"""Ends that do not come from a decoder: causes from outside, refusals, and errors of our own. Pure."""

from __future__ import annotations

from typing import Literal

from streamweir.errors import APIStatusError, StreamError, StreamweirError
from streamweir.events import End

Cause = Literal[
    "eof",
    "reset",
    "broken",
    "cancelled",
    "client_gone",
    "slow_client",
    "slow_consumer",
    "text_dropped",
    "draining",
]
"""Why a relay is ended from outside: `eof` is a clean close, `reset` any transport error, `broken` no HTTP."""


def own_error(error: Exception) -> End:
    """An error of our own never passes as the upstream's, and never as an end."""
    return End(
        "failed",
        code="stream_failed",
        message=f"an error inside streamweir ended the stream ({type(error).__name__}); please report it",
        error_type="StreamFailed",
    )


CAUSES: dict[Cause, tuple[str, str, str]] = {
    "eof": ("stream_interrupted", "StreamInterrupted", "the upstream closed the stream without an end marker"),
    "reset": ("upstream_lost", "StreamInterrupted", "the connection to the upstream was lost"),
    "broken": ("protocol_error", "ProtocolError", "the upstream's answer is broken"),
    "cancelled": ("cancelled", "StreamCancelled", "the stream was cancelled"),
    "client_gone": ("cancelled", "StreamCancelled", "the client left"),
    "slow_client": ("slow_client", "StreamCancelled", "the client did not read"),
    "slow_consumer": ("cancelled", "StreamCancelled", "the caller did not take what came within stall_timeout"),
    "text_dropped": ("text_dropped", "StreamInterrupted", "text was dropped, since the caller did not take it in time"),
    "draining": ("server_draining", "StreamCancelled", "the server is shutting down"),
}
CANCELLED_BY: dict[Cause, str] = {
    "cancelled": "caller",
    "client_gone": "client",
    "slow_client": "slow_client",
    "slow_consumer": "slow_consumer",
    "draining": "server",
}


def ended_by(cause: Cause, detail: str = "") -> End:
    """The end that a cause from outside means."""
    code, kind, message = CAUSES[cause]
    by = CANCELLED_BY.get(cause)
    return End(
        "cancelled" if by else "failed" if cause == "broken" else "interrupted",
        code=code,
        message=f"{message}: {detail}" if detail else message,
        error_type=kind,
        cancelled_by=by,
    )


def ended_by_error(error: StreamweirError) -> End:
    """The end of a stream that was refused before it began."""
    if error.code == CAUSES["draining"][0]:
        return ended_by("draining")
    timed_out = error.code == "stream_timed_out"
    return End(
        "timed_out" if timed_out else "failed",
        code=error.code if isinstance(error, StreamError) and error.code else "upstream_error",
        message=error.message,
        error_type=type(error).__name__,
        error_status=error.status if isinstance(error, APIStatusError) else None,
        context_id=error.context_id if isinstance(error, APIStatusError) else None,
        limit=getattr(error, "limit", None),
    )
