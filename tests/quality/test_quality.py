"""What the tables say is what comes out, and no kind falls below what is asked of it. Nothing here needs a network.

The parts of docs/guard-quality.md on presidio's sentences and on dialogues are written once (`make quality`, `make
corpus`); what is held here are the floors that they must keep, and the parts that can be made again.
"""

import random
import re
from pathlib import Path

import pytest

from streamweir.guard.engine import Scan, redact
from tests.docs.blocks import CODE_SPAN, split
from tests.quality import carriers, corpus, document, measure, negatives, planted, tutorials

STRUCTURED, OTHERS = 0.995, 0.95
BELOW = {
    "CARD, visa13": 0.0,
    "PHONE, en_CA, alone": 0.85,
    "PHONE, en_US, alone": 0.85,
}
"""Rows that fall short, and how far they may: numbers that nothing announces and that could be anything."""

TEXTS = list(carriers.texts())
ROWS, FINDS = planted.score(planted.guard(), TEXTS)


@pytest.mark.parametrize("name", sorted(ROWS))
def test_recall_has_a_floor(name: str) -> None:
    row = ROWS[name]
    floor = OTHERS if row.kind in ("PHONE", "PASSPORT", "BIRTH_DATE") else STRUCTURED
    assert row.planted >= 60
    assert row.found >= BELOW.get(name, floor) * row.planted, row.missed.most_common(5)
    if name in BELOW:
        assert row.found < floor * row.planted, f"{name} need not be excused any longer"


def test_nothing_is_found_beside_what_was_planted() -> None:
    assert {kind: finds.elsewhere for kind, finds in FINDS.items() if finds.elsewhere} == {}


@pytest.mark.parametrize("negative", negatives.NEGATIVES, ids=lambda one: one.name)
def test_hard_negatives(negative: negatives.Negative) -> None:
    found, kinds = measure.in_vain(negative)
    assert found == 0 or negative.why, kinds
    assert found or not negative.why, f"{negative.name} need not be explained any longer"


def test_there_are_enough_hard_negatives() -> None:
    assert len({one.name for one in negatives.NEGATIVES}) >= 40


@pytest.mark.parametrize("part", measure.PARTS)
def test_the_tables_in_the_docs_are_what_comes_out(part: str) -> None:
    made = measure.PARTS[part]().strip()
    assert document.read(part) == made


def test_the_table_of_tutorials_is_what_comes_out() -> None:
    assert document.read("tutorials", document.GUARD) == tutorials.table()


def test_what_was_measured_once_is_there() -> None:
    text = document.DOC.read_text(encoding="utf-8")
    assert text.count("<!-- corpus ") == 4
    assert document.read("templates").startswith("`presidio-evaluator==")


def test_a_value_counts_only_if_all_of_it_is_covered() -> None:
    guard = planted.guard()
    whole = planted.plant("mail {} now", "a@b.de", "EMAIL", "x")
    more = planted.Planted(whole.text, [planted.Value(0, 11, "EMAIL", "y")])
    rows, finds = planted.score(guard, [whole, more, planted.Planted("mail c@d.de", [])])
    assert (rows["x"].found, rows["y"].found, dict(rows["y"].missed)) == (1, 0, {"aaaa a@a.aa": 1})
    assert (finds["EMAIL"].findings, finds["EMAIL"].right, dict(finds["EMAIL"].elsewhere)) == (3, 2, {"a@a.aa": 1})


def test_annotations_are_read_as_the_corpora_write_them(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text(
        "conversationId\tutterance\tslot-labels\nx\tcall 415 555 2671 or 10.0.0.1\tO phone phone phone O O\n",
        encoding="utf-8",
    )
    (tmp_path / "b.json").write_text(
        '[{"turns": [{"utterance": "it is 415-555-2671", "frames": [{"actions": [{"slot": "phone_number", "values": '
        '["415-555-2671"]}]}]}, {"utterance": "or 212-555-2671", "frames": []}]}]',
        encoding="utf-8",
    )
    (tmp_path / "c.txt").write_text("nothing here\n", encoding="utf-8")
    made = corpus.measure(tmp_path)
    assert "4 utterances, 13 words" in made
    assert "| `PHONE` | 3 | 23076.9 | 2 | 0 | 1 | `000-000-0000` |" in made
    assert "| `IP` | 1 | 7692.3 | 0 | 0 | 1 | `00.0.0.0` |" in made
    assert "`PHONE` 2 of 2" in made


def test_what_is_found_does_not_depend_on_the_cuts() -> None:
    rng = random.Random(9)
    guard = planted.guard()
    for one in rng.sample(TEXTS, 600):
        scan, out, at = Scan(guard), "", 0
        while at < len(one.text):
            size = rng.randint(1, 9)
            out += scan.push(one.text[at : at + size])
            at += size
        assert out + scan.finish(whole=True) == redact(guard, one.text)[0]


def prose() -> str:
    """This project's own documents without their code, tables and links."""
    paths = [path for path in sorted((document.ROOT / "docs").glob("*.md")) if path != document.DOC]
    lines = (line for path in paths for line in split(path.read_text(encoding="utf-8"))[1].splitlines())
    return "\n".join(
        re.sub(r"\]\([^)]*\)", "]", CODE_SPAN.sub("it", line)) for line in lines if not line.startswith("|")
    )


def test_prose_is_held_back_by_a_few_characters() -> None:
    scan = Scan(planted.guard())
    held: list[int] = []
    for char in prose():
        scan.push(char)
        held.append(scan._pos - scan._starts[0] if scan._starts else 0)
    held.sort()
    mean, p99 = sum(held) / len(held), held[int(0.99 * len(held))]
    print(f"\n{len(held)} characters: mean {mean:.2f}, p99 {p99}")
    assert len(held) > 10_000
    assert mean <= 3
    assert p99 <= 12
