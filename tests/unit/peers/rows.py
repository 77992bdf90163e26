"""Rounds as the load client tells of them, with what a test wants in them."""

from bench.peers.figures import Row
from bench.peers.table import Result
from bench.peers.workloads import FIGURES, WORKLOADS

COSTS = {one.letter: one.cost for one in WORKLOADS}


def figures(**given: float) -> dict[str, float]:
    return dict.fromkeys(FIGURES, 0.0) | given


def row(column: str, workload: str, round: int, cost: float, **given: float) -> Row:
    return Row(column, workload, round, figures(**{COSTS[workload]: cost}, **given))


def result(rows: list[Row], **given: object) -> Result:
    columns = list(dict.fromkeys(one.column for one in rows))
    found = Result(columns, WORKLOADS, 3, "Two cores.")
    found.rows = rows
    for name, value in given.items():
        setattr(found, name, value)
    return found
