"""Seeds of the simulation: those that once found something, as many as fit into a time, and planted bugs that must be found.

`python -m tests.simulation SEED --trace` tells what happened in one of them.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from secrets import randbelow

import pytest

from tests.simulation.invariants import Violation
from tests.simulation.mutants import MUTANTS, planted
from tests.simulation.run import ANSWERS, FAULTS, Run, failures, told

KEPT = [
    tuple(part.strip() for part in line.split("|"))
    for line in (Path(__file__).parent / "seeds.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]

SOAK = bool(os.environ.get("STREAMWEIR_SOAK"))

SOME = 500
"""Seeds of `make test`: a few seconds, in which the faults that need the most luck occur."""

MINUTE = 60.0
"""Seconds that `make check` gives to seeds; one that has begun is run to its end."""

LONG = 100_000
"""Seeds of `make soak`, on every core."""

WITHIN = 1_000
"""Seeds in which a planted bug must be found."""


def everything_occurred(totals: Counter[str]) -> None:
    missing = [name for name in (*FAULTS, *ANSWERS) if not totals[name]]
    assert not missing, f"never occurred: {', '.join(missing)}"


@pytest.mark.parametrize(("seed", "name", "found"), KEPT)
def test_a_seed_that_found_a_mistake_finds_it_where_it_is_planted_again(seed: str, name: str, found: str) -> None:
    Run(int(seed)).go()
    if name != "-":
        with planted(name), pytest.raises(Violation):
            Run(int(seed)).go()


def test_the_first_seeds_are_clean_and_every_fault_occurs() -> None:
    totals, failed = failures(range(SOME))
    assert not failed, "\n".join(failed)
    everything_occurred(totals)


def test_one_seed_is_one_run() -> None:
    assert Run(7).go() == Run(7).go()
    assert Run(7).go() != Run(8).go()


@pytest.mark.check
@pytest.mark.slow
def test_a_minute_of_seeds_is_clean_or_in_soak_a_hundred_thousand() -> None:
    began = time.monotonic()
    totals: Counter[str] = Counter()
    failed: list[str] = []
    if SOAK:
        # other ones in every run: what they find belongs into seeds.txt
        first = SOME + randbelow(1 << 40)
        parts = [range(at, at + 500) for at in range(first, first + LONG, 500)]
        count = LONG
        with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
            for part, wrong in pool.map(failures, parts):
                totals += part
                failed += wrong
    else:
        first = seed = SOME
        while time.monotonic() - began < MINUTE:
            part, wrong = failures((seed,))
            totals += part
            failed += wrong
            seed += 1
        count = seed - first
    print(told(count, time.monotonic() - began, totals), f"(from {first} on)")
    assert not failed, "\n".join(failed[:20])
    everything_occurred(totals)


@pytest.mark.check
@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_bug_is_found(name: str) -> None:
    with planted(name):
        for seed in range(WITHIN):
            try:
                Run(seed).go()
            except Violation as violation:
                print(f"\n{name}: found by seed {seed}: {violation}")
                return
    pytest.fail(f"{name} was not found in {WITHIN} seeds")
