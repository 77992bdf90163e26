"""The figures of a run as Markdown. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench.peers.figures import BASE, Row, Spread, added_ms, kib_a_stream, ratio, trouble, values
from bench.peers.knee import LIMIT_MS, RATE, Knee
from bench.peers.workloads import Workload

NONE = "-"
STEADY, MEMORY = "A", "B"
"""The workloads of which latency and memory are told."""


@dataclass
class Result:
    """All that a run gave. `knees` and `whole` by column; the latter is what is added to the p99 of first
    token and event, in ms, where marks are whole words."""

    columns: Sequence[str]
    workloads: Sequence[Workload]
    rounds: int
    machine: str
    rows: list[Row] = field(default_factory=list[Row])
    knees: dict[str, Knee] = field(default_factory=dict[str, Knee])
    whole: dict[str, tuple[float, float]] = field(default_factory=dict[str, tuple[float, float]])
    missing: Mapping[str, str] = field(default_factory=dict[str, str])
    slow: Sequence[str] = ()

    def streams(self, letter: str) -> int | None:
        """How many streams a workload of this run has; None: it was not run."""
        return next((one.load.streams for one in self.workloads if one.letter == letter), None)


def number(value: float) -> str:
    """Three digits that count."""
    size = abs(value)
    return f"{value:.2f}" if size < 10 else f"{value:.1f}" if size < 100 else f"{value:,.0f}"


def cell(spread: Spread | None) -> str:
    """A median with its spread."""
    if spread is None:
        return NONE
    return f"{number(spread.median)} ({number(spread.least)} to {number(spread.most)})"


def cpu(result: Result) -> str:
    """What an event or a request costs."""
    shown = [one for one in result.workloads if one.letter != MEMORY]
    heads = [head for one in shown for head in (f"{one.letter}, {one.unit}", "x nginx")]
    lines = [_line(["", *heads]), _line(["---"] * (len(heads) + 1))]
    for column in result.columns:
        cells = [column]
        for one in shown:
            spread = values(result.rows, column, one.letter, one.cost)
            cells.append(number(spread.median) if spread else NONE)
            cells.append("1" if column == BASE else cell(ratio(result.rows, column, one.letter, one.cost)))
        lines.append(_line(cells))
    return "\n".join(lines)


def rest(result: Result) -> str:
    """What a proxy adds to the way of an event, what it takes, and what went wrong in all loads together."""
    heads = ["", "first token, p99", "an event, p99", "both, of whole words", "KiB a stream", "knee"]
    heads.append("lost, repeated, failed")
    lines = [_line(heads), _line(["---"] * len(heads))]
    memory = result.streams(MEMORY)
    for column in result.columns:
        wrong = trouble(result.rows, column)
        lines.append(
            _line(
                [
                    column,
                    _late(result, column, "ttft_p99_us"),
                    _late(result, column, "lat_p99_us"),
                    " and ".join(map(number, result.whole[column])) + " ms" if column in result.whole else NONE,
                    cell(kib_a_stream(result.rows, column, MEMORY, memory)) if memory else NONE,
                    str(result.knees[column]) if column in result.knees else NONE,
                    f"{wrong.lost:,}, {wrong.repeated:,}, {wrong.failed:,}",
                ]
            )
        )
    return "\n".join(lines)


def _late(result: Result, column: str, figure: str) -> str:
    """Added to nginx's of the same round; nginx's own is told as it is."""
    if column == BASE:
        spread = values(result.rows, column, STEADY, figure)
        return f"({number(spread.median / 1000)} ms)" if spread else NONE
    added = added_ms(result.rows, column, STEADY, figure)
    return f"{cell(added)} ms" if added else NONE


def notes(result: Result) -> str:
    """How to read the tables."""
    loads = "; ".join(f"{one.letter}: {one.what}" for one in result.workloads)
    lines = [
        f"{loads}. Medians of {result.rounds} interleaved rounds, with the least and the most; CPU is that of a proxy's"
        " whole process tree, and ratios are to nginx in the same round.",
        "First token and event: added to nginx's p99 of the same round at A, from the upstream's write to the client's"
        " read; nginx's own is in brackets. A guard holds a word until the next event shows that it is over; whole"
        " words, in one load of the same size, it need not hold.",
        f"Knee: the most streams at {RATE:g} events/s to whose p99, of whole words, at most {LIMIT_MS:g} ms are added.",
        "Memory: what came with the streams of B, in a new process; what it had freed before is used first. Lost is"
        " also what had not come when a load's time was over.",
    ]
    if result.slow:
        lines.append(f"{', '.join(result.slow)}: one round of A and B, 500 events a stream at C.")
    lines += [f"Not measured: {name}, {why}." for name, why in result.missing.items()]
    return "\n".join(f"- {line}" for line in [*lines, result.machine])


def page(result: Result, plot: str | None = None) -> str:
    """All of it, for a document or a terminal."""
    parts = [cpu(result), *([f"![CPU as multiples of nginx]({plot})"] if plot else []), rest(result), notes(result)]
    return "\n\n".join(parts)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |".replace("|  |", "| |")
