"""What the guard costs, counted: work a character, memory a stream, memory of the states."""

import gc
import itertools
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from types import BuiltinFunctionType, FunctionType, NoneType
from typing import Any

import pytest
from bench.counting import counted
from bench.texts import SHAPES, contact_centre, hostile, made_up, terms

from streamweir.events import Delta
from streamweir.guard.automaton import Automaton, State
from streamweir.guard.build import Spec, build
from streamweir.guard.engine import Scan, redact
from streamweir.guard.shapes import Guard, Kind
from streamweir.stages.guard import Guarded
from streamweir.stages.release import Names

SPEC = Spec(terms=tuple(terms()))
GUARD = build(SPEC, b"key")
PROSE = contact_centre()
STATE = 2_048


@pytest.mark.parametrize("delta", [6, 1_000_000], ids=["deltas", "whole"])
@pytest.mark.parametrize("shape", SHAPES)
def test_work_a_character_does_not_grow_with_the_text(shape: str, delta: int) -> None:
    counted(GUARD, hostile(shape, 20_000), delta)
    short, long = (counted(GUARD, hostile(shape, size), delta).a_character() for size in (1_000, 20_000))
    for name, work in long.items():
        # the states that all this needs are built by now, or rare
        assert work <= short[name] * 1.25 + 1, (name, short, long)
    assert long["lines"] < 150
    assert long["validated"] < 150
    assert long["copied"] < 150


def test_new_states_cost_a_bounded_number_of_lines() -> None:
    for shape in SHAPES:
        work = counted(build(SPEC, b"key"), hostile(shape, 3_000), 6)
        assert work.lines < 300 * work.characters, shape


SHARED = (Guard, Kind, Automaton, State, Names, type, FunctionType, BuiltinFunctionType, bool, NoneType)


def size_of(root: object) -> int:
    """Bytes of an object and of what it refers to, without what is shared by all streams."""
    seen: set[int] = set()
    left, total = [root], 0
    while left:
        one = left.pop()
        if id(one) in seen or isinstance(one, SHARED) or one == "redact" or (isinstance(one, int) and one <= 256):
            continue
        seen.add(id(one))
        total += sys.getsizeof(one)
        left += gc.get_referents(one)
    return total


WORST = {
    **{shape: hostile(shape, 3_000) for shape in SHAPES},
    # 256 held characters of four bytes each, and a candidate begins at every other one
    "wide": "eyJ" + "1_\U0001d7cf_" * 700,
}


@pytest.mark.parametrize("shape", WORST)
def test_a_stream_has_at_most_two_kilobytes_of_state(shape: str) -> None:
    scan = Scan(GUARD)
    worst = 0
    for char in WORST[shape]:
        scan.push(char)
        scan.findings.clear()
        worst = max(worst, size_of(scan))
    assert worst <= STATE


def test_a_stage_with_one_channel_has_at_most_two_kilobytes_of_state_in_prose() -> None:
    stage = Guarded(GUARD, "redact", Names("r", "m", "openai"))
    worst = 0
    for at in range(0, 5_000, 6):
        stage([Delta(PROSE[at : at + 6])], 0.0)
        # what was found is kept for the report
        stage._found.clear()
        worst = max(worst, size_of(stage))
    assert 500 < worst <= STATE


@pytest.mark.parametrize("shape", ["near-matches of terms", "random Unicode", "random ASCII"])
def test_states_take_the_memory_that_they_are_said_to(shape: str) -> None:
    most = 1_000_000
    guard = build(SPEC, b"key", memo_bytes=most)
    text = hostile(shape, 40_000)
    redact(guard, text[:100])
    gc.collect()
    tracemalloc.start(1)
    try:
        before = tracemalloc.get_traced_memory()[0]
        scan = Scan(guard)
        used = 0
        for at in range(0, len(text), 6):
            scan.push(text[at : at + 6])
            scan.findings.clear()
            if at % 600 == 0:
                used = max(used, tracemalloc.get_traced_memory()[0] - before)
    finally:
        tracemalloc.stop()
    assert guard.automaton.forgotten > 1
    # besides, the classes of 10,000 characters and the folds of 8,192 are remembered
    assert used <= most + 3_500_000 * (shape == "random Unicode")


def pieces(text: str, size: int) -> Iterator[str]:
    return (text[at : at + size] for at in range(0, len(text), size))


def test_threads_share_a_guard_that_forgets() -> None:
    tiny = build(Spec(terms=SPEC.terms), b"key", memo_bytes=20_000)
    texts = [
        " ".join(("mail a.b@example.com, 4111 1111 1111 1111, Lpalal 691 or", hostile(shape, 1_500), PROSE[:1_000]))
        for shape in itertools.islice(SHAPES, 8)
    ]
    expected = [redact(GUARD, text) for text in texts]
    failed: list[Any] = []

    def run(number: int) -> None:
        try:
            for turn in range(6):
                scan = Scan(tiny)
                out = "".join(scan.push(piece) for piece in pieces(texts[number], 1 + turn)) + scan.finish(whole=True)
                if (out, scan.findings) != expected[number]:
                    failed.append(number)
        except Exception as error:
            failed.append(error)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert not failed
    assert tiny.automaton.forgotten > 100


def test_prose_is_held_back_for_a_few_characters() -> None:
    scan = Scan(GUARD)
    held = []
    for char in PROSE:
        scan.push(char)
        held.append(len(scan._raw))
    held.sort()
    assert sum(held) / len(held) <= 3
    assert held[int(0.99 * len(held))] <= 12


def test_the_committed_terms_are_the_made_up_ones() -> None:
    assert terms() == made_up(1_000)
    assert len({term.lower() for term in terms()}) == 1_000
