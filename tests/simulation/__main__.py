"""Runs by hand: one seed and what happened in it, many, or the first that finds a planted bug."""

import argparse
import sys
import time

from tests.simulation.invariants import Violation
from tests.simulation.mutants import MUTANTS, planted
from tests.simulation.run import Run, failures, told


def one(seed: int, *, trace: bool) -> int:
    try:
        totals = Run(seed, trace=trace).go()
    except Violation as violation:
        print(f"seed {seed}: {violation}")
        return 1
    print(", ".join(f"{name} {count}" for name, count in sorted(totals.items())))
    return 0


def many(seed: int, count: int) -> int:
    began = time.monotonic()
    totals, failed = failures(range(seed, seed + count))
    print(*failed, told(count, time.monotonic() - began, totals), sep="\n")
    return 1 if failed else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("seed", type=int, nargs="?", default=0)
    parser.add_argument("--trace", action="store_true", help="print what happens, with the virtual time")
    parser.add_argument("--count", type=int, default=1, help="so many seeds from this one on")
    parser.add_argument("--plant", choices=MUTANTS, metavar="NAME", help=f"one of: {', '.join(MUTANTS)}")
    asked = parser.parse_args()
    if asked.plant is None:
        return many(asked.seed, asked.count) if asked.count > 1 else one(asked.seed, trace=asked.trace)
    with planted(asked.plant):
        seed = asked.seed
        while one(seed, trace=asked.trace) == 0:
            seed += 1
    return 1


if __name__ == "__main__":
    sys.exit(main())
