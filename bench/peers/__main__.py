"""Measure this proxy beside nginx and others, in one run."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path

from bench.peers import document, machine, plot, search, table
from bench.peers.figures import Trouble, trouble
from bench.peers.processes import build, raise_limit
from bench.peers.proxies import COLUMNS, NGINX
from bench.peers.proxies import QUICK as QUICK_COLUMNS
from bench.peers.rounds import Bench, say
from bench.peers.table import Result
from bench.peers.workloads import QUICK, WORKLOADS

ROUNDS, QUICK_ROUNDS = 3, 2


def options() -> argparse.Namespace:
    workloads = "; ".join(f"{one.letter}: {one.what}" for one in WORKLOADS)
    parser = argparse.ArgumentParser(
        prog="python -m bench.peers",
        description=f"{__doc__} {workloads}. Needs gcc and nginx (make deps); make bench-peers gets the others.",
    )
    parser.add_argument("--quick", action="store_true", help="nginx and this proxy over SSE, short loads: two minutes")
    parser.add_argument("--write", action="store_true", help="put tables and plot into docs/")
    parser.add_argument("--rounds", type=int, help=f"of each workload (default: {ROUNDS}; quick: {QUICK_ROUNDS})")
    parser.add_argument("--workloads", metavar="LETTERS", help="some of them, such as AD")
    parser.add_argument("--only", metavar="TEXT", action="append", help="columns with this in their name, beside nginx")
    parser.add_argument("--seconds", type=float, help="how long the closed loop of D goes on (default: 3; quick: 2)")
    parser.add_argument("--no-knee", action="store_true", help="leave out the search for the most streams")
    parser.add_argument("--json", type=Path, metavar="FILE", help="all figures of all rounds")
    given = parser.parse_args()
    if given.write and (given.quick or given.workloads or given.only or given.no_knee):
        parser.error("--write is for a whole run: leave out --quick, --workloads, --only and --no-knee")
    return given


def measure(given: argparse.Namespace, folder: Path) -> Result:
    """The whole run. Raises RuntimeError where it cannot begin."""
    workloads = [one for one in (QUICK if given.quick else WORKLOADS) if one.letter in (given.workloads or "ABCD")]
    if given.seconds:
        workloads = [replace(w, load=replace(w.load, loop=given.seconds)) if w.load.loop else w for w in workloads]
    columns = [
        one
        for one in (QUICK_COLUMNS if given.quick else COLUMNS)
        if one.proxy is NGINX or not given.only or any(text in one.name for text in given.only)
    ]
    busy = os.getloadavg()[0]
    bench = Bench(build(folder), folder)
    try:
        working, missing = bench.start(columns)
        for name, why in missing.items():
            say(f"not measured: {name}, {why}")
        if not any(one.proxy is NGINX for one in working):
            raise RuntimeError("nginx is what all others are compared with: run `make deps`")
        result = Result(
            [one.name for one in working],
            workloads,
            given.rounds or (QUICK_ROUNDS if given.quick else ROUNDS),
            machine.sentence([one.proxy for one in working], busy),
            missing=missing,
            slow=[one.name for one in working if one.proxy.slow],
        )
        for workload in workloads:
            result.rows.extend(bench.rounds(workload, working, result.rounds))
        if not (given.quick or given.no_knee):
            search.knees(bench, working, result)
        return result
    finally:
        bench.close()


def _ended(number: int, _frame: object) -> None:
    """Asked to end, it ends what it has started on its way out."""
    sys.exit(128 + number)


def main() -> int:
    given = options()
    signal.signal(signal.SIGTERM, _ended)
    began = time.monotonic()
    raise_limit()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        try:
            result = measure(given, Path(folder))
        except RuntimeError as error:
            say(f"bench: {error}")
            return 1
    print(table.page(result))
    if given.json:
        given.json.write_text(json.dumps([asdict(row) for row in result.rows]), encoding="utf-8")
    if given.write:
        document.write(table.page(result, document.PLOT), plot.svg(result))
    say(f"{(time.monotonic() - began) / 60:.1f} minutes")
    ours = [one.name for one in COLUMNS if one.proxy.ours or one.proxy is NGINX]
    return 1 if any(name in result.missing or trouble(result.rows, name) != Trouble() for name in ours) else 0


if __name__ == "__main__":
    sys.exit(main())
