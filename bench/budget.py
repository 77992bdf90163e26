"""What one event costs, part by part: python -m bench.budget

Instructions are counted by valgrind and the same in every run; CPU is this machine's, warm (one event right behind the
other) and with cold caches (other memory is touched between two), a table to be read by its shares. The gate's own rows
are of parts called one behind the other; the two at the end are of processes between real sockets.
"""

from __future__ import annotations

import gc
import statistics
import sys
import time
from collections.abc import Callable

from bench.cost.callgrind import Failed, counted
from bench.cost.marks import Lengths, Run, Scene, run
from bench.cost.parts import GUARD, NOTHING, RELAY, Part, parts
from bench.cost.passing import passed

EVENTS = (100, 300)
STREAMS = 20
"""Streams that take turns, so that no event finds its stream's objects where the one before left them."""

TURNS = 40
OTHERS = 8 << 20
"""Bytes that are touched between two events for the caches to be cold: what fifty other streams may do meanwhile."""

LINE = 64


def scene(part: Part) -> Scene:
    _, make, inputs = part

    def prepare(count: int) -> Run:
        call, items = make(), inputs[:count]

        def once() -> None:
            for item in items:
                call(item)

        return once

    return prepare


def scenes() -> dict[str, tuple[Scene, Lengths]]:
    return {part[0]: (scene(part), EVENTS) for part in parts(max(EVENTS))}


def cpu(chain: list[Part]) -> dict[str, tuple[float, float]]:
    """Medians of microseconds, warm and cold, of parts that run one behind the other as they do for an event."""
    streams = [[make() for _, make, _ in chain] for _ in range(STREAMS)]
    other = bytearray(OTHERS)
    times: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name, _, _ in chain}
    for turn in range(TURNS):
        for calls in streams:
            if turn % 2:
                other[::LINE] = other[::LINE]
            for call, (name, _, inputs) in zip(calls, chain, strict=True):
                began = time.perf_counter()
                call(inputs[turn])
                times[name][turn % 2].append((time.perf_counter() - began) * 1e6)
    clock = statistics.median(times[NOTHING][0])
    return {
        name: (statistics.median(warm[STREAMS:]) - clock, statistics.median(cold[STREAMS:]) - clock)
        for name, (warm, cold) in times.items()
    }


def table() -> None:
    found = counted("bench.budget", "--count")
    one, other = {GUARD, "face, browser SSE", *RELAY}, {"release", "face, OpenAI", *RELAY}
    chains: list[Callable[[str], bool]] = [
        lambda name: name not in one,
        lambda name: name not in other,
        lambda name: name in (NOTHING, RELAY[0]),
        lambda name: name in (NOTHING, RELAY[1]),
    ]
    took: dict[str, tuple[float, float]] = {}
    gc.disable()
    for chosen in chains:
        # a part that several chains have is that of the first one
        took = cpu([part for part in parts(TURNS) if chosen(part[0])]) | took
    gc.enable()
    rows = {name: (found[name] - found[NOTHING], *took[name]) for name in found if name != NOTHING}
    # the relay has no HTTP in it, and this dialect no numbers
    within = [name for name in rows if name not in one and name not in ("HTTP", "integrity")]
    rows["the relay itself"] = (
        rows[RELAY[0]][0] - sum(rows[name][0] for name in within),
        rows[RELAY[0]][1] - sum(rows[name][1] for name in within),
        rows[RELAY[0]][2] - sum(rows[name][2] for name in within),
    )
    print("| part of an event | instructions | us of CPU, warm | cold caches |\n|---|---|---|---|")
    for name in sorted(rows, key=lambda name: name in RELAY):
        instructions, warm, cold = rows[name]
        print(f"| {name} | {instructions:,.0f} | {warm:.1f} | {cold:.1f} |", flush=True)
    for name, warm, slow in passed():
        print(f"| {name} | | {warm:.1f} | {'' if slow is None else f'{slow:.1f}'} |", flush=True)


if __name__ == "__main__":
    if "--count" in sys.argv:
        run(scenes())
    else:
        try:
            table()
        except Failed as error:
            sys.exit(str(error))
