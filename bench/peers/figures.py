"""From rounds to figures: medians with their spread, and ratios to nginx of the same round. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

BASE = "nginx"
"""The column that all others are compared with."""


@dataclass(frozen=True)
class Row:
    """What one load of one column in one round gave; no figures where it failed."""

    column: str
    workload: str
    round: int
    figures: Mapping[str, float]
    error: str = ""


@dataclass(frozen=True)
class Spread:
    """A median, and the least and the most of what it is of."""

    median: float
    least: float
    most: float


@dataclass(frozen=True)
class Trouble:
    """What went wrong in all loads of a column together."""

    lost: int = 0
    repeated: int = 0
    failed: int = 0


def spread(values: Iterable[float]) -> Spread | None:
    """None: there are no values."""
    some = sorted(values)
    return Spread(statistics.median(some), some[0], some[-1]) if some else None


def _by_round(rows: Sequence[Row], column: str, workload: str, figure: str) -> dict[int, float]:
    """A figure of each round that has it; 0 and below are a load's word for none."""
    return {
        row.round: row.figures[figure]
        for row in rows
        if row.column == column and row.workload == workload and row.figures.get(figure, 0) > 0
    }


def values(rows: Sequence[Row], column: str, workload: str, figure: str) -> Spread | None:
    """A figure over the rounds."""
    return spread(_by_round(rows, column, workload, figure).values())


def ratio(rows: Sequence[Row], column: str, workload: str, figure: str) -> Spread | None:
    """A figure as a multiple of nginx's in the same round."""
    base = _by_round(rows, BASE, workload, figure)
    mine = _by_round(rows, column, workload, figure)
    return spread(value / base[at] for at, value in mine.items() if at in base)


def added_ms(rows: Sequence[Row], column: str, workload: str, figure: str) -> Spread | None:
    """How much more a figure in us is than nginx's in the same round, in ms."""
    base = _by_round(rows, BASE, workload, figure)
    mine = _by_round(rows, column, workload, figure)
    return spread((value - base[at]) / 1000 for at, value in mine.items() if at in base)


def kib_a_stream(rows: Sequence[Row], column: str, workload: str, streams: int) -> Spread | None:
    """Memory that came with the streams of a load, a stream; of rounds in which all of them ran."""
    return spread(
        (row.figures["rss_mid_mb"] - row.figures["rss_pre_mb"]) * 1024 / streams
        for row in rows
        if row.column == column
        and row.workload == workload
        and row.figures.get("rss_mid_mb", 0) > 0
        and not row.figures["unfinished"]
    )


def trouble(rows: Iterable[Row], column: str) -> Trouble:
    """Lost and repeated events and failed requests; what was not over in time has failed, and so has a whole load."""
    mine = [row for row in rows if row.column == column]

    def total(*names: str) -> int:
        return int(sum(row.figures.get(name, 0) for row in mine for name in names))

    return Trouble(total("lost"), total("dup"), total("req_err", "unfinished") + sum(1 for row in mine if row.error))
