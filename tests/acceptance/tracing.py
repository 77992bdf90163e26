"""strace on a process that runs: which calls it makes in which thread, and its death at one of them."""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

CALLS = ("write", "writev", "pwrite64", "fsync", "fdatasync", "ftruncate", "sendto", "sendmsg")
"""What leaves a process, or makes what it wrote last: between two of them nothing that others could see changes."""

BEGUN = re.compile(r"(?P<tid>\d+) +(?P<call>\w+)\((?P<where>[^ ,]*)")
"""The line of a call, whole or the first half of one that another thread's call cut in two."""


class Cell(NamedTuple):
    """The `nth` call of this name in a thread, or in whichever comes to its `nth` first, where `thread` is None.

    `what` is which file or socket it went to in the recorded run.
    """

    thread: int | None
    call: str
    nth: int
    what: str

    def __str__(self) -> str:
        thread = "a thread" if self.thread is None else f"thread {self.thread}"
        return f"{self.call} {self.nth} of {thread} ({self.what})"


def threads(pid: int) -> list[int]:
    """Its threads in the order in which they began: the main one first."""
    return sorted(int(task.name) for task in Path(f"/proc/{pid}/task").iterdir())


@asynccontextmanager
async def traced(program: str, out: Path, tid: int, *options: str) -> AsyncIterator[None]:
    """strace is on this process or thread inside. It ends with what it traces, or is told to let go of it."""
    strace = await asyncio.create_subprocess_exec(
        program, *options, "-o", str(out), "-p", str(tid), stderr=asyncio.subprocess.PIPE
    )
    assert strace.stderr is not None
    async with asyncio.timeout(30):
        line = await strace.stderr.readline()
    assert b"attached" in line, line
    reading = asyncio.create_task(strace.stderr.read())
    try:
        yield
    finally:
        if strace.returncode is None:
            strace.terminate()
        await reading
        await strace.wait()


def recording(program: str, out: Path, pid: int):
    """Every call of all threads."""
    return traced(program, out, pid, "-f", "-y", "-e", f"trace={','.join(CALLS)}")


def killing(program: str, out: Path, pid: int, cell: Cell):
    """Death at that call: strace counts the calls of each thread by themselves, and is on the one thread only."""
    kill = f"inject={cell.call}:signal=KILL:when={cell.nth}"
    if cell.thread is None:
        return traced(program, out, pid, "-f", "-e", f"trace={cell.call}", "-e", kill)
    return traced(program, out, threads(pid)[cell.thread], "-e", f"trace={cell.call}", "-e", kill)


def cells(out: Path, order: list[int]) -> list[Cell]:
    """What was recorded, a cell for each call; `order` is `threads` of the process, where they were all there before.

    A thread that begins meanwhile cannot be traced by itself: one cell stands for the nth call of whichever comes first.
    """
    found: dict[tuple[int | None, str, int], Cell] = {}
    counts: Counter[tuple[int, str]] = Counter()
    for line in out.read_text(encoding="utf-8", errors="replace").splitlines():
        if (match := BEGUN.match(line)) and match["call"] in CALLS:
            tid, call = int(match["tid"]), match["call"]
            thread = order.index(tid) if tid in order else None
            counts[tid, call] += 1
            what = re.sub(r"\[\d+\]|:\[[^]]*\]|>.*", "", match["where"].partition("<")[2]).rpartition("/")[2]
            found.setdefault((thread, call, counts[tid, call]), Cell(thread, call, counts[tid, call], what))
    return list(found.values())
