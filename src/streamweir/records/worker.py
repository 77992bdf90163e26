"""The one thread that delivers what the outbox holds, in an event loop of its own: no token waits for an endpoint.

The database stays with the thread that writes; this one asks it for leases, and tells it how tries ended.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from typing import Final, NamedTuple, Protocol, TypeVar

from streamweir.errors import ConfigError
from streamweir.flows.delivery import Outcome, after
from streamweir.records import outbox
from streamweir.records.database import Database, DatabaseError
from streamweir.records.outbox import Leased, Settled, Wanted

T = TypeVar("T")

log = logging.getLogger("streamweir.records")

POLL: Final = 1.0
"""Seconds between looks for what is due again, or was enqueued by another process."""

TOGETHER: Final = 0.02
"""Seconds after a wake-up: deliveries that end meanwhile are settled in one transaction, and leased in it."""

LEASE: Final = 60.0
"""Seconds that a lease lasts: so long a killed process's deliveries wait for the next one."""

LONGEST_TRY: Final = 50.0
"""Seconds that a try may take, whatever its handler thinks: it must end before its lease does."""

AT_A_TIME: Final = 64
"""Deliveries that are under way, of all targets; each has an equal share, so that none can take another's."""

SHARE: Final = 8
"""Deliveries to one target that are under way at most: an endpoint that is back again is not run over."""

SETTLING: Final = 1.0
"""Seconds of the time to stop that are kept for giving leases back."""

Handler = Callable[[Leased], Awaitable[Outcome]]
"""One try. Whatever it raises is a failure that is tried again."""


class Route(NamedTuple):
    """Who handles the deliveries of a kind to one target. What has no route here is left to other processes."""

    kind: str
    target: str
    handler: Handler


class Calls(Protocol):
    """What a writer is to the worker."""

    def call(self, asked: Callable[[Database], T]) -> Future[T]: ...


