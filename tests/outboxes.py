"""A store, its writer and its delivery worker, with time that a test moves."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from streamweir.records import outbox
from streamweir.records.database import Database
from streamweir.records.ledger import Delivery
from streamweir.records.opening import open_database
from streamweir.records.outbox import Entry, Filter
from streamweir.records.reaching import Lookup, look_up
from streamweir.records.webhooks import Webhook, Webhooks
from streamweir.records.worker import Route, Worker
from streamweir.records.writer import Writer

T = TypeVar("T")

KEY = bytes(range(32))
EVENTS = frozenset(
    f"stream.{one}" for one in ("completed", "truncated", "blocked", "cancelled", "interrupted", "failed", "timed_out")
)


def hook(url: str, name: str = "hook", **more: Any) -> Webhook:
    return Webhook(**{"name": name, "url": url, "keys": (KEY,), "events": EVENTS, "allow_loopback": True, **more})


class Store:
    """A file of records with a writer and a worker of its own, as one process has them."""

    def __init__(self, where: Path | str, now: float) -> None:
        url = where if isinstance(where, str) else f"sqlite:///{where}"
        self.now = now
        self.open = partial(open_database, url)
        self.writer = Writer(self.open, "run")
        self.worker: Worker | None = None

    async def ask(self, asked: Callable[[Database], T]) -> T:
        return await asyncio.wrap_future(self.writer.call(asked))

    async def put(self, target: str, *ids: str, body: bytes = b"{}", kind: str = "webhook") -> None:
        def enqueue(database: Database) -> None:
            with database.transaction(durable=False):
                for one in ids:
                    outbox.enqueue(database, f"rec_{one}", [Delivery(one, kind, target, None, body)], self.now)

        await self.ask(enqueue)
        if self.worker is not None:
            self.worker.wake()

    async def entries(self) -> list[Entry]:
        return await self.ask(lambda database: outbox.listed(database, Filter()))

    async def until(self, wanted: Callable[[list[Entry]], bool], seconds: float = 30.0) -> list[Entry]:
        """The outbox, once it is so."""
        async with asyncio.timeout(seconds):
            while True:
                entries = await self.entries()
                if wanted(entries):
                    return entries
                await asyncio.sleep(0.01)

    async def empty(self) -> None:
        await self.until(lambda entries: not entries)

    async def rested(self) -> list[Entry]:
        """The outbox, once nothing is under way and nothing is due."""
        return await self.until(
            lambda entries: all(
                one.state == "dead" or (one.state == "due" and one.due_at > self.now) for one in entries
            )
        )

    async def advance(self, to: float) -> None:
        self.now = to
        assert self.worker is not None
        self.worker.wake()


@asynccontextmanager
async def store(where: Path | str, now: float = 1_800_000_000.0) -> AsyncIterator[Store]:
    """A store without a worker: a file, or what a URL names."""
    made = Store(where, now)
    made.writer.start(made.open())
    try:
        yield made
    finally:
        assert await asyncio.to_thread(made.writer.stop, 10.0)


@asynccontextmanager
async def working(
    made: Store, routes: Sequence[Route], closes: Sequence[Any] = (), jitter: float = 0.0
) -> AsyncIterator[Store]:
    """A worker on it."""
    worker = Worker(made.writer, routes, closes, clock=lambda: made.now, jitter=lambda: jitter)
    worker.start()
    made.worker = worker
    try:
        yield made
    finally:
        made.worker = None
        assert await asyncio.to_thread(worker.stop, 10.0)


@asynccontextmanager
async def delivering(made: Store, *hooks: Webhook, lookup: Lookup = look_up, **more: Any) -> AsyncIterator[Webhooks]:
    """A worker on it that sends these webhooks."""
    webhooks = Webhooks(hooks, lookup=lookup, clock=lambda: made.now, **more)
    async with working(made, webhooks.routes(made.writer), [webhooks.close]):
        yield webhooks
