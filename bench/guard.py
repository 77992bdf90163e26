"""What the guard costs: python -m bench.guard [--full]

The fourteen default kinds and the 1,000 terms of bench/terms.txt; deltas of six characters unless it says otherwise.
Compare figures of one run only, since machines drift. Counted figures are the same everywhere; --full counts them up to
1 MB, which takes a quarter of an hour.
"""

import random
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

from bench.counting import counted
from bench.others import EachDelta, Window
from bench.texts import SHAPES, contact_centre, documents, hostile, made_up, terms

from streamweir.guard.build import Spec, build
from streamweir.guard.engine import Scan
from streamweir.guard.shapes import Guard
from streamweir.simulator.replies import SCRIPTS

DELTA = 6
SPEC = Spec(terms=tuple(terms()))
SIZES = (1_000, 10_000, 100_000, 1_000_000) if "--full" in sys.argv else (1_000, 10_000)
PLANTED = (
    "123-45-6789", "4111 1111 1111 1111", "378282246310005", "DE89370400440532013000", "GB29 NWBK 6016 1331 9268 19",
    "jane.doe+x@sub.example.co.uk", "o'neil@müller.de", "+49 30 1234567", "415-555-2671", "192.168.178.255",
    "2001:db8::1", "AB 12 34 56 C", "AKIAIOSFODNN7EXAMPLE", "4854 0581 0758 6478",
)  # fmt: skip


def pieces(text: str, size: int = DELTA) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def timed(push: Callable[[str], Any], deltas: Iterable[str]) -> tuple[float, float, float]:
    """Microseconds of this thread's CPU a delta: p50, p99, mean. The clock itself is in them, at below half of one."""
    times: list[int] = []
    for delta in deltas:
        start = time.thread_time_ns()
        push(delta)
        times.append(time.thread_time_ns() - start)
    times.sort()
    return times[len(times) // 2] / 1e3, times[int(len(times) * 0.99)] / 1e3, sum(times) / len(times) / 1e3


def building() -> None:
    build(Spec(kinds=("IP",)), b"")
    for name, spec in (
        ("14 kinds", Spec()),
        ("14 kinds, 1,000 terms", SPEC),
        ("14 kinds, 10,000 terms", Spec(terms=tuple(made_up(10_000)))),
    ):
        began = time.process_time()
        build(spec, b"key")
        print(f"{name}: built in {(time.process_time() - began) * 1e3:.0f} ms")


def speed() -> None:
    print("\n| text | cold p50 | p99 | warm p50 | p99 | mean |\n|---|---|---|---|---|---|")
    texts = {"prose of contact centres": contact_centre(), "documents": documents()}
    for name in (*texts, *SHAPES):
        guard = build(SPEC, b"key")
        deltas = pieces(texts[name] if name in texts else hostile(name, 30_000))
        cold, warm = timed(Scan(guard).push, deltas), timed(Scan(guard).push, deltas)
        cells = (*cold[:2], *warm)
        print(f"| {name} | {' | '.join(f'{cell:.1f} us' for cell in cells)} |")


def side_by_side(guard: Guard) -> None:
    print(f"\n| {DELTA} characters | this guard p50 | p99 | `re` on a window p50 | p99 | each delta p50 | p99 |")
    print("|---|---|---|---|---|---|---|")
    texts = {"prose": contact_centre(1_000)} | {
        name: hostile(name, 3_000) for name in ("digits, emphasised", "`aaaa`", "base64", "IPv4", "random ASCII")
    }
    for name, text in texts.items():
        deltas = pieces(text)
        timed(Scan(guard).push, deltas)
        ways = (Scan(guard), Window(SPEC.terms), EachDelta(SPEC.terms))
        print(f"| {name} | {' | '.join(f'{cell:.1f} us' for way in ways for cell in timed(way.push, deltas)[:2])} |")


def leaks(guard: Guard) -> None:
    """Values planted in prose, cut at random: how many are there in what leaves."""
    rng = random.Random("leaks")
    values = [*PLANTED, *rng.sample(SPEC.terms, 14)] * 10
    count = dict.fromkeys(("this guard", "`re` on a window", "each delta"), 0)
    for value in values:
        text = f"I have noted {rng.choice(('', '', '180 '))}{value}, thank you. " + "Is there anything else? " * 3
        at = sorted(rng.sample(range(1, len(text)), len(text) // 4))
        deltas = [text[a:b] for a, b in zip([0, *at], [*at, len(text)], strict=True)]
        scan, window, each = Scan(guard), Window(SPEC.terms), EachDelta(SPEC.terms)
        outs = (
            "".join(map(scan.push, deltas)) + scan.finish(whole=True),
            "".join(map(window.push, deltas)) + window.finish(),
            "".join(map(each.push, deltas)) + each.finish(),
        )
        for name, out in zip(count, outs, strict=True):
            count[name] += value in out
    print(f"\nof {len(values)} values planted in prose that comes in deltas of about four characters leave: ", end="")
    print(", ".join(f"{name} {number}" for name, number in count.items()))


def work() -> None:
    print("\nlines of code run / characters validated / characters copied, a character, deltas of six, warm")
    print(f"\n| text | {' | '.join(f'{size:,}' for size in SIZES)} |\n|---|{'---|' * len(SIZES)}")
    for name in SHAPES:
        guard = build(SPEC, b"key")
        counted(guard, hostile(name, 10_000), DELTA)
        cells = []
        for size in SIZES:
            one = counted(guard, hostile(name, size), DELTA).a_character()
            cells.append(f"{one['lines']:.1f} / {one['validated']:.1f} / {one['copied']:.1f}")
        print(f"| {name} | {' | '.join(cells)} |")


def held(guard: Guard) -> None:
    print("\n| text | words | held back: mean | p50 | p90 | p99 | most |\n|---|---|---|---|---|---|---|")
    texts = {
        "prose of contact centres": contact_centre(),
        "the simulator's replies": " ".join(SCRIPTS.values()),
        "documents": documents(),
    }
    for name, text in texts.items():
        scan = Scan(guard)
        counts = []
        for char in text:
            scan.push(char)
            counts.append(len(scan._raw))
        counts.sort()
        parts = [counts[int(len(counts) * share)] for share in (0.5, 0.9, 0.99)]
        mean = sum(counts) / len(counts)
        print(f"| {name} | {len(text.split()):,} | {mean:.2f} | {' | '.join(map(str, parts))} | {counts[-1]} |")


if __name__ == "__main__":
    building()
    speed()
    ready = build(SPEC, b"key")
    side_by_side(ready)
    leaks(ready)
    held(ready)
    work()
