"""What the proxy speaks to its own clients: released events to bytes. Pure.

A face takes released events only. That is the type system's half of the promise that nothing unguarded leaves.
"""

from __future__ import annotations

import re
from typing import Final

from msgspec.structs import replace

from streamweir.report import Report

STREAM_HEADERS: Final = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
}
"""Headers of every stream over HTTP: nothing on the way may keep, change or gather it."""

HEARTBEAT: Final = b": heartbeat\n\n"
"""An SSE comment: every parser passes over it, and no proxy takes the connection for dead."""

WORD: Final = re.compile("[a-z][a-z_]{0,30}")
"""What a finish reason looks like; anything else is an upstream's own words."""

SENTENCES: Final[dict[str, str]] = {
    "stream_interrupted": "The reply was cut off before its end.",
    "upstream_lost": "The connection to the model was lost before the reply's end.",
    "stream_stalled": "The model stopped sending before the reply's end.",
    "stream_timed_out": "The reply took longer than it may.",
    "stream_blocked": "The reply was blocked by a content filter.",
    "stream_failed": "The reply failed because of an error in the proxy.",
    "receipt_mismatch": "The reply was changed on its way from the model.",
    "integrity_failed": "Parts of the reply were lost on the way.",
    "protocol_error": "The model's answer could not be read.",
    "upstream_error": "The model reported an error.",
    "records_unavailable": "Replies cannot be recorded at present, and none begins without a record.",
    "server_draining": "The server is shutting down.",
    "slow_client": "The reply was not read fast enough.",
    "cancelled": "The reply was cancelled.",
}
"""What a client is told, by code. An upstream's own words stay in the report and the log on the server's side."""

RATE_LIMITED: Final = "The model's request budget is used up; try again later."
"""What a client is told in place of `upstream_error`'s sentence where it was a 429, the upstream's or our own."""

RETRYABLE: Final = frozenset(("interrupted", "timed_out"))


def told(report: Report) -> tuple[str, str]:
    """The stable code of a stream that did not end whole, and the sentence that a client is told."""
    code = report.error.code if report.error is not None else "stream_failed"
    if report.error is not None and report.error.status == 429:
        return code, RATE_LIMITED
    return code, SENTENCES.get(code, SENTENCES["stream_failed"])


OURS: Final = ("server_draining", "records_unavailable")
"""Codes of refusals that are this server's state, and no fault of the request."""


def retryable(report: Report) -> bool:
    """Whether the same request may well succeed if it is sent again."""
    return report.status in RETRYABLE or (report.error is not None and report.error.code in OURS)


def receipt(report: Report) -> dict[str, object]:
    """What lets a client check the text that it has: the SHA-256 of choice 0, channel content, and the record's id.

    A key of its own for wires whose own words say nothing of it; browsers get both in the report. That there is no
    record of this end, or not yet, is said too.
    """
    said: dict[str, object] = {"sha256": report.integrity.sha256, "record_id": report.record_id}
    if report.recorded is False:
        said["recorded"] = False
    return {"streamweir": {"receipt": said}}


def resume(report: Report, stream: str, seq: int) -> dict[str, object]:
    """What a client needs to go on elsewhere, where the last message of a stream says that this server stops."""
    if report.error is None or report.error.code != "server_draining":
        return {}
    return {"resume": {"streamId": stream, "after": seq}}


def public_report(report: Report) -> Report:
    """The report as a client may see it: without the text, and without an upstream's own words.

    Whether its text came as it was sent is for the client to say, and never on the wire.
    """
    shown = report.without_text()
    shown.receipt_verified = None
    shown.upstream_record_id = None
    if shown.stop_reason is not None and not WORD.fullmatch(shown.stop_reason):
        shown = replace(shown, stop_reason="other")
    if shown.error is None:
        return shown
    return replace(shown, error=replace(shown.error, message=told(report)[1], context_id=None))


def blocked_by(report: Report) -> str:
    """Why a reply was blocked, in the words of the browsers' wires."""
    safe = report.guard.safety_passed is not False
    return "PII detected" if report.guard.pii_found and safe else "Safety guardrail violation"
