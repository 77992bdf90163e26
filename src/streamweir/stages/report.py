"""The last stage: keeps what was sent on, and makes the one report when the stream ends."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from math import floor
from typing import Final

import msgspec

from streamweir.events import End, Ended, Joint, Reasoning, Receipt, Released, Restarted, Text, ToolCall, UsageUpdate
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


MILLISECONDS: Final = tuple(f".{number:03d}Z" for number in range(1000))
"""The end of a time: four are written a stream, and to format a number costs as much as all else in one."""

CONTENT: Final = frozenset((Text, Reasoning, ToolCall))
"""What a reader waits for: the released counterpart of what `stages/measure.py` takes for content."""


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
    choices: int = 1


class Conclude:
    """The stage. `text` and `sha256` can be read at any time and are those of choice 0, channel content, as sent on.

    `released_at` is when the first content was.

    Whoever feeds the stream keeps `identity`, `received` (bytes of the upstream's body), `attempts`, `correlation_id`,
    `restarts` and `continuations`.
    """

    __slots__ = (
        "_hash",
        "_hashed",
        "_joints",
        "_seq",
        "_text",
        "attempts",
        "continuations",
        "correlation_id",
        "identity",
        "received",
        "released_at",
        "report",
        "restarts",
    )

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self._text = bytearray()
        self._hash = sha256()
        self._hashed = 0
        self._seq = 0
        self._joints: list[int] = []
        self.received = 0
        self.released_at: float | None = None
        self.attempts = 0
        self.restarts = 0
        self.continuations = 0
        self.correlation_id: str | None = None
        self.report: Report | None = None

    def __call__(self, events: Sequence[Released | End], now: float) -> Sequence[Released]:
        out: list[Released] = []
        for event in events:
            if type(event) is Text:
                if not event.choice and event.channel == "content":
                    self._text += event.content.encode("utf-8", "replace")
            elif type(event) is End:
                out.append(self._conclude(event, self._seq + len(out), now))
                break
            elif type(event) is Joint:
                self._joints.append(len(self.text))
                event = msgspec.structs.replace(event, at=self._joints[-1])
            elif type(event) is Restarted:
                self._withdraw()
            out.append(event)
        self._seq += len(out)
        if self.released_at is None and not CONTENT.isdisjoint(map(type, out)):
            self.released_at = now
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

    def _withdraw(self) -> None:
        self._text.clear()
        self._hash = sha256()
        self._hashed = 0
        self._joints.clear()

    def _conclude(self, end: End, seq: int, now: float) -> Ended:
        who, sections = self.identity, end.sections
        usage = self._usage(sections.get("usages") or [])
        timing: TimingReport = sections.get("timing") or TimingReport()
        generating = sections.get("generating", 0.0)
        if generating and usage.completion_tokens:
            timing.tokens_per_second = floor(usage.completion_tokens / generating * 100 + 0.5) / 100
        integrity: IntegrityReport = sections.get("integrity") or IntegrityReport()
        integrity.sha256 = self.sha256
        # in two steps: Python makes a dict for a call with over fifteen keywords, which costs twice as much
        report = Report(
            status=end.status,
            text=self.text,
            request_id=who.request_id,
            prompt_id=who.prompt_id,
            conversation_id=who.conversation_id,
            dialect=who.dialect,
            profile=who.profile,
            model=who.model,
            started_at=rfc3339(who.started_at),
            ended_at=rfc3339(who.started_at + now - who.called_at),
            timing=timing,
            usage=usage,
            integrity=integrity,
            guard=sections.get("guard") or GuardReport(),
            rate_limit=sections.get("rate_limit") or RateLimitReport(),
        )
        report.region = who.region
        report.stop_reason = end.stop_reasons.get(0)
        report.error = error_report(end)
        report.cancelled_by = end.cancelled_by
        report.chunks = sections.get("chunks", 0)
        report.bytes = self.received
        report.diagnostics = sections.get("diagnostics", 0) + sections.get("dropped", 0)
        report.attempts = self.attempts
        report.restarts = self.restarts
        report.continuations = self.continuations
        report.joints = list(self._joints)
        report.correlation_id = self.correlation_id
        receipt: Receipt | None = sections.get("receipt")
        if receipt is not None:
            report.upstream_record_id = receipt.record_id
            # the part of the text before a joint has none
            report.receipt_verified = None if receipt.verified and self.continuations else receipt.verified
        self.report = report
        many = dict(end.stop_reasons) if who.choices > 1 else msgspec.UNSET
        return Ended(seq, report, many)

    def _usage(self, said: Sequence[UsageUpdate | None]) -> UsageReport:
        """The sum over the answers of one call; an estimate where one of them did not count."""
        prompt: int | None = 0
        total: int | None = 0
        completion = 0
        for update in said:
            if update is None or update.completion_tokens is None:
                return self._estimate()
            prompt = _plus(prompt, update.prompt_tokens)
            total = _plus(total, update.total_tokens)
            completion += update.completion_tokens
        if not said:
            return self._estimate()
        return UsageReport(prompt_tokens=prompt, completion_tokens=completion, total_tokens=total)

    def _estimate(self) -> UsageReport:
        prompt = -(-self.identity.prompt_bytes // BYTES_A_TOKEN)
        completion = -(-len(self._text) // BYTES_A_TOKEN)
        return UsageReport(
            prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion, estimated=True
        )


def _plus(one: int | None, other: int | None) -> int | None:
    """Their sum; none where one is."""
    return None if one is None or other is None else one + other


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
        close_code=end.close_code,
    )


def rfc3339(seconds: float) -> str:
    """Seconds since the epoch as RFC 3339 in UTC, to the millisecond."""
    # half a microsecond: 0.734 is a little less in binary
    seconds += 0.000_000_5
    whole = floor(seconds)
    return _second(whole) + MILLISECONDS[int((seconds - whole) * 1000)]


@lru_cache(maxsize=8)
def _second(whole: int) -> str:
    """A whole second without its zone: the streams of one second share it."""
    return datetime.fromtimestamp(whole, UTC).isoformat().removesuffix("+00:00")
