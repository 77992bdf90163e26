"""The knee: how many streams at 20 events/s a proxy carries before it adds more than 20 ms. The search is pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.peers.workloads import Load

RATE = 20.0
LIMIT_MS = 20.0
"""What a proxy may add to the p99 of an event's latency."""

FIRST = 100
MOST = 1600
"""Streams of the first probe, which is as large as load A, and of the last: there upstream and client need a third of a
core each."""

FINE = 1.15
"""The search ends where the least number that is too many is at most so many times the most that is not."""

PROBES = 9
"""Numbers of streams that one search tries, at most."""

HOPELESS_MS = 5 * LIMIT_MS
"""What is as late as this is not so by a moment of the machine's, and is not tried again."""


@dataclass(frozen=True)
class Knee:
    """The most streams that a proxy carried, and the fewest that it did not; None: that was not seen."""

    carried: int | None
    too_many: int | None

    def __str__(self) -> str:
        if self.carried is None:
            return f"below {self.too_many}"
        return f"{self.carried:,}" if self.too_many else f"{self.carried:,} or more"


def find(carries: Callable[[int], bool], most: int = MOST) -> Knee:
    """Double, or halve, until an answer changes; then bisect. `carries(streams)` is asked at most PROBES times."""
    good: int | None = None
    bad: int | None = None
    streams = FIRST
    for _ in range(PROBES):
        if carries(streams):
            good = streams
        else:
            bad = streams
        if good is not None and bad is not None:
            if bad <= good * FINE or bad - good == 1:
                break
            streams = (good + bad) // 2
        elif good is not None:
            if good >= most:
                break
            streams = min(most, good * 2)
        elif streams == 1:
            break
        else:
            streams //= 2
    return Knee(good, bad)


def load(streams: int) -> Load:
    """Three seconds of so many streams, with a whole mark in every fifth event; what takes twice as long has failed."""
    return Load(streams, 60, RATE, every=5, limit=7, ramp_ms=500, whole=True)


def added_ms(mine: Mapping[str, float], base: Mapping[str, float], figure: str = "lat_p99_us") -> float:
    """What a proxy adds to the p99 of an event's latency."""
    return (mine[figure] - base[figure]) / 1000


def best(probes: Sequence[tuple[int, Mapping[str, float]]], streams: int) -> Mapping[str, float]:
    """nginx's figures for so many streams: the best of as many or more, since with fewer it is not later."""
    return min((figures for count, figures in probes if count >= streams), key=lambda one: one["lat_p99_us"])


def carried(mine: Mapping[str, float], base: Mapping[str, float]) -> bool:
    """Whether all came, and in time."""
    if any(mine[name] for name in ("lost", "dup", "req_err", "unfinished")):
        return False
    return added_ms(mine, base) <= LIMIT_MS
