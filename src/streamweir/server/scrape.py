"""What /metrics reads when it is asked, from plain attributes: nobody counts these while streams run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from streamweir.server.census import PHASES
from streamweir.server.lag import BOUNDS
from streamweir.server.slots import REFUSALS

if TYPE_CHECKING:
    from streamweir.server.shared import Shared


OUTCOMES: Final = {"done": "delivered", "due": "failed", "dead": "dead"}
"""What is said of a try, by what follows it."""


class Scrape(Collector):
    """All of SOURCES over what a server's requests share."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    def collect(self) -> Iterator[Metric]:
        """For the registry."""
        for source in SOURCES:
            yield from source(self._shared)


def of_streams(shared: Shared) -> Iterable[Metric]:
    """What is live, and what waits."""
    census = shared.census
    live = GaugeMetricFamily("streamweir_live_streams", "Live streams.", labels=["phase"])
    for phase in PHASES:
        live.add_metric([phase], census.count(phase))
    yield live
    yield GaugeMetricFamily("streamweir_websockets", "Open WebSocket connections.", len(census.sockets))
    yield GaugeMetricFamily("streamweir_draining", "Whether the server drains.", int(census.draining))
    yield GaugeMetricFamily("streamweir_tickets_open", "Tickets that were given and not used.", len(shared.tickets))


def of_admission(shared: Shared) -> Iterable[Metric]:
    """Who waits for a slot, who has one, and who got none."""
    admission = shared.slots.admission
    yield GaugeMetricFamily("streamweir_queue_length", "Requests that wait for a slot.", admission.queued)
    keys = GaugeMetricFamily("streamweir_key_live_streams", "Live streams of each API key.", labels=["key"])
    for name in admission.limits.keys:
        keys.add_metric([name], admission.live_of[name])
    yield keys
    refused = CounterMetricFamily("streamweir_admission_refusals", "Streams that got no slot.", labels=["code"])
    for code in REFUSALS:
        refused.add_metric([code], admission.refused[code])
    yield refused


def of_kept(shared: Shared) -> Iterable[Metric]:
    """The streams that outlive their connections, and what their logs take."""
    kept = shared.kept
    ended = sum(stream.over for stream in kept.streams.all())
    streams = GaugeMetricFamily("streamweir_kept_streams", "Streams that can be resumed.", labels=["phase"])
    streams.add_metric(["live"], len(kept.streams) - ended)
    streams.add_metric(["ended"], ended)
    yield streams
    yield GaugeMetricFamily("streamweir_log_bytes", "What the logs of those streams take.", kept.logs.size)


def of_upstreams(shared: Shared) -> Iterable[Metric]:
    """The request budget of each upstream, and the pauses that it asked for."""
    budget = GaugeMetricFamily("streamweir_upstream_budget_used", "Requests of the last minute.", labels=["upstream"])
    allowed = GaugeMetricFamily("streamweir_upstream_budget_allowed", "Requests a minute.", labels=["upstream"])
    waiting = GaugeMetricFamily("streamweir_upstream_waiting", "Requests that wait for a turn.", labels=["upstream"])
    paused = GaugeMetricFamily("streamweir_upstream_pause_seconds", "How long it is paused yet.", labels=["upstream"])
    pauses = CounterMetricFamily("streamweir_upstream_pauses", "Pauses behind a 429.", labels=["upstream"])
    for name, client in shared.serving.profiles.clients.items():
        state = client.turns.state
        if state.limit:
            budget.add_metric([name], state.used)
            allowed.add_metric([name], state.limit)
        waiting.add_metric([name], state.waiting)
        paused.add_metric([name], state.paused)
        pauses.add_metric([name], state.pauses)
    yield from (budget, allowed, waiting, paused, pauses)


def of_records(shared: Shared) -> Iterable[Metric]:
    """Rows that the store took, that wait for it, and that were lost; nothing where nothing is recorded."""
    if shared.records is None:
        return
    writer = shared.records.writer
    yield CounterMetricFamily("streamweir_records_written", "Rows of opened and closed streams.", writer.written)
    yield GaugeMetricFamily("streamweir_records_queued", "Rows that wait to be written.", writer.queued)
    yield GaugeMetricFamily("streamweir_records_away", "Whether the store takes none.", int(writer.away is not None))
    yield CounterMetricFamily("streamweir_records_lost", "Records that could not be kept.", writer.lost)
    labels = ["kind", "target", "outcome"]
    tries = CounterMetricFamily("streamweir_deliveries", "Tries to deliver what left with records.", labels=labels)
    for (kind, target, state), count in list(shared.records.tries.items()):
        tries.add_metric([kind, target, OUTCOMES[state]], count)
    yield tries


def of_process(shared: Shared) -> Iterable[Metric]:
    """Which release runs, since when, and how late its event loop is."""
    info = GaugeMetricFamily("streamweir_build_info", "1 for the release that runs.", labels=["version"])
    info.add_metric([version("streamweir")], 1)
    yield info
    yield GaugeMetricFamily(
        "streamweir_uptime_seconds", "Since the server was made.", time.monotonic() - shared.made_at
    )
    lag = shared.lag
    bounds = [*map(str, BOUNDS), "+Inf"]
    yield HistogramMetricFamily(
        "streamweir_event_loop_lag_seconds",
        "How late a timer of the event loop came, twice a second.",
        buckets=[(bound, float(count)) for bound, count in zip(bounds, accumulate(lag.counts), strict=True)],
        sum_value=lag.total,
    )
    yield GaugeMetricFamily(
        "streamweir_event_loop_lag_worst_seconds", "The longest of the last one to two minutes.", lag.worst
    )


SOURCES: Final[tuple[Callable[[Shared], Iterable[Metric]], ...]] = (
    of_streams,
    of_admission,
    of_kept,
    of_upstreams,
    of_records,
    of_process,
)
"""What else can be read at a scrape is a function here."""
