"""What was found at some time on purpose, and how much more than that is too much."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

FILE: Final = Path(__file__).with_name("bounds.json")

SAME_BUILD: Final = 0.005
"""Share of a count of instructions. Two runs give the same to the instruction; where objects lie elsewhere, it is up to
0.3 % more or less, collisions (below) left out. An empty method and its call are 0.5 % of an event."""

LAYOUTS: Final = 3
"""Arrangements of memory to try before a figure counts as too high. The interpreter caches what types have by the
addresses of names: in one of seven, two names that every event needs had one place (_PyType_Lookup), and an event cost
0.7 % more. Any change moves addresses, so that the least of some arrangements is what the code costs."""

OTHER_BUILD: Final = 0.06
"""Share, where the same minor version was built otherwise: Debian's CPython 3.11, with profile-guided optimisation, was
within 4.9 % of one without, both in yardsticks."""

KNOWN_BUILD: Final = 0.02
"""Share by which yardsticks may differ for an interpreter to be the one whose figures are stored."""

CALLS: Final = {"an event": 0.05, "a request": 0.5}
"""Calls. A call more in twenty events, or in two requests, is none that a change has put there for all."""

TIMERS: Final = 22.0
"""Wake-ups a second by timers while there are streams: the wheel's twenty, and two that measure the loop's lateness."""

A_TIMER: Final = 3
"""Calls that a timer may take, which fall into the events that a slow machine spreads over more time."""


@dataclass(frozen=True)
class Line:
    """A figure and its bound; both None where there is nothing to compare with."""

    name: str
    found: float
    stored: float | None
    bound: float | None

    @property
    def over(self) -> bool:
        return self.bound is not None and self.found > self.bound

    @property
    def under(self) -> bool:
        """So far below what is stored that as much could be lost again and nobody would notice."""
        return self.stored is not None and self.bound is not None and 2 * self.stored - self.bound > self.found


def version() -> str:
    return ".".join(platform.python_version_tuple()[:2])


def load() -> dict[str, Any]:
    return dict(json.loads(FILE.read_text(encoding="utf-8"))) if FILE.exists() else {"instructions": {}, "calls": {}}


def store(found: Mapping[str, float], kind: str) -> None:
    """Take what was found for the new bounds: of instructions those of this version of Python, or all calls."""
    all_ = load()
    if kind == "instructions":
        all_[kind][version()] = {name: round(value) for name, value in found.items()}
    else:
        all_[kind] = {name: round(value, 2) for name, value in found.items() if bounded(name)}
    FILE.write_text(json.dumps(all_, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")


def instructions(found: Mapping[str, float], stored: Mapping[str, float] | None) -> tuple[str, list[Line]]:
    """What is compared, in a sentence, and a line a figure. `stored` are the figures of this version of Python."""
    if stored is None:
        none = f"no figures are stored for CPython {version()}: nothing is compared; `make cost WRITE=1` stores these"
        return none, [Line(name, value, None, None) for name, value in found.items()]
    sticks = [name for name in found if name.startswith("yardstick") and name in stored]
    ratio = sum(found[name] for name in sticks) / sum(stored[name] for name in sticks)
    same = all(abs(found[name] / stored[name] - 1) <= KNOWN_BUILD for name in sticks)
    said, scale, margin = f"the interpreter whose figures are stored, margin {SAME_BUILD:.1%}", 1.0, SAME_BUILD
    if not same:
        scale, margin = ratio, OTHER_BUILD
        said = (
            f"another build of CPython {version()} than the one whose figures are stored: these are shown times "
            f"{ratio:.3f}, as its yardsticks say, margin {OTHER_BUILD:.0%}; a small increase is not noticed here"
        )
    lines = []
    for name, value in found.items():
        before = stored[name] * scale if name in stored else None
        bound = None if before is None or name in sticks else before * (1 + margin)
        lines.append(Line(name, value, before, bound))
    return said, lines


UNBOUNDED: Final = ("a request: looks", "timers a second")
"""The first depends on who is faster: a look behind a reply finds the next request, or nothing yet."""


def bounded(name: str) -> bool:
    """Whether a figure of the calls is stored: names of calls are there to be read, seconds are the machine's."""
    return ": of them" not in name and "seconds" not in name and name not in UNBOUNDED


def calls(found: Mapping[str, float], stored: Mapping[str, float]) -> list[Line]:
    """A line a figure."""
    lines = []
    for name, value in found.items():
        unit = name.partition(":")[0]
        before = stored.get(name)
        bound = None
        if before is not None and unit in CALLS:
            bound = before + CALLS[unit]
            if name.endswith(("looks", "other calls")):
                bound += found[f"{unit}: seconds"] * TIMERS * A_TIMER
        elif name == "timers a second":
            bound = 1.5 * TIMERS
        lines.append(Line(name, value, before, bound))
    return lines
