"""What a test looks for in a file of records: through a connection of its own, beside whoever writes."""

import asyncio
import json
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

from streamweir.audit.merkle import Frontier, leaf_hash, root_of
from streamweir.config import load_text
from streamweir.records.records import Records
from streamweir.records.settings import RecordsSettings
from streamweir.server.life import Server
from tests.proxies import Told


class Log:
    """The file at `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.url = f"sqlite:///{path}"

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        if not self.path.exists():
            return []
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)) as database:
            try:
                return database.execute(statement).fetchall()
            except sqlite3.OperationalError as error:
                # it was made this moment, and has no tables yet
                if "no such table" not in str(error):
                    raise
                return []

    @property
    def ids(self) -> list[str]:
        return [row[0] for row in self.ask("SELECT record_id FROM records ORDER BY position")]

    @property
    def open(self) -> list[dict[str, Any]]:
        return [json.loads(row[0]) for row in self.ask("SELECT body FROM open_streams ORDER BY opened_at")]

    @property
    def records(self) -> list[dict[str, Any]]:
        """All bodies; positions are dense, and the tree is that of the leaves."""
        rows = self.ask("SELECT position, record_id, leaf, nonce, body FROM records ORDER BY position")
        assert [row[0] for row in rows] == list(range(len(rows)))
        assert all(leaf == leaf_hash(nonce + body) for _, _, leaf, nonce, body in rows)
        for size, peaks in self.ask("SELECT size, frontier FROM tree"):
            assert size == len(rows)
            assert Frontier.from_bytes(size, peaks).root() == root_of(row[2] for row in rows)
        bodies = [json.loads(row[4]) for row in rows]
        assert [body["record_id"] for body in bodies] == [row[1] for row in rows]
        return bodies

    @property
    def only(self) -> dict[str, Any]:
        """The one record that there is, and nothing is open beside it."""
        (body,) = self.records
        assert self.open == []
        return body

    def wait(self, until: Callable[[], Any], seconds: float = 20) -> Any:
        """What `until` gives, once it gives something."""
        ends = time.monotonic() + seconds
        while not (found := until()):
            assert time.monotonic() < ends, (self.ids, self.open)
            time.sleep(0.01)
        return found

    async def come(self, until: Callable[[], Any], seconds: float = 20) -> Any:
        """The same, while the test's own loop goes on."""
        async with asyncio.timeout(seconds):
            while not (found := until()):
                await asyncio.sleep(0.01)
        return found


@asynccontextmanager
async def recording_proxy(
    text: str, log: Log, told: Told | None = None, *, required: bool = True
) -> AsyncIterator[Server]:
    """A proxy that keeps records there."""
    records = Records(RecordsSettings(log.url, required))
    records.start()
    server = Server(load_text(text), {}, "127.0.0.1", 0, told=told, records=records)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
        await asyncio.to_thread(records.stop)
