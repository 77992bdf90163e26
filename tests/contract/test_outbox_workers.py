"""Workers on one store: no delivery twice at a time, none lost when one of them is killed, and an end in time."""

import asyncio
import os
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from streamweir.errors import ConfigError
from streamweir.flows.delivery import Outcome
from streamweir.records.database import DatabaseError
from streamweir.records.outbox import Leased
from streamweir.records.worker import LEASE, Route, Worker
from tests.conftest import ROOT
from tests.endpoints import OK, Endpoint
from tests.outboxes import delivering, hook, store, working
from tests.stores import Store as Stored
from tests.stores import postgres_server
from tests.stores import store as stores

__all__ = ["postgres_server", "stores"]

KILLED = """
import asyncio, sys
from tests.outboxes import delivering, hook, store

async def main():
    async with store(sys.argv[1], float(sys.argv[3])) as kept, delivering(kept, hook(sys.argv[2], timeout=45.0)):
        await asyncio.sleep(600)

asyncio.run(main())
"""


class Seen:
    """A handler for any number of workers that sees which deliveries are under way."""

    def __init__(self, fails: bool = False) -> None:
        self.tried: Counter[str] = Counter()
        self.twice: list[str] = []
        self.most = 0
        self._fails = fails
        self._now: set[str] = set()
        self._lock = threading.Lock()

    async def __call__(self, leased: Leased) -> Outcome:
        with self._lock:
            if leased.message_id in self._now:
                self.twice.append(leased.message_id)
            self._now.add(leased.message_id)
            self.tried[leased.message_id] += 1
            self.most = max(self.most, len(self._now))
        await asyncio.sleep(0.002)
        with self._lock:
            self._now.discard(leased.message_id)
        return Outcome("failed", "no") if self._fails and leased.attempts == 1 else Outcome("delivered")


async def test_two_processes_share_the_work_and_never_do_it_twice(stores: Stored) -> None:
    path, seen = stores.url, Seen()
    routes = [Route("webhook", target, seen) for target in "abc"]
    async with store(path) as one, store(path) as two, working(one, routes), working(two, routes):
        for number in range(20):
            for target in "abc":
                await (one, two)[number % 2].put(target, *(f"msg_{target}_{number}_{more}" for more in range(10)))
        await one.empty()
    assert seen.twice == []
    assert set(seen.tried.values()) == {1}
    assert len(seen.tried) == 600
    assert seen.most > 3


async def test_what_fails_is_still_tried_by_one_at_a_time(stores: Stored) -> None:
    path, seen = stores.url, Seen(fails=True)
    routes = [Route("webhook", "a", seen)]
    async with store(path) as one, store(path) as two, working(one, routes), working(two, routes):
        await one.put("a", *(f"msg_{number}" for number in range(100)))
        await one.rested()
        await one.advance(one.now + 10)
        await two.advance(two.now + 10)
        await one.empty()
    assert (seen.twice, set(seen.tried.values())) == ([], {2})


async def test_what_a_killed_process_had_leased_is_taken_over(stores: Stored) -> None:
    path, gone = stores.url, asyncio.Event()
    ids = [f"msg_{number}" for number in range(8)]
    async with (
        Endpoint(lambda _: OK if gone.is_set() else "hang").running() as endpoint,
        store(path) as kept,
    ):
        await kept.put("hook", *ids)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", KILLED, path, endpoint.url, str(kept.now), cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
        )  # fmt: skip
        try:
            await kept.until(lambda entries: len(endpoint.received) == len(ids))
        finally:
            process.kill()
            await process.wait()
        gone.set()
        assert {one.state for one in await kept.entries()} == {"leased"}
        kept.now += LEASE - 1
        async with delivering(kept, hook(endpoint.url)):
            await kept.put("hook", "msg_new")
            await kept.until(lambda entries: "msg_new" in endpoint.ids)
            assert len(await kept.until(lambda entries: len(entries) == len(ids))) == len(ids)
            assert len(endpoint.received) == len(ids) + 1
            await kept.advance(kept.now + 1)
            await kept.empty()
    assert Counter(endpoint.ids) == {**dict.fromkeys(ids, 2), "msg_new": 1}


async def test_deliveries_of_others_are_left_to_them(tmp_path: Path) -> None:
    seen = Seen()
    async with store(tmp_path / "records.db") as kept, working(kept, [Route("webhook", "mine", seen)]):
        await kept.put("theirs", "msg_1")
        await kept.put("mine", "msg_2", kind="vectors")
        await kept.put("mine", "msg_3")
        entries = await kept.until(lambda entries: len(entries) == 2)
    assert [(one.message_id, one.state) for one in entries] == [("msg_1", "due"), ("msg_2", "due")]
    assert list(seen.tried) == ["msg_3"]


async def test_a_handler_with_a_mistake_fails_its_own_deliveries_only(tmp_path: Path) -> None:
    async def broken(leased: Leased) -> Outcome:
        raise RuntimeError("a mistake")

    seen = Seen()
    routes = [Route("webhook", "broken", broken), Route("webhook", "good", seen)]
    async with store(tmp_path / "records.db") as kept, working(kept, routes):
        await kept.put("broken", "msg_1")
        await kept.put("good", "msg_2")
        (entry,) = await kept.until(lambda entries: len(entries) == 1 and entries[0].error is not None)
    assert entry.error == "an error inside streamweir (RuntimeError)"
    assert (entry.state, entry.attempts, list(seen.tried)) == ("due", 1, ["msg_2"])


@pytest.mark.parametrize("error", [DatabaseError("away", away=True), ConfigError("a newer schema")])
async def test_a_store_that_is_away_loses_nothing(tmp_path: Path, error: Exception) -> None:
    """How a try ended is told until the store takes it; meanwhile nothing more is leased."""
    seen = Seen()
    async with store(tmp_path / "records.db") as kept:
        call, away = kept.writer.call, threading.Event()

        def failing(asked):
            def refuse(database):
                raise error

            return call(refuse if away.is_set() and threading.current_thread().name == "streamweir-outbox" else asked)

        kept.writer.call = failing
        async with working(kept, [Route("webhook", "a", seen)]):
            await kept.put("a", "msg_1")
            away.set()
            await kept.put("a", "msg_2")
            await asyncio.sleep(0.2)
            tried = set(seen.tried)
            away.clear()
            kept.worker.wake()
            await kept.empty()
    assert tried <= {"msg_1"}
    assert set(seen.tried.values()) == {1}


async def test_a_worker_that_never_began_and_one_that_is_idle_stop_at_once(tmp_path: Path) -> None:
    async with store(tmp_path / "records.db") as kept:
        worker = Worker(kept.writer, [])
        assert worker.stop(0.1)
        async with working(kept, [Route("webhook", "a", Seen())]):
            await asyncio.sleep(0.05)
            began = time.monotonic()
        assert time.monotonic() - began < 5


async def test_a_try_that_will_not_end_does_not_keep_the_process(tmp_path: Path) -> None:
    began = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def stuck(leased: Leased) -> Outcome:
        loop.call_soon_threadsafe(began.set)
        await asyncio.sleep(600)
        return Outcome("delivered")

    async with store(tmp_path / "records.db") as kept:
        async with working(kept, [Route("webhook", "a", stuck)]):
            await kept.put("a", "msg_1")
            await asyncio.wait_for(began.wait(), 30)
        (entry,) = await kept.entries()
    assert (entry.state, entry.attempts, entry.leased_until) == ("due", 0, None)
