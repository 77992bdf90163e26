"""The loads, and one run of one of them: what the load client is told and what it says."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

GRACE = 30.0
"""Seconds that the load client has beyond its own limit before it is given up."""

FIGURES = frozenset(
    {
        "cpu_us_ev", "cpu_us_ev_steady", "cpu_ms_req", "lat_p99_us", "ttft_p99_us", "rss_pre_mb", "rss_mid_mb",
        "lost", "dup", "req_err", "unfinished",
    }
)  # fmt: skip
"""What is read of a load's figures; it says more."""


@dataclass(frozen=True)
class Load:
    """So many streams of so many events. `rate`: events a second of each, 0 as fast as it goes. `every`: how many
    events a time mark stands for. `loop`: seconds in which a stream that ended is followed by another. `limit`: seconds
    after which all is over. `whole`: marks are words of their own, which no guard holds until the next event."""

    streams: int
    events: int
    rate: float
    every: int
    limit: float
    ramp_ms: int = 0
    loop: float = 0
    whole: bool = False

    def arguments(self) -> list[str]:
        words: dict[str, float] = {
            "-s": self.streams, "-n": self.events, "-r": self.rate, "-k": self.every,
            "-a": self.ramp_ms, "-l": self.loop, "-m": self.limit,
        }  # fmt: skip
        flags = ["-W"] if self.whole else []
        return [*(word for option, value in words.items() for word in (option, f"{value:g}")), *flags]


@dataclass(frozen=True)
class Workload:
    """A load by its letter. `cost` is the figure that counts; `slow` the load of a proxy that is too slow for it."""

    letter: str
    what: str
    unit: str
    cost: str
    load: Load
    slow: Load
    rounds_when_slow: int = 1
    rounds: int | None = None
    """Fewer than the run has: those of B take longest, and differ least."""

    fresh: bool = False
    """Each round in a process of its own: memory that a process has grown to is not given back."""


_A = Load(100, 120, 20, every=10, limit=25, ramp_ms=1000)
_B = Load(400, 200, 40, every=10, limit=16, ramp_ms=1000)
_C = Load(20, 5000, 0, every=10, limit=40)
_D = Load(64, 16, 0, every=4, limit=20, loop=3)

WORKLOADS = (
    Workload("A", "100 streams x 20 events/s", "us an event", "cpu_us_ev_steady", _A, _A),
    Workload("C", "20 streams unpaced", "us an event", "cpu_us_ev", _C, replace(_C, events=500)),
    Workload("D", "requests of 16 events, 64 at a time", "ms a request", "cpu_ms_req", _D, _D, rounds_when_slow=3),
    Workload("B", "400 streams x 40 events/s", "us an event", "cpu_us_ev_steady", _B, _B, rounds=2, fresh=True),
)
QUICK = (
    replace(WORKLOADS[0], load=replace(_A, events=80)),
    replace(WORKLOADS[1], load=replace(_C, events=2500)),
    replace(WORKLOADS[2], load=replace(_D, loop=2)),
)

FIRST = Load(1, 5, 0, every=1, limit=30)
"""What a proxy must do without a fault to be measured at all."""

WARM_UP = (Load(20, 150, 0, every=1, limit=20), Load(50, 20, 20, every=1, limit=20))
"""Not measured: code is loaded and compiled, connections are made."""


@dataclass(frozen=True)
class Target:
    """Which process is asked, and how."""

    port: int
    pid: int
    path: str
    headers: Sequence[str] = ()
    websocket: bool = False


class LoadError(Exception):
    """The load client could not do its work: the proxy refused its connections, or ended."""


class Client:
    """The load client, and the upstream whose work it knows."""

    def __init__(self, program: Path, upstream: int) -> None:
        self._program = program
        self._upstream = upstream

    def run(self, load: Load, target: Target) -> dict[str, float]:
        """The figures of one load. Raises LoadError."""
        command = [str(self._program), "-p", str(target.port), "-i", str(target.pid), "-u", str(self._upstream)]
        command += ["-P", target.path, *load.arguments()]
        command += [word for header in target.headers for word in ("-H", header)]
        command += ["-w"] if target.websocket else []
        try:
            ran = subprocess.run(
                command, capture_output=True, text=True, errors="replace", timeout=load.limit + GRACE, check=False
            )
        except subprocess.TimeoutExpired:
            raise LoadError("the load client did not end") from None
        if ran.returncode:
            raise LoadError(ran.stderr.strip()[-300:] or f"the load client ended with code {ran.returncode}")
        return read_figures(ran.stdout)


def read_figures(text: str) -> dict[str, float]:
    """What a load said, as numbers. Raises LoadError where one that is needed is missing."""
    try:
        said: dict[str, Any] = json.loads(text)
    except ValueError:
        raise LoadError(f"the load client said no JSON: {text[:100]!r}") from None
    figures = {name: float(value) for name, value in said.items() if isinstance(value, int | float)}
    missing = FIGURES - figures.keys()
    if missing:
        raise LoadError(f"the load client did not say {', '.join(sorted(missing))}")
    return figures
