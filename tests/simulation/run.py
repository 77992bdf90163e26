"""One run: a seed is drawn into replicas, clients, faults and their times; then everything must come to its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from streamweir.live.memory import TIGHT, MemoryLogs
from tests.simulation.client import Client
from tests.simulation.invariants import Watch
from tests.simulation.replica import Replica
from tests.simulation.store import Found, Store
from tests.simulation.world import Clock, Network, World

LEAST = 3_000
"""Bytes that a log may keep where all of them are over their bound: ten entries of a run with little memory."""

LATEST = 45.0
"""Seconds after which nothing is on its way that was sent among the faults."""

AFTERWARDS = 400.0
"""Seconds in which, without faults, the longest reply, two leases and two windows are over."""


class Run:
    """See the module's docstring."""

    def __init__(self, seed: int, *, trace: bool = False) -> None:
        self.world = world = World(seed, trace=trace)
        random = world.random
        self._faults_until = random.choice((10.0, 30.0, 60.0))
        tight = random.random() < 0.4
        size = 256 if tight else 0
        self._logs = MemoryLogs(random.choice((4_000, 10_000)), LEAST) if tight else MemoryLogs()
        self._network = Network(world)
        self._watch = Watch(world, self._logs, size, LEAST if tight else TIGHT)
        self._store = Store(world, Clock(world, 0.02), self._watch, self._logs, random.choice((10.0, 30.0, 60.0)))
        self._replicas = [
            Replica(f"r{number}", world, self._network, self._store, self._watch, size)
            for number in range(random.choice((1, 2, 2, 3)))
        ]
        self._store.publish = self._publish
        self._store.trusting = self._trusting
        self._store.unharmed = self._unharmed
        self._clients: list[Client] = []
        for number in range(random.choice((1, 1, 2, 3))):
            self._request(f"c{number}", tight=tight)
        self._store.tidy()
        self._faults()

    def _trusting(self, id: str, epoch: int) -> int:
        return sum(one.trusts(id, epoch) for one in self._replicas)

    def _unharmed(self, id: str) -> bool:
        return not any(one.harmed for one in self._replicas if id.startswith(one.name + "."))

    def _publish(self, id: str, found: Found) -> None:
        for replica in self._replicas:
            replica.published(id, found)

    def _request(self, name: str, *, tight: bool) -> None:
        """One reply that is asked for, and those who read it."""
        world, random = self.world, self.world.random
        first, *others = (
            Client(f"{name}.{letter}", world, self._watch, self._replicas, tight=tight)
            for letter in "abcd"[: random.choice((1, 1, 2, 3))]
        )
        self._clients += [first, *others]
        chunks = random.choice((1, 5, 20, 60))
        slow = random.choice((0.1, 0.5, 2.0, 2.0))
        start = 5 * random.random()
        key = name if random.random() < 0.85 else ""
        world.at(start, first.ask, key, chunks, slow, others)
        for client in (first, *others):
            for _ in range(random.choice((0, 1, 1, 3, 6))):
                world.at(self._faults_until * random.random(), client.cut)
            if random.random() < 0.1:
                world.at(start + self._faults_until * random.random(), client.leave)
            if random.random() < 0.05:
                world.at(start + self._faults_until * random.random(), client.cancel)

    def _faults(self) -> None:
        world, random = self.world, self.world.random
        risk = random.choice((0.05, 0.2, 0.5))
        for replica in self._replicas:
            for fault in (replica.crash, replica.stand_still, replica.cut_off):
                if random.random() < risk:
                    # about as long as a lease, and much shorter
                    world.at(self._faults_until * random.random(), fault, random.choice((0.5, 5.0, 16.0, 25.0)))
        if random.random() < 0.4:
            seconds, deaf = random.choice((5.0, 20.0, 25.0)), random.random() < 0.8
            world.at(self._faults_until * random.random(), self._store.stand_still, seconds, deaf)
        world.at(self._faults_until, self._calm)

    def _calm(self) -> None:
        self._network.calm = True

    def go(self) -> Counter[str]:
        """Let it run to its end; what happened in it. Raises Violation."""
        world, watch = self.world, self._watch
        until = self._faults_until + AFTERWARDS
        while world.now < until:
            world.run(world.now + 5.0)
            if (
                world.now > self._faults_until + LATEST
                and not any(one.waiting for one in self._clients)
                and not self._store
            ):
                break
        watch.over(sum(one.waiting for one in self._clients), len(self._store))
        return world.totals


FAULTS = (
    "lost", "twice", "late", "cut", "crash", "zombie", "cut off", "store stood", "asked twice", "left", "cancel",
    "old position", "reloaded", "refused",
)  # fmt: skip
"""What is done to the protocol."""

ANSWERS = (
    "repeated", "hole", "missed", "taken over", "fenced", "too late", "trimmed", "unwanted", "key reused", "forgotten",
    "read completed", "read interrupted", "read cancelled", "told gone", "told trimmed",
)  # fmt: skip
"""What it does about that."""


def failures(seeds: Iterable[int]) -> tuple[Counter[str], list[str]]:
    """What happened in some runs, and what was wrong with it."""
    totals: Counter[str] = Counter()
    failed: list[str] = []
    for seed in seeds:
        try:
            totals += Run(seed).go()
        except Exception as error:
            failed.append(f"{type(error).__name__} {error}\n    python -m tests.simulation {seed} --trace")
    return totals, failed


def told(count: int, seconds: float, totals: Counter[str]) -> str:
    happened = ", ".join(f"{name} {totals[name]:,}" for name in (*FAULTS, *ANSWERS))
    return f"\n{count:,} seeds in {seconds:.0f} s, {count / seconds:.0f}/s, {totals['created']:,} streams: {happened}"
