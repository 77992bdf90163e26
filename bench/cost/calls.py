"""System calls of a real proxy for an event that comes alone and for a request, counted by strace."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.cost.callgrind import Failed
from bench.cost.lockstep import Lockstep
from bench.cost.serving import serving
from bench.cost.streams import wire

EVENTS = (100, 500)
REQUESTS = (10, 50)
"""The two lengths of a count; what a stream or the count itself takes once falls out of their difference."""

READS = frozenset(("read", "recvfrom", "recvmsg", "readv"))
WRITES = frozenset(("write", "sendto", "sendmsg", "writev"))
WAITS = frozenset(("epoll_pwait", "epoll_pwait2", "epoll_wait", "poll", "select"))
LINE = re.compile(r"(\d+) +(\d+\.\d+) (?:(\w+)\(|<\.\.\. (\w+) resumed>)(.*)")


@dataclass
class Calls:
    """What a proxy called between two marks.

    `wakes` are waits that something ended; `looks` and `ticks` those that nothing did, of no length and of some.
    """

    reads: int = 0
    writes: int = 0
    wakes: int = 0
    looks: int = 0
    ticks: int = 0
    others: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


def counted(keep: Path | None = None) -> dict[str, float]:
    """Calls an event and a request, by kind, and wake-ups of timers a second. `keep` is a file for the trace.

    Raises Failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        trace = keep or Path(folder, "trace")
        trace.touch()
        _run(trace)
        spans = between_marks(trace)
    wanted = ("events-0", "events-1", "requests-0", "requests-1", "silence")
    if missing := [name for name in wanted if name not in spans]:
        raise Failed(
            f"the trace has no mark {missing[0]}: does the proxy read requests with another call than {READS}?"
        )
    out: dict[str, float] = {}
    for unit, name, lengths in (("an event", "events", EVENTS), ("a request", "requests", REQUESTS)):
        few, many = spans[f"{name}-0"], spans[f"{name}-1"]
        units = lengths[1] - lengths[0]
        for kind in ("reads", "writes", "wakes", "looks"):
            out[f"{unit}: {kind}"] = (getattr(many, kind) - getattr(few, kind)) / units
        others = Counter(many.others)
        others.subtract(few.others)
        out[f"{unit}: seconds"] = (many.seconds - few.seconds) / units
        out[f"{unit}: other calls"] = sum(others.values()) / units
        out |= {f"{unit}: of them {call}": count / units for call, count in sorted(others.items()) if count}
    out["timers a second"] = spans["silence"].ticks / spans["silence"].seconds
    return out


def _run(trace: Path) -> None:
    strace = ("strace", "-f", "-ttt", "-s", "64", "--signal=none", "-o", str(trace))
    with Lockstep() as both, serving(both, strace, lambda: _first(trace)):
        _play(both)


def _play(both: Lockstep) -> None:
    both.stream(reply(50))
    for number, count in enumerate(EVENTS):
        both.mark(f"events-{number}")
        both.stream(reply(count))
        both.mark("end")
    both.stream(reply(1), both.silence)
    whole = [b"".join(reply(16))]
    for number, count in enumerate(REQUESTS):
        both.mark(f"requests-{number}")
        for _ in range(count):
            both.stream(whole)
        both.mark("end")


def reply(count: int) -> list[bytes]:
    """Text, and in one piece what comes behind it."""
    pieces = wire("openai", count, end=True)
    return [*pieces[:count], b"".join(pieces[count:])]


def _first(trace: Path) -> int | None:
    """The process that strace started."""
    with trace.open("rb") as lines:
        found = re.match(rb"\d+", lines.readline())
    return int(found[0]) if found else None


def between_marks(trace: Path) -> dict[str, Calls]:
    """The calls behind each mark, up to the next."""
    spans: dict[str, Calls] = {}
    now: Calls | None = None
    began = 0.0
    for at, call, rest, over in _calls(trace):
        mark = re.search(r"GET /healthz\?([\w-]+)", rest)
        if mark is not None and call in READS:
            if now is not None:
                now.seconds = at - began
            now, began = (None if mark[1] == "end" else spans.setdefault(mark[1], Calls())), at
        elif now is None:
            continue
        elif call in READS:
            now.reads += 1
        elif call in WRITES:
            now.writes += 1
        elif call not in WAITS:
            now.others[call] += 1
        elif over != "0":
            now.wakes += 1
        elif re.search(r", 0(?:, NULL, \d+)?\) +=", rest):
            now.looks += 1
        else:
            now.ticks += 1
    return spans


def _calls(trace: Path) -> Iterator[tuple[float, str, str, str]]:
    """When each call returned, its name, its arguments and what it gave."""
    begun: dict[str, str] = {}
    with trace.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            found = LINE.match(line)
            if found is None:
                continue
            process, at, call, resumed, rest = found.groups()
            if rest.endswith("<unfinished ...>"):
                begun[process] = rest
                continue
            rest = begun.pop(process, "") + rest if resumed else rest
            yield float(at), call or resumed, rest, rest.rpartition("= ")[2].strip()
