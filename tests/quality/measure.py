"""Recall, precision and what is found in vain, for docs/guard-quality.md.

`python -m tests.quality.measure` prints what needs no network, `--write` writes it down; `--templates` does the same for
the sentences of presidio-evaluator, whose wheel it downloads (`make quality`).
"""

import sys
from collections import Counter

from streamweir.guard.engine import redact
from tests.quality import carriers, document, negatives, planted, templates


def of_templates() -> str:
    sentences, licences = templates.wheel()
    texts = list(templates.filled(sentences, licences))
    rows, finds = planted.score(planted.guard(), texts)
    words = sum(len(one.text.split()) for one in texts)
    return "\n".join(
        [
            f"`{templates.PACKAGE}`: {len(sentences)} templates, {templates.FILLS} times in each of "
            f"{', '.join(templates.LOCALES)}: {len(texts)} texts, {words} words.",
            "",
            *planted.recall_table(rows),
            "",
            *planted.precision_table(finds),
        ]
    )


def of_carriers() -> str:
    texts = list(carriers.texts())
    rows, finds = planted.score(planted.guard(), texts)
    return "\n".join([f"{len(texts)} texts.", "", *planted.recall_table(rows), "", *planted.precision_table(finds)])


def in_vain(negative: negatives.Negative) -> tuple[int, Counter[str]]:
    """How many texts of a shape have a finding, and the kinds."""
    guard = planted.guard()
    found = [redact(guard, text)[1] for text in negatives.texts(negative)]
    return sum(bool(one) for one in found), Counter(f.kind for one in found for f in one)


def of_negatives() -> str:
    counts = {one.name: in_vain(one) for one in negatives.NEGATIVES}
    empty = [one.name for one in negatives.NEGATIVES if not counts[one.name][0]]
    return "\n".join(
        [
            f"{len(counts)} shapes, {negatives.EACH} texts each; nothing is found in {len(empty)} of them:",
            "",
            "; ".join(empty) + ".",
            "",
            "| found in vain | texts | found | as | why |",
            "|---|---|---|---|---|",
            *(
                f"| {one.name} | {negatives.EACH} | {counts[one.name][0]} | "
                f"{', '.join(f'`{kind}`' for kind in sorted(counts[one.name][1]))} | {one.why} |"
                for one in negatives.NEGATIVES
                if counts[one.name][0]
            ),
        ]
    )


PARTS = {"carriers": of_carriers, "negatives": of_negatives}

if __name__ == "__main__":
    for part, made in ({"templates": of_templates} if "--templates" in sys.argv else PARTS).items():
        if "--write" in sys.argv:
            document.write(part, made())
        else:
            sys.stdout.write(f"{made()}\n\n")
