"""The report: one for every stream, however it ended. Its JSON is part of the public interface."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Status = Literal["completed", "truncated", "blocked", "cancelled", "interrupted", "failed", "timed_out"]

WHOLE: frozenset[Status] = frozenset(("completed", "truncated"))
"""The statuses of a reply that the upstream itself brought to its end marker."""


class ErrorReport(msgspec.Struct, kw_only=True):
    """Why a stream did not end whole. `type` names the class in `streamweir.errors`, `code` is stable.

    `status` is an HTTP status that the upstream gave, `close_code` that of its WebSocket's close frame.
    """

    type: str
    code: str
    message: str
    status: int | None = None
    context_id: str | None = None
    limit: str | None = None
    close_code: int | None = None


class TimingReport(msgspec.Struct, kw_only=True):
    """Milliseconds from the call on. Gaps are between arrivals of content; p95 is exact to 4 %."""

    first_token_ms: float | None = None
    total_ms: float = 0.0
    gap_mean_ms: float | None = None
    gap_p95_ms: float | None = None
    tokens_per_second: float | None = None


class UsageReport(msgspec.Struct, kw_only=True):
    """Token counts. `estimated` where the upstream gave none and they were derived from the text's length."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    estimated: bool = False


class IntegrityReport(msgspec.Struct, kw_only=True):
    """What the upstream's sequence numbers say. `gaps` are inclusive ranges of numbers never received."""

    first_sequence: int | None = None
    last_sequence: int | None = None
    gaps: list[tuple[int, int]] = []
    duplicates: int = 0
    out_of_order: int = 0
    gap_ratio: float = 0.0
    sha256: str = ""
    verified: bool | None = None


class GuardReport(msgspec.Struct, kw_only=True):
    """What the guard did. With `mode` "off" nothing was scanned: the two answers are null, not good news.

    `found` counts all findings, of which `findings` lists the first thousand; those of the prompt are among them.
    """

    mode: str = "off"
    pii_found: bool | None = None
    safety_passed: bool | None = None
    found: int = 0
    findings: list[dict[str, Any]] = []
    held_max: int = 0


class RateLimitReport(msgspec.Struct, kw_only=True):
    """The upstream's request budget: `count` used of `allowed`, renewed in `reset` seconds."""

    count: int | None = None
    allowed: int | None = None
    reset: int | None = None


class Report(msgspec.Struct, kw_only=True):
    """What a finished stream reports. `text` is that of choice 0, channel content, as sent on.

    `record_id` names our own record of it. Where the upstream is a proxy of ours, `upstream_record_id` names that
    proxy's, and `receipt_verified` says whether the text as received is the one that it says it sent; null where no
    receipt came, or none for a part of the text.
    """

    status: Status
    text: str | msgspec.UnsetType = ""
    request_id: str
    prompt_id: str | None = None
    conversation_id: str | None = None
    dialect: str
    profile: str | None = None
    model: str
    region: str | None = None
    stop_reason: str | None = None
    error: ErrorReport | None = None
    started_at: str
    ended_at: str
    timing: TimingReport = msgspec.field(default_factory=TimingReport)
    usage: UsageReport = msgspec.field(default_factory=UsageReport)
    chunks: int = 0
    bytes: int = 0
    diagnostics: int = 0
    integrity: IntegrityReport = msgspec.field(default_factory=IntegrityReport)
    guard: GuardReport = msgspec.field(default_factory=GuardReport)
    rate_limit: RateLimitReport = msgspec.field(default_factory=RateLimitReport)
    attempts: int = 0
    restarts: int = 0
    continuations: int = 0
    joints: list[int] = []
    correlation_id: str | None = None
    cancelled_by: str | None = None
    recorded: bool | None = None
    record_id: str | None = None
    receipt_verified: bool | None = None
    upstream_record_id: str | None = None

    @property
    def complete(self) -> bool:
        """Whether the upstream brought the reply to its end marker (a token limit included)."""
        return self.status in WHOLE

    def without_text(self) -> Report:
        """The same report without the reply's text, for logs, `stop` events and webhooks."""
        return msgspec.structs.replace(self, text=msgspec.UNSET)
