"""Measures: when content came, how much, and how even. Kept in bounded memory, worked out once at the end."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, log, log1p
from typing import Final

from streamweir.events import Delta, End, Limits, Note, ToolCallDelta, Upstream, UsageUpdate
from streamweir.report import RateLimitReport, TimingReport

CLASSES: Final = 16
"""Of gaps, for each doubling of their length: so that a percentile is exact to 4 %."""

CLASSES_AN_E: Final = CLASSES / log(2)
"""The same for log1p, which keeps what short gaps are and is the cheaper one."""


class Measure:
    """The stage. `called_at` is when the caller asked, so that token fetch, retries and waiting all count."""

    __slots__ = (
        "_called_at",
        "_chunks",
        "_classes",
        "_first_at",
        "_last_at",
        "_notes",
        "_rate_limit",
        "_usage",
        "_usages",
    )

    def __init__(self, called_at: float) -> None:
        self._called_at = called_at
        self._first_at: float | None = None
        self._last_at = called_at
        self._classes: dict[int, int] = {}
        self._chunks = 0
        self._notes = 0
        self._usage: UsageUpdate | None = None
        self._usages: list[UsageUpdate | None] = []
        self._rate_limit = RateLimitReport()

    def __call__(self, events: Sequence[Upstream], now: float) -> Sequence[Upstream]:
        content = 0
        end: End | None = None
        for event in events:
            kind = type(event)
            if kind is Delta or kind is ToolCallDelta:
                content += 1
            elif type(event) is End:
                end = event
            elif type(event) is UsageUpdate:
                self._usage = event
            elif kind is Note:
                self._notes += 1
            elif type(event) is Limits:
                self._rate_limit = event.rate_limit
        if content:
            if self._first_at is None:
                self._first_at = now
            else:
                size = floor(log1p((now - self._last_at) * 1e6) * CLASSES_AN_E)
                self._classes[size] = self._classes.get(size, 0) + 1
            self._last_at = now
            self._chunks += content
        if end is not None:
            self._close(end, now)
        return events

    @property
    def content(self) -> bool:
        """Whether any content came."""
        return self._chunks > 0

    def reopen(self) -> None:
        """Another answer follows, with token counts of its own."""
        self._usages.append(self._usage)
        self._usage = None

    def _close(self, end: End, now: float) -> None:
        first = self._first_at
        timing = TimingReport(total_ms=milliseconds(now - self._called_at))
        if first is not None:
            timing.first_token_ms = milliseconds(first - self._called_at)
            if self._chunks > 1:
                timing.gap_mean_ms = milliseconds((self._last_at - first) / (self._chunks - 1))
                # those that came in one read with another
                self._classes[0] = self._classes.get(0, 0) + self._chunks - 1 - sum(self._classes.values())
                timing.gap_p95_ms = milliseconds(percentile(self._classes, 0.95))
        end.sections["timing"] = timing
        end.sections["generating"] = self._last_at - first if first is not None else 0.0
        end.sections["chunks"] = self._chunks
        end.sections["diagnostics"] = self._notes
        end.sections["usages"] = [*self._usages, self._usage]
        end.sections["rate_limit"] = self._rate_limit


def milliseconds(seconds: float) -> float:
    """Milliseconds to the microsecond."""
    return floor(seconds * 1e6 + 0.5) / 1000


def percentile(classes: dict[int, int], part: float) -> float:
    """The seconds below which `part` of the counted gaps lie: the middle of its class."""
    below = part * sum(classes.values())
    for size in sorted(classes):
        below -= classes[size]
        if below <= 0:
            return (2 ** ((size + 0.5) / CLASSES) - 1.0) / 1e6 if size else 0.0
    return 0.0
