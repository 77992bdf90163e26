from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamweir.events import Delta, End, Numbered
from streamweir.report import IntegrityReport
from streamweir.stages.integrity import MAX_HELD, Integrity


def run(numbers: list[int | None], **options: object) -> tuple[list[str], End]:
    """Numbers of chunks, `None` unnumbered and negative ones without content (as -1 - n)."""
    stage, texts = Integrity(**options), []
    events = []
    for number in numbers:
        if number is None:
            events.append(Delta("u"))
        else:
            events.append(Numbered(number, (Delta(f"{number} "),)) if number >= 0 else Numbered(-1 - number))
    for event in [*events, End("completed")]:
        for out in stage((event,), 0.0):
            if isinstance(out, End):
                return texts, out
            texts.append(out.text)
    raise AssertionError("no end")


def report(numbers: list[int | None]) -> IntegrityReport:
    return run(numbers, failing=False)[1].sections["integrity"]


@pytest.mark.parametrize(
    ("numbers", "gaps", "duplicates", "disorder", "verified"),
    [
        ([0, 1, 2], [], 0, 0, True),
        ([0, 1, 4, 5], [(2, 3)], 0, 0, False),
        ([2, 3], [(0, 1)], 0, 0, False),
        ([0, 2, 1, 3], [], 0, 1, False),
        ([0, 1, 1, 2], [], 1, 0, True),
        ([0, 5, 2, 3], [(1, 1), (4, 4)], 0, 2, False),
        ([0, 5, 5, 1, 1], [(2, 4)], 2, 1, False),
        ([0, None, 1], [], 0, 0, False),
        ([-1, 1, 2], [], 0, 0, True),  # the role chunk took number 0
        ([-1, 0, 1], [], 0, 0, True),  # the role chunk shares number 0
        ([0, 1, -3], [], 0, 0, True),  # the last chunk carries the next number
        ([0, 2, -2], [], 0, 0, True),  # a late number without content is not missing
        ([0, -3, 4], [(1, 1), (3, 3)], 0, 0, False),
    ],
)
def test_numbers(
    numbers: list[int | None], gaps: list[tuple[int, int]], duplicates: int, disorder: int, verified: bool
) -> None:
    found = report(numbers)
    assert (found.gaps, found.duplicates, found.out_of_order, found.verified) == (gaps, duplicates, disorder, verified)


def test_without_numbers_nothing_is_verified() -> None:
    found = report([None, None])
    assert (found.verified, found.first_sequence, found.last_sequence) == (None, None, None)


def test_duplicates_are_dropped_and_order_is_arrival() -> None:
    assert "".join(run([0, 2, 1, 1, 3], failing=False)[0]) == "0 2 1 3 "


def test_too_many_gaps_fail_at_the_twentieth_chunk() -> None:
    numbers = [n for n in range(40) if n % 5]
    texts, end = run(numbers)
    assert len(texts) == 20
    assert (end.status, end.code, end.error_type) == ("failed", "integrity_failed", "StreamIntegrityError")


def test_too_many_gaps_in_a_short_reply_fail_at_its_end() -> None:
    texts, end = run([0, 1, 3, 4])
    assert (len(texts), end.code) == (4, "integrity_failed")


def test_few_gaps_end_as_they_ended() -> None:
    _, end = run([n for n in range(40) if n != 7])
    assert end.status == "completed"
    assert end.sections["integrity"].verified is False
    assert end.sections["integrity"].gap_ratio == 0.025


def test_a_stream_that_was_cut_stays_cut() -> None:
    stage = Integrity()
    stage((Numbered(9, (Delta("a"),)),), 0.0)
    (end,) = stage((End("interrupted", code="stream_interrupted"),), 0.0)
    assert end.status == "interrupted"


def test_hostile_numbers_are_bounded() -> None:
    stage, ended = Integrity(), False
    for n in range(MAX_HELD * 3):
        out = stage((Numbered(n * 10**15, (Delta("a"),)),), 0.0)
        ended = ended or any(isinstance(event, End) for event in out)
        if ended:
            break
    assert ended


@pytest.mark.parametrize("numbers", [range(0, MAX_HELD * 8, 2), [2**60, *range(1, MAX_HELD * 8, 2)]])
def test_gaps_that_are_ignored_are_bounded_too(numbers: Iterable[int]) -> None:
    """Gap after gap, and one gap that late numbers cut up: each piece of text comes, and the list stays short."""
    given = list(numbers)
    texts, end = run([*given, 2**61, given[-1] + 1], failing=False)
    found = end.sections["integrity"]
    assert len(texts) == len(given) + 2
    assert len(found.gaps) <= MAX_HELD
    assert found.gap_ratio > 0.5
    assert not found.verified


@given(st.lists(st.integers(0, 30), max_size=60))
@settings(deadline=None, max_examples=200)
def test_against_a_plain_model(numbers: list[int]) -> None:
    found = report(list(numbers))
    seen = set(numbers)
    missing = set(range(max(seen, default=-1) + 1)) - seen
    assert {n for first, last in found.gaps for n in range(first, last + 1)} == missing
    assert found.duplicates == len(numbers) - len(seen)
    assert found.gap_ratio == round(len(missing) / (len(missing) + len(seen)), 4) if seen else True
