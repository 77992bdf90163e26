"""What Prometheus is told: gathered once a stream, at its end, and never per token. docs/metrics.md lists all.

Labels are routes, profiles and codes: words of ours or of the configuration, never a client's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Final

from prometheus_client import CollectorRegistry, Metric, ProcessCollector, generate_latest
from prometheus_client.registry import Collector

from streamweir.faces import SENTENCES
from streamweir.relay import Relay
from streamweir.report import Report
from streamweir.server.totals import COUNTS, SPREADS, Totals, counters, histograms

BY_PROFILE: Final = ("profile",)


class Metrics(Collector):
    """One registry, and what streams add to it. What is read only when it is asked for is in scrape.py."""

    def __init__(self) -> None:
        self._streams: defaultdict[tuple[str, ...], int] = defaultdict(int)
        self._refusals: defaultdict[tuple[str, ...], int] = defaultdict(int)
        self._findings: defaultdict[tuple[str, ...], int] = defaultdict(int)
        self._profiles: defaultdict[str, Totals] = defaultdict(Totals)
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._registry.register(self)

    def add(self, collector: Collector) -> None:
        """Ask this one too, whenever the metrics are read."""
        self._registry.register(collector)

    def ended(self, report: Report, route: str) -> None:
        """A stream has ended, or the upstream refused it."""
        profile = report.profile or ""
        code = report.error.code if report.error is not None else ""
        if code and code not in SENTENCES:
            code = "other"
        self._streams[route, profile, report.status, code] += 1
        self._profiles[profile].add(report)
        if report.guard.mode != "off":
            for finding in report.guard.findings:
                self._findings[(finding["kind"],)] += 1

    def released(self, relay: Relay[Any]) -> None:
        """The same stream, where it had content: when the first of it was let out."""
        after, report = relay.released_after, relay.report
        if after is not None and report is not None:
            self._profiles[report.profile or ""].released_first.add(after)

    def refused(self, status: int, code: str) -> None:
        """A request was refused before the first byte."""
        self._refusals[str(status), code] += 1

    def text(self) -> bytes:
        """All of it, in Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """For the registry."""
        profiles = self._profiles.items()
        yield counters("streams", "Streams that ended.", ("route", "profile", "status", "code"), self._streams.items())
        yield counters(
            "refusals", "Requests that were refused before the first byte.", ("status", "code"), self._refusals.items()
        )
        tokens = (
            ((profile, kind, str(estimated).lower()), count)
            for profile, totals in profiles
            for (kind, estimated), count in totals.tokens.items()
        )
        yield counters("tokens", "Tokens.", ("profile", "kind", "estimated"), tokens)
        for name, what, count_of in COUNTS:
            yield counters(name, what, BY_PROFILE, (((profile,), count_of(totals)) for profile, totals in profiles))
        yield counters(
            "guard_findings", "What guards found, a report's first thousand.", ("kind",), self._findings.items()
        )
        for name, what, spread_of in SPREADS:
            yield histograms(name, what, BY_PROFILE, (((profile,), spread_of(totals)) for profile, totals in profiles))
