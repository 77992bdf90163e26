"""Plain numbers that streams add to at their end, and the shape in which Prometheus reads them. No input or output."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from typing import Final

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

from streamweir.report import Report

WAITS: Final = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 60.0)
"""Seconds to a first token: people notice a tenth below one second, and `first_token_timeout` is 20 s."""

GAPS: Final = (0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds between tokens: models write 20 to 200 a second, and `idle_timeout` is 30 s."""

LENGTHS: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0)
"""Seconds of a whole stream; `deadline` is 120 s."""

HELD: Final = (0.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1024.0)
"""Characters that a guard held back at most: an address has some 30."""


class Spread:
    """How many values lay at or below each bound, and their sum."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        """One more."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def put(self, family: HistogramMetricFamily, labels: Sequence[str]) -> None:
        """Add it to a family, unless it has no value yet."""
        if any(self._counts):
            bounds = [*map(str, self._bounds), "+Inf"]
            buckets = [(bound, float(n)) for bound, n in zip(bounds, accumulate(self._counts), strict=True)]
            family.add_metric(labels, buckets, self._sum)


class Totals:
    """What the streams of one profile add up to."""

    __slots__ = (
        "continuations",
        "gap_mean",
        "gap_p95",
        "held",
        "released_first",
        "requests",
        "restarts",
        "retries",
        "seconds",
        "tokens",
        "upstream_first",
    )

    def __init__(self) -> None:
        self.requests = 0
        self.retries = 0
        self.restarts = 0
        self.continuations = 0
        self.tokens: defaultdict[tuple[str, bool], int] = defaultdict(int)
        """By kind, and whether they were estimated."""
        self.upstream_first = Spread(WAITS)
        self.released_first = Spread(WAITS)
        self.gap_mean = Spread(GAPS)
        self.gap_p95 = Spread(GAPS)
        self.seconds = Spread(LENGTHS)
        self.held = Spread(HELD)

    def add(self, report: Report) -> None:
        """A stream has ended."""
        timing, usage, tokens, again = report.timing, report.usage, self.tokens, report.restarts + report.continuations
        self.seconds.add(timing.total_ms / 1000)
        if timing.first_token_ms is not None:
            self.upstream_first.add(timing.first_token_ms / 1000)
        if timing.gap_mean_ms is not None:
            self.gap_mean.add(timing.gap_mean_ms / 1000)
        if timing.gap_p95_ms is not None:
            self.gap_p95.add(timing.gap_p95_ms / 1000)
        tokens["prompt", usage.estimated] += usage.prompt_tokens or 0
        tokens["completion", usage.estimated] += usage.completion_tokens or 0
        self.requests += report.attempts
        if report.attempts > 1:
            # a restart's and a continuation's own request is no retry
            self.retries += max(0, report.attempts - 1 - again)
        if again:
            self.restarts += report.restarts
            self.continuations += report.continuations
        if report.guard.mode != "off":
            self.held.add(report.guard.held_max)


COUNTS: Final[tuple[tuple[str, str, Callable[[Totals], int]], ...]] = (
    ("upstream_requests", "Requests sent upstream.", lambda totals: totals.requests),
    ("upstream_retries", "Requests that were sent again.", lambda totals: totals.retries),
    ("restarts", "Replies that began again.", lambda totals: totals.restarts),
    ("continuations", "Replies that were continued.", lambda totals: totals.continuations),
)
"""The counters of each profile: name, help and where it is kept."""

SPREADS: Final[tuple[tuple[str, str, Callable[[Totals], Spread]], ...]] = (
    (
        "upstream_first_token_seconds",
        "From the call to the upstream's first content.",
        lambda totals: totals.upstream_first,
    ),
    (
        "released_first_token_seconds",
        "From the call to the first content that was let out.",
        lambda totals: totals.released_first,
    ),
    ("gap_mean_seconds", "A stream's mean time between pieces of content.", lambda totals: totals.gap_mean),
    ("gap_p95_seconds", "A stream's 95th percentile of the same.", lambda totals: totals.gap_p95),
    ("stream_seconds", "From the call to the stream's end.", lambda totals: totals.seconds),
    ("guard_held_characters", "The most characters that a guard held back.", lambda totals: totals.held),
)
"""The histograms of each profile, in the same way."""


def counters(
    name: str, what: str, labels: Sequence[str], counts: Iterable[tuple[Sequence[str], float]]
) -> CounterMetricFamily:
    """A family of counters, of each one's labels and count."""
    family = CounterMetricFamily(f"streamweir_{name}", what, labels=labels)
    for values, count in counts:
        family.add_metric(values, count)
    return family


def histograms(
    name: str, what: str, labels: Sequence[str], spreads: Iterable[tuple[Sequence[str], Spread]]
) -> HistogramMetricFamily:
    """A family of histograms; one without a value is left out."""
    family = HistogramMetricFamily(f"streamweir_{name}", what, labels=labels)
    for values, spread in spreads:
        spread.put(family, values)
    return family
