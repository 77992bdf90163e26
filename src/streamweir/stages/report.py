"""The last stage: keeps what was sent on, and makes the one report when the stream ends."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256

import msgspec

from streamweir.events import End, Ended, Released, Text, UsageUpdate
from streamweir.report import (
    ErrorReport,
    GuardReport,
    IntegrityReport,
    RateLimitReport,
    Report,
    TimingReport,
    UsageReport,
)

BYTES_A_TOKEN = 4
"""For an estimate where the upstream gave no counts: English prose has 4 to 5 bytes a token in today's vocabularies."""


class Identity(msgspec.Struct, kw_only=True):
    """Who a stream is: what is known of it before its first byte. `started_at` is seconds since the epoch."""

    request_id: str
    dialect: str
    model: str
    started_at: float
    called_at: float
    prompt_bytes: int = 0
    profile: str | None = None
    region: str | None = None
    prompt_id: str | None = None
    conversation_id: str | None = None
    correlation_id: str | None = None
    attempts: int = 0
    choices: int = 1


class Conclude:
    """The stage. `text` and `sha256` can be read at any time and are those of choice 0, channel content, as sent on.

    `received` is counted by whoever feeds the stream: bytes of the upstream's body.
    """

    __slots__ = ("_hash", "_hashed", "_identity", "_seq", "_text", "received", "report")

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._text = bytearray()
        self._hash = sha256()
        self._hashed = 0
        self._seq = 0
        self.received = 0
        self.report: Report | None = None

    def __call__(self, events: Sequence[Released | End], now: float) -> Sequence[Released]:
        out: list[Released] = []
        for event in events:
            if isinstance(event, End):
                out.append(self._conclude(event, self._seq + len(out), now))
                break
            if type(event) is Text and event.choice == 0 and event.channel == "content":
                self._text += event.content.encode("utf-8", "replace")
            out.append(event)
        self._seq += len(out)
        return out

    @property
    def text(self) -> str:
        """What was sent on so far."""
        return self._text.decode()

    @property
    def sha256(self) -> str:
        """Its SHA-256 in hex, of the UTF-8 bytes. Reading it never ends or changes the hash."""
        if self._hashed < len(self._text):
            self._hash.update(memoryview(self._text)[self._hashed :])
            self._hashed = len(self._text)
        return self._hash.hexdigest()

    def _conclude(self, end: End, seq: int, now: float) -> Ended:
        who, sections = self._identity, end.sections
        usage = self._usage(sections.get("usage"))
        timing: TimingReport = sections.get("timing") or TimingReport()
        generating = sections.get("generating", 0.0)
        if generating and usage.completion_tokens:
            timing.tokens_per_second = round(usage.completion_tokens / generating, 2)
        integrity: IntegrityReport = sections.get("integrity") or IntegrityReport()
        integrity.sha256 = self.sha256
        self.report = Report(
            status=end.status,
            text=self.text,
            request_id=who.request_id,
            prompt_id=who.prompt_id,
            conversation_id=who.conversation_id,
            dialect=who.dialect,
            profile=who.profile,
            model=who.model,
            region=who.region,
            stop_reason=end.stop_reasons.get(0),
            error=error_report(end),
            started_at=rfc3339(who.started_at),
            ended_at=rfc3339(who.started_at + now - who.called_at),
            timing=timing,
            usage=usage,
            chunks=sections.get("chunks", 0),
            bytes=self.received,
            diagnostics=sections.get("diagnostics", 0),
            integrity=integrity,
            guard=sections.get("guard") or GuardReport(),
            rate_limit=sections.get("rate_limit") or RateLimitReport(),
            attempts=who.attempts,
            correlation_id=who.correlation_id,
            cancelled_by=end.cancelled_by,
        )
        many = dict(end.stop_reasons) if who.choices > 1 else msgspec.UNSET
        return Ended(seq, self.report, many)

    def _usage(self, said: UsageUpdate | None) -> UsageReport:
        if said is not None and said.completion_tokens is not None:
            return UsageReport(
                prompt_tokens=said.prompt_tokens,
                completion_tokens=said.completion_tokens,
                total_tokens=said.total_tokens,
            )
        prompt = -(-self._identity.prompt_bytes // BYTES_A_TOKEN)
        completion = -(-len(self._text) // BYTES_A_TOKEN)
        return UsageReport(
            prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion, estimated=True
        )


def error_report(end: End) -> ErrorReport | None:
    """The report's `error`: null for a reply that is whole."""
    if end.error_type is None or end.code is None:
        return None
    return ErrorReport(
        type=end.error_type,
        code=end.code,
        message=end.message or "",
        status=end.error_status,
        context_id=end.context_id,
        limit=end.limit,
    )


def rfc3339(seconds: float) -> str:
    """Seconds since the epoch as RFC 3339 in UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
