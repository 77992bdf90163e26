"""Texts with values planted in them, what a guard makes of them, and the rows of a table that come of it."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache

from streamweir.guard.build import Spec, build
from streamweir.guard.engine import redact
from streamweir.guard.shapes import Guard


@dataclass(frozen=True)
class Value:
    """A value in a text; `row` is the line of the table in which it counts, `kind` the label that it should get."""

    start: int
    end: int
    kind: str
    row: str


@dataclass(frozen=True)
class Planted:
    text: str
    values: Sequence[Value]


@dataclass
class Row:
    kind: str
    planted: int = 0
    found: int = 0
    labelled: int = 0
    missed: Counter[str] = field(default_factory=Counter[str])


@dataclass
class Finds:
    """The findings of one kind; `elsewhere` are those that touch no planted value."""

    findings: int = 0
    right: int = 0
    elsewhere: Counter[str] = field(default_factory=Counter[str])


def plant(carrier: str, value: str, kind: str, row: str) -> Planted:
    """A sentence with {} for the value."""
    at = carrier.index("{}")
    return Planted(carrier[:at] + value + carrier[at + 2 :], [Value(at, at + len(value), kind, row)])


def shape(text: str) -> str:
    """Digits as 0, letters as a or A: what a value looks like without the value."""
    text = re.sub(r"\d", "0", text)
    text = re.sub(r"[^\W\d_]", lambda found: "A" if found[0].isupper() else "a", text)
    return text.replace("\n", "\\n") if len(text) <= 32 else text[:30].replace("\n", "\\n") + "…"


@cache
def guard() -> Guard:
    return build(Spec(), b"quality")


def score(guard: Guard, texts: Iterable[Planted]) -> tuple[dict[str, Row], dict[str, Finds]]:
    """Rows by name, findings by kind. A value counts as found where every character of it is covered."""
    rows: dict[str, Row] = {}
    finds: dict[str, Finds] = {}
    for one in texts:
        _, findings = redact(guard, one.text)
        for value in one.values:
            row = rows.setdefault(value.row, Row(value.kind))
            row.planted += 1
            over = [f for f in findings if f.start < value.end and value.start < f.end]
            covered = {at for f in over for at in range(f.start, f.end)}
            if covered.issuperset(range(value.start, value.end)):
                row.found += 1
                row.labelled += any(f.kind == value.kind for f in over)
            else:
                row.missed[shape(one.text[value.start : value.end])] += 1
        for f in findings:
            kind = finds.setdefault(f.kind, Finds())
            kind.findings += 1
            if any(f.start < value.end and value.start < f.end for value in one.values):
                kind.right += 1
            else:
                kind.elsewhere[shape(one.text[f.start : f.end])] += 1
    return rows, finds


def percent(part: int, whole: int) -> str:
    """Rounded down: 100.0 is all of them."""
    return f"{part * 1000 // whole / 10:.1f} %" if whole else "-"


def shapes(counts: Counter[str]) -> str:
    return ", ".join(f"`{name.replace('|', '/').replace('`', ' ')}`" for name, _ in sorted(counts.items(), key=lambda p: (-p[1], p[0]))[:3]) or "-"  # fmt: skip


def recall_table(rows: dict[str, Row]) -> list[str]:
    return [
        "| what | planted | found | recall | with its own label | shapes that were missed |",
        "|---|---|---|---|---|---|",
        *(
            f"| {name} | {row.planted} | {row.found} | {percent(row.found, row.planted)} | {row.labelled} "
            f"| {shapes(row.missed)} |"
            for name, row in sorted(rows.items(), key=lambda pair: (pair[1].kind, pair[0]))
        ),
    ]


def precision_table(finds: dict[str, Finds]) -> list[str]:
    return [
        "| kind | findings | on a planted value | precision | shapes of the others |",
        "|---|---|---|---|---|",
        *(
            f"| `{name}` | {kind.findings} | {kind.right} | {percent(kind.right, kind.findings)} | {shapes(kind.elsewhere)} |"
            for name, kind in sorted(finds.items())
        ),
    ]
