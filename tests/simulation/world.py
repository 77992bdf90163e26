"""Virtual time, one source of chance, and a network that loses, delays, doubles and reorders what is sent over it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from heapq import heappop, heappush
from random import Random
from typing import Any

Act = Callable[..., None]


class Clock:
    """A machine's own clock: it began somewhere, and runs a little too fast or too slow."""

    __slots__ = ("_offset", "_world", "rate")

    def __init__(self, world: World, drift: float) -> None:
        self._world = world
        self._offset = world.random.uniform(0, 1e6)
        self.rate = 1 + world.random.uniform(-drift, drift)

    def now(self) -> float:
        return self._offset + self.rate * self._world.now


class World:
    """What happens, in the order of virtual time. Everything that is drawn comes from one seed."""

    def __init__(self, seed: int, *, trace: bool = False) -> None:
        self.random = Random(seed)
        self.now = 0.0
        self.totals: Counter[str] = Counter()
        self.tracing = trace
        self._count = 0
        self._queue: list[tuple[float, int, Act, tuple[Any, ...]]] = []

    def at(self, delay: float, act: Act, *args: Any) -> None:
        """Do something `delay` seconds from now."""
        self._count += 1
        heappush(self._queue, (self.now + delay, self._count, act, args))

    def run(self, until: float) -> None:
        """Let everything happen that happens before that time."""
        queue = self._queue
        while queue and queue[0][0] <= until:
            self.now, _, act, args = heappop(queue)
            act(*args)
        self.now = until

    def note(self, what: str, *about: object) -> None:
        """Count something that happened, and tell of it where a run is traced."""
        self.totals[what] += 1
        self.tell(what, *about)

    def tell(self, what: str, *about: object) -> None:
        """Say what happened where a run is traced."""
        if self.tracing:
            print(f"{self.now:9.3f}  {what:<16}", *about)


class Network:
    """Between replicas and the store. How bad it is, is drawn for each run; from `calm` on it is good."""

    __slots__ = ("_late", "_loss", "_slow", "_twice", "_world", "calm")

    def __init__(self, world: World) -> None:
        pick = world.random.choice
        self._world = world
        self._loss = pick((0.0, 0.02, 0.1, 0.3))
        self._twice = pick((0.0, 0.05, 0.2))
        self._late = pick((0.0, 0.01, 0.05))
        self._slow = pick((0.05, 0.3, 2.0))
        self.calm = False

    def send(self, act: Act, *args: Any) -> None:
        """Deliver a message: once, never, or twice; in a millisecond or seconds, or long out of date."""
        world = self._world
        chance = world.random.random
        if self.calm:
            world.at(0.001 + 0.004 * chance(), act, *args)
            return
        if chance() < self._loss:
            world.note("lost")
            return
        copies = 1
        if chance() < self._twice:
            world.note("twice")
            copies = 2
        for _ in range(copies):
            delay = 0.001 + self._slow * chance() ** 4
            if chance() < self._late:
                world.note("late")
                delay += 40 * chance() ** 2
            world.at(delay, act, *args)


class Connection:
    """Between a client and a replica: in order, and cut anywhere, with what was on its way."""

    __slots__ = ("_arrives", "_told", "_world", "open")

    def __init__(self, world: World, told: Callable[[Connection, Any], None]) -> None:
        self._world = world
        self._told = told
        self._arrives = 0.0
        self.open = True

    def send(self, message: Any) -> None:
        """To the client."""
        world = self._world
        self._arrives = max(self._arrives, world.now + 0.001 + 0.03 * world.random.random())
        world.at(self._arrives - world.now, self._arrive, message)

    def _arrive(self, message: Any) -> None:
        if self.open:
            self._told(self, message)

    def cut(self) -> None:
        """Nothing that is on its way arrives. Its client notices after a while, the replica by not being heard."""
        if self.open:
            self.open = False
            self._world.note("cut")
            self._world.at(self._world.random.choice((0.01, 0.5, 5.0)), self._told, self, None)

    def close(self) -> None:
        """All is said."""
        self.open = False
