"""What streams add up to, against the counters and histograms of Prometheus' own library."""

import random

from prometheus_client import CollectorRegistry, Histogram, Metric, generate_latest

from streamweir.server.totals import GAPS, HELD, LENGTHS, WAITS, Spread, histograms


class Given:
    """A collector of what it was given."""

    def __init__(self, *families: Metric) -> None:
        self._families = families

    def collect(self) -> tuple[Metric, ...]:
        return self._families


def without_time(text: bytes) -> list[str]:
    """The lines of Prometheus' format, without the moment at which the library's own objects were made."""
    return [line for line in text.decode().splitlines() if "_created" not in line]


def test_a_spread_reads_as_the_librarys_histogram_does() -> None:
    draw = random.Random(7)
    for bounds in (WAITS, GAPS, LENGTHS, HELD):
        registry = CollectorRegistry()
        theirs = Histogram("streamweir_x", "What.", ["profile"], buckets=bounds, registry=registry)
        ours = {"a": Spread(bounds), "b": Spread(bounds), "no value": Spread(bounds)}
        for _ in range(200):
            name = draw.choice(("a", "b"))
            value = draw.choice((draw.choice(bounds), draw.uniform(0, 2 * bounds[-1]), 0.0))
            ours[name].add(value)
            theirs.labels(name).observe(value)
        family = histograms("x", "What.", ("profile",), (((name,), spread) for name, spread in sorted(ours.items())))
        mine = CollectorRegistry()
        mine.register(Given(family))
        assert sorted(without_time(generate_latest(mine))) == sorted(without_time(generate_latest(registry)))
