"""Measures: when content came, how much, and how even. Kept in bounded memory, worked out once at the end."""

from __future__ import annotations

from collections.abc import Sequence

from streamweir.events import Delta, End, Limits, Note, ToolCallDelta, Upstream, UsageUpdate
from streamweir.report import RateLimitReport, TimingReport

SUBDIVISIONS = 4
"""Bits below a gap's leading one that its class keeps: 16 classes a doubling, so that a percentile is exact to 4 %."""

EXACT = 256
"""Gaps that are kept before they are sorted into classes: sorting at once would cost at every read."""


class Measure:
    """The stage. `called_at` is when the caller asked, so that token fetch, retries and waiting all count."""

    __slots__ = (
        "_called_at",
        "_chunks",
        "_classes",
        "_first_at",
        "_gaps",
        "_last_at",
        "_notes",
        "_rate_limit",
        "_together",
        "_usage",
        "_usages",
    )

    def __init__(self, called_at: float) -> None:
        self._called_at = called_at
        self._first_at: float | None = None
        self._last_at = called_at
        self._gaps: list[float] = []
        self._classes: dict[int, int] = {}
        self._together = 0
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
                self._gaps.append(now - self._last_at)
                if len(self._gaps) >= EXACT:
                    self._classify()
            self._together += content - 1
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

    def _classify(self) -> None:
        for gap in self._gaps:
            size = gap_class(int(gap * 1e6))
            self._classes[size] = self._classes.get(size, 0) + 1
        self._gaps.clear()

    def _close(self, end: End, now: float) -> None:
        first = self._first_at
        timing = TimingReport(total_ms=milliseconds(now - self._called_at))
        if first is not None:
            timing.first_token_ms = milliseconds(first - self._called_at)
            if self._chunks > 1:
                timing.gap_mean_ms = milliseconds((self._last_at - first) / (self._chunks - 1))
                self._classify()
                self._classes[0] = self._classes.get(0, 0) + self._together
                self._together = 0
                timing.gap_p95_ms = round(percentile(self._classes, 0.95) / 1000, 3)
        end.sections["timing"] = timing
        end.sections["generating"] = self._last_at - first if first is not None else 0.0
        end.sections["chunks"] = self._chunks
        end.sections["diagnostics"] = self._notes
        end.sections["usages"] = [*self._usages, self._usage]
        end.sections["rate_limit"] = self._rate_limit


def milliseconds(seconds: float) -> float:
    """Milliseconds to the microsecond."""
    return round(seconds * 1000, 3)


def gap_class(microseconds: int) -> int:
    """The class of a gap: its size rounded down to SUBDIVISIONS bits behind the leading one."""
    shift = microseconds.bit_length() - 1 - SUBDIVISIONS
    return microseconds if shift <= 0 else (microseconds >> shift) << shift


def percentile(classes: dict[int, int], part: float) -> float:
    """The value, in the unit of the classes, below which `part` of the counted ones lie: the middle of its class."""
    below = part * sum(classes.values())
    for size in sorted(classes):
        below -= classes[size]
        if below <= 0:
            shift = size.bit_length() - 1 - SUBDIVISIONS
            return size + ((1 << shift) - 1) / 2 if shift > 0 else float(size)
    return 0.0
