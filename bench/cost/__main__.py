"""See the package's docstring."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.cost import bounds
from bench.cost.callgrind import Failed
from bench.cost.callgrind import counted as count_instructions
from bench.cost.calls import counted as count_calls


def main() -> int:
    given = options()
    over: list[bounds.Line] = []
    try:
        if given.what in ("instructions", "all"):
            found, said, lines = least(given.keep, bounds.LAYOUTS if given.write else 1)
            show("instructions an event, or a request", said, lines, 0)
            over += [line for line in lines if line.over]
            if given.write:
                bounds.store(found, "instructions")
        if given.what in ("calls", "all"):
            found = count_calls(given.keep / "trace" if given.keep else None)
            lines = bounds.calls(found, bounds.load()["calls"])
            show("system calls", "events come alone, over real sockets", lines, 2)
            over += [line for line in lines if line.over]
            if given.write:
                bounds.store(found, "calls")
    except Failed as error:
        print(error, file=sys.stderr)
        return 2
    if given.write:
        print(f"\nstored in {bounds.FILE}")
        return 0
    for line in over:
        print(f"\n{line.name}: {line.found:,.2f} is more than {line.bound:,.2f}", file=sys.stderr)
    if over:
        print(LOOK.format(what=given.what), file=sys.stderr)
    return 1 if over else 0


LOOK = """
Look further: `python -m bench.cost {what} --keep DIR` keeps in DIR what was counted. `callgrind_annotate` of
DIR/layout-0/part.N has the interpreter's and its libraries' functions by instructions: N is 4n - 2 and 4n for the two
runs of line n of the table. DIR/trace has each system call with its time. `python -m bench.budget` has the parts.
Worth it? Then store the new figures, and say in the commit what they pay for: `make cost WRITE=1`."""


def least(keep: Path | None, layouts: int) -> tuple[dict[str, float], str, list[bounds.Line]]:
    """The least of so many layouts, and of more where a figure is above its bound; beside what is stored."""
    stored = bounds.load()["instructions"].get(bounds.version())
    found: dict[str, float] = {}
    for layout in range(bounds.LAYOUTS):
        folder = None if keep is None else keep / f"layout-{layout}"
        if folder is not None:
            folder.mkdir(exist_ok=True)
        counted = count_instructions("bench.cost.scenes", layout=layout, keep=folder)
        found = {name: min(value, found.get(name, value)) for name, value in counted.items()}
        said, lines = bounds.instructions(found, stored)
        if layout + 1 >= layouts and not any(line.over for line in lines):
            break
    return found, said, lines


def show(unit: str, said: str, lines: Sequence[bounds.Line], digits: int) -> None:
    print(f"\n{unit} ({said})\n\n| | found | stored | bound | |\n|---|---|---|---|---|")
    for line in lines:
        cells = [f"{line.found:,.{digits}f}"]
        cells += ["" if value is None else f"{value:,.{digits}f}" for value in (line.stored, line.bound)]
        share = f"{line.found / line.stored - 1:+.2%}" if line.stored and not digits else ""
        mark = " **over**" if line.over else " lower: store it" if line.under else ""
        print(f"| {line.name} | {' | '.join(cells)} | {share}{mark} |")
    sys.stdout.flush()


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.cost", description=__doc__)
    parser.add_argument("what", nargs="?", choices=["instructions", "calls", "all"], default="all")
    parser.add_argument("--write", action="store_true", help="store what is found as the new bounds")
    parser.add_argument("--keep", type=Path, help="a folder for what valgrind and strace write")
    given = parser.parse_args()
    if given.keep is not None:
        given.keep.mkdir(parents=True, exist_ok=True)
        given.keep = given.keep.absolute()
    return given


if __name__ == "__main__":
    sys.exit(main())
