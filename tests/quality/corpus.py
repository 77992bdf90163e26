"""What the guard finds in dialogues of others: `make corpus DIR=… SOURCE=…`; only counts and shapes are written down.

It reads what stands in a folder: .json (a list of dialogues with `turns`, each an `utterance` and its `frames`, as the
Schema-Guided Dialogue data have them), .tsv (columns `utterance` and `slot-labels`, a label a word, as MultiDoGO has
them), and .txt. A finding is judged by the corpus's own annotation, and by nothing else.
"""

import csv
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from streamweir.guard.engine import redact
from tests.quality import document, planted

SLOTS = {"PHONE": "phone", "CARD": "card_number", "US_SSN": "ssn", "EMAIL": "email"}
"""Kinds, and what is in the name of a slot that means the same."""


class Span(NamedTuple):
    start: int
    end: int
    slot: str


class Utterance(NamedTuple):
    text: str
    spans: list[Span]


def utterances(folder: Path) -> Iterator[Utterance]:
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".json":
            yield from of_dialogues(json.loads(path.read_text(encoding="utf-8")))
        elif path.suffix == ".tsv":
            yield from of_rows(path)
        elif path.suffix == ".txt":
            yield from (Utterance(line, []) for line in path.read_text(encoding="utf-8").splitlines())


def of_dialogues(dialogues: Any) -> Iterator[Utterance]:
    """The values that a dialogue's acts name are looked for in each of its utterances."""
    for dialogue in dialogues:
        if "turns" not in dialogue:
            continue
        acts = [act for turn in dialogue["turns"] for frame in turn["frames"] for act in frame.get("actions", ())]
        values = {(act["slot"], value) for act in acts for value in act["values"] if len(value) > 6}
        for turn in dialogue["turns"]:
            text = turn["utterance"]
            spans = [
                Span(text.index(value), text.index(value) + len(value), slot) for slot, value in values if value in text
            ]
            yield Utterance(text, spans)


def of_rows(path: Path) -> Iterator[Utterance]:
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            text, labels = row["utterance"] or "", (row.get("slot-labels") or "").split()
            spans: list[Span] = []
            at = 0
            for word, label in zip(text.split(), labels, strict=False):
                at = text.index(word, at)
                if spans and spans[-1].slot == label and text[spans[-1].end : at].isspace():
                    spans[-1] = spans[-1]._replace(end=at + len(word))
                elif label != "O":
                    spans.append(Span(at, at + len(word), label))
                at += len(word)
            yield Utterance(text, spans)


class Judged(NamedTuple):
    """The findings of one kind: on a slot of the same meaning, on another slot, on none; shapes of the last two."""

    right: Counter[str]
    other: Counter[str]
    none: Counter[str]


def measure(folder: Path) -> str:
    guard = planted.guard()
    count = words = 0
    judged: dict[str, Judged] = {}
    annotated: Counter[str] = Counter()
    covered: Counter[str] = Counter()
    for text, spans in utterances(folder):
        count += 1
        words += len(text.split())
        findings = redact(guard, text)[1]
        for f in findings:
            one = judged.setdefault(f.kind, Judged(Counter(), Counter(), Counter()))
            over = [span.slot for span in spans if f.start < span.end and span.start < f.end]
            shape = planted.shape(text[f.start : f.end])
            if any(SLOTS.get(f.kind, "-") in slot for slot in over):
                one.right[shape] += 1
            elif over:
                one.other[f"{over[0]}: {shape}"] += 1
            else:
                one.none[shape] += 1
        for kind, name in SLOTS.items():
            for span in spans:
                if name in span.slot and sum(char.isdigit() for char in text[span.start : span.end]) >= 9:
                    annotated[kind] += 1
                    covered[kind] += any(f.start <= span.start and span.end <= f.end for f in findings)
    if not words:
        raise SystemExit(f"{folder} has no .json, .tsv or .txt file with dialogues: give the folder of a local copy")
    rows = [
        f"| `{kind}` | {(n := sum(map(Counter.total, one)))} | {n * 100_000 / words:.1f} | {one.right.total()} "
        f"| {one.other.total()} | {one.none.total()} | {planted.shapes(one.other + one.none)} |"
        for kind, one in sorted(judged.items())
    ]
    doubtful = sum(one.other.total() + one.none.total() for kind, one in judged.items() if kind != "EMAIL")
    return "\n".join(
        [
            f"{count} utterances, {words} words. Findings that are no e-mail address and that the corpus does not "
            f"annotate as what they were taken for: {doubtful}, {doubtful * 100_000 / words:.2f} in 100,000 words.",
            "",
            "| kind | findings | in 100,000 words | annotated as that | annotated as something else | not annotated | shapes of these two |",
            "|---|---|---|---|---|---|---|",
            *rows,
            "",
            "Annotated values of nine digits and more that were covered whole: "
            + "; ".join(f"`{kind}` {covered[kind]} of {annotated[kind]}" for kind in sorted(annotated))
            + ".",
        ]
    )  # fmt: skip


if __name__ == "__main__":
    if len(sys.argv) < 3 or not Path(sys.argv[1]).is_dir():
        raise SystemExit("make corpus DIR=folder SOURCE=owner/repository@commit")
    made = f"From {sys.argv[2]}: {measure(Path(sys.argv[1]))}"
    if "--write" in sys.argv:
        document.write(f"corpus {sys.argv[2]}", made)
    else:
        sys.stdout.write(f"{made}\n")