class Worker:
    """See the module's docstring. `closes` are called in its loop when it stops: what handlers keep open.

    `owner` is the run whose leases these are: whoever finds it dead gives them back. `clock` gives seconds since the
    epoch, `jitter` a number from 0 to 1.
    """

    def __init__(
        self,
        writer: Calls,
        routes: Sequence[Route],
        closes: Sequence[Callable[[], Awaitable[None]]] = (),
        *,
        owner: str = "",
        clock: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._writer = writer
        self._routes = {(route.kind, route.target): route for route in routes}
        self._share = max(1, min(SHARE, AT_A_TIME // max(1, len(self._routes))))
        self._closes = closes
        self._clock = clock
        self._jitter = jitter
        self._owner = owner or secrets.token_hex(8)
        self._leases = 0
        self._busy: Counter[tuple[str, str]] = Counter()
        self.tries: Counter[tuple[str, str, str]] = Counter()
        """Tries by kind, target, and what followed: `done`, `due` (again) or `dead`."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._settled: list[Settled] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._woken = threading.Event()
        self._wake: asyncio.Event | None = None
        self._stop_by: float | None = None
        self._thread = threading.Thread(target=self._run, name="streamweir-outbox", daemon=True)

    def start(self) -> None:
        """Begin. The writer must have begun already."""
        self._thread.start()

    def wake(self) -> None:
        """Something was enqueued. From any thread, and cheap where it was said just before."""
        if not self._woken.is_set():
            self._woken.set()
            loop, wake = self._loop, self._wake
            if loop is not None and wake is not None:
                try:
                    loop.call_soon_threadsafe(wake.set)
                except RuntimeError:
                    # it has stopped meanwhile
                    return

    def stop(self, within: float) -> bool:
        """Try what is due once more, for at most so many seconds, and give back what did not end. Whether it ended.

        The writer must still be there: stop it afterwards.
        """
        self._stop_by = time.monotonic() + within
        self._woken.clear()
        self.wake()
        if self._thread.ident is not None:
            self._thread.join(within)
        return not self._thread.is_alive()

    # -- in the thread ---------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            asyncio.run(self._work())
        except Exception:
            log.exception("deliveries have stopped, for an error inside streamweir; please report it")

    async def _work(self) -> None:
        self._loop, self._wake = asyncio.get_running_loop(), asyncio.Event()
        while self._stop_by is None:
            await self._turn(self._wanted())
            if await self._slept(self._wake) and self._stop_by is None:
                await asyncio.sleep(TOGETHER)
            # in this order: whoever wakes in between is heard
            self._woken.clear()
            self._wake.clear()
        if self._stop_by - time.monotonic() > 2 * SETTLING:
            # a process that lives for one stream delivers what left with it
            await self._turn(self._wanted())
        await self._finish(self._stop_by - time.monotonic())

    @staticmethod
    async def _slept(wake: asyncio.Event) -> bool:
        """Whether it was woken before it was time."""
        try:
            async with asyncio.timeout(POLL):
                return await wake.wait()
        except TimeoutError:
            return False

    def _wanted(self) -> list[Wanted]:
        rooms = ((key, self._share - self._busy[key]) for key in self._routes)
        return [Wanted(kind, target, room) for (kind, target), room in rooms if room > 0]

    async def _turn(self, wanted: Sequence[Wanted]) -> None:
        """Tell how tries ended, and begin new ones."""
        settled, self._settled = self._settled, []
        if not settled and not wanted:
            return
        self._leases += 1
        lease = f"{self._owner}.{self._leases}"

        def asked(database: Database) -> list[Leased]:
            # the lease counts from here, however long the writer was busy
            now = self._clock()
            return outbox.turn(database, settled, wanted, lease, now, now + LEASE)

        try:
            leased = await asyncio.wrap_future(self._writer.call(asked))
        except (ConfigError, DatabaseError, asyncio.CancelledError) as error:
            # the writer has stopped, where it is cancelled; where it cannot connect, it says why, and tries again
            self._settled = settled + self._settled
            if isinstance(error, DatabaseError) and not error.away:
                log.warning("the outbox cannot be read: %s", error.message)
            return
        for one in leased:
            self._begin(one)

    def _begin(self, leased: Leased) -> None:
        key = (leased.kind, leased.target)
        self._busy[key] += 1
        task = asyncio.get_running_loop().create_task(self._try(self._routes[key].handler, leased))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _try(self, handler: Handler, leased: Leased) -> None:
        try:
            outcome = await self._outcome(handler, leased)
        except asyncio.CancelledError:
            self._settled.append(Settled(leased, None))
            raise
        finally:
            self._busy[leased.kind, leased.target] -= 1
        follows = after(outcome, leased.attempts, self._clock(), self._jitter())
        self._settled.append(Settled(leased, follows, outcome.reason))
        self.tries[leased.kind, leased.target, follows.state] += 1
        if follows.state == "dead":
            log.warning("%s for %s is a dead letter: %s", leased.message_id, leased.target, outcome.reason)
        self.wake()

    async def _outcome(self, handler: Handler, leased: Leased) -> Outcome:
        limit = asyncio.timeout(LONGEST_TRY)
        try:
            async with limit:
                return await handler(leased)
        except Exception as error:
            if limit.expired():
                return Outcome("failed", f"no end within {LONGEST_TRY:.0f} s")
            log.exception("a delivery of %s failed inside streamweir; please report it", leased.kind)
            return Outcome("failed", f"an error inside streamweir ({type(error).__name__})")

    async def _finish(self, within: float) -> None:
        # a task that has not begun could not give its lease back
        await asyncio.sleep(0)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=max(0.0, within - 2 * SETTLING))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._bounded(self._turn([]))
        for close in self._closes:
            await self._bounded(close())

    @staticmethod
    async def _bounded(last: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(SETTLING):
                await last
        except TimeoutError:
            # leases that were not given back expire
            return
        except Exception:
            log.exception("deliveries have not stopped in order")
