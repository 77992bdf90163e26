"""What Prometheus is told: gathered once a stream, at its end, and never per token. docs/metrics.md lists all.

Labels are routes, profiles and codes: words of ours or of the configuration, never a client's.
"""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Iterator
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Histogram, Metric, ProcessCollector, generate_latest
from prometheus_client.registry import Collector

from streamweir.faces import SENTENCES
from streamweir.relay import Relay
from streamweir.report import Report

WAITS: Final = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 60.0)
"""Seconds to a first token: people notice a tenth below one second, and `first_token_timeout` is 20 s."""

GAPS: Final = (0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds between tokens: models write 20 to 200 a second, and `idle_timeout` is 30 s."""

LENGTHS: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0)
"""Seconds of a whole stream; `deadline` is 120 s."""

HELD: Final = (0, 4, 8, 16, 32, 64, 128, 256, 1024)
"""Characters that a guard held back at most: an address has some 30."""


class Metrics:
    """One registry, and what streams add to it. What is read only when it is asked for is in scrape.py."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        by_profile = ["profile"]

        def counter(name: str, what: str, labels: list[str]) -> Counter:
            return Counter(f"streamweir_{name}", what, labels, registry=registry)

        def histogram(name: str, what: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(f"streamweir_{name}", what, by_profile, buckets=buckets, registry=registry)

        self._streams = counter("streams_total", "Streams that ended.", ["route", "profile", "status", "code"])
        self._refusals = counter(
            "refusals_total", "Requests that were refused before the first byte.", ["status", "code"]
        )
        self._tokens = counter("tokens_total", "Tokens.", ["profile", "kind", "estimated"])
        self._requests = counter("upstream_requests_total", "Requests sent upstream.", by_profile)
        self._retries = counter("upstream_retries_total", "Requests that were sent again.", by_profile)
        self._restarts = counter("restarts_total", "Replies that began again.", by_profile)
        self._continuations = counter("continuations_total", "Replies that were continued.", by_profile)
        self._findings = counter("guard_findings_total", "What guards found, a report's first thousand.", ["kind"])
        self._upstream_first = histogram(
            "upstream_first_token_seconds", "From the call to the upstream's first content.", WAITS
        )
        self._released_first = histogram(
            "released_first_token_seconds", "From the call to the first content that was let out.", WAITS
        )
        self._gap_mean = histogram("gap_mean_seconds", "A stream's mean time between pieces of content.", GAPS)
        self._gap_p95 = histogram("gap_p95_seconds", "A stream's 95th percentile of the same.", GAPS)
        self._seconds = histogram("stream_seconds", "From the call to the stream's end.", LENGTHS)
        self._held = histogram("guard_held_characters", "The most characters that a guard held back.", HELD)

    def add(self, collector: Collector) -> None:
        """Ask this one too, whenever the metrics are read."""
        self._registry.register(collector)

    def ended(self, report: Report, route: str) -> None:
        """A stream has ended, or the upstream refused it."""
        profile = report.profile or ""
        code = report.error.code if report.error is not None else ""
        if code and code not in SENTENCES:
            code = "other"
        self._streams.labels(route, profile, report.status, code).inc()
        timing, usage = report.timing, report.usage
        self._seconds.labels(profile).observe(timing.total_ms / 1000)
        for histogram, milliseconds in (
            (self._upstream_first, timing.first_token_ms),
            (self._gap_mean, timing.gap_mean_ms),
            (self._gap_p95, timing.gap_p95_ms),
        ):
            if milliseconds is not None:
                histogram.labels(profile).observe(milliseconds / 1000)
        for kind, count in (("prompt", usage.prompt_tokens), ("completion", usage.completion_tokens)):
            self._tokens.labels(profile, kind, str(usage.estimated).lower()).inc(count or 0)
        self._requests.labels(profile).inc(report.attempts)
        # a restart's and a continuation's own request is no retry
        self._retries.labels(profile).inc(max(0, report.attempts - 1 - report.restarts - report.continuations))
        self._restarts.labels(profile).inc(report.restarts)
        self._continuations.labels(profile).inc(report.continuations)
        if report.guard.mode != "off":
            self._held.labels(profile).observe(report.guard.held_max)
            for kind, count in Counts(finding["kind"] for finding in report.guard.findings).items():
                self._findings.labels(kind).inc(count)

    def released(self, relay: Relay[Any]) -> None:
        """The same stream, where it had content: when the first of it was let out."""
        after, report = relay.released_after, relay.report
        if after is not None and report is not None:
            self._released_first.labels(report.profile or "").observe(after)

    def refused(self, status: int, code: str) -> None:
        """A request was refused before the first byte."""
        self._refusals.labels(str(status), code).inc()

    def text(self) -> bytes:
        """All of it, in Prometheus' text format."""
        return generate_latest(self)

    def collect(self) -> Iterator[Metric]:
        """Every metric, without the library's own time stamps: a counter's first moment tells operators nothing."""
        for metric in self._registry.collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric
