"""Stores of records for tests: a new SQLite file, or a new database on a PostgreSQL server of the session's own."""

import itertools
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from streamweir.audit.merkle import Frontier, root_of
from streamweir.records.database import Database
from streamweir.records.ledger import CloseRow, OpenRow
from streamweir.records.opening import open_database
from tests.postgres import PostgresServer, binaries

_numbers = itertools.count()


class Store:
    """One store, by its URL; what was opened through it is closed at the test's end."""

    def __init__(self, kind: str, url: str) -> None:
        self.kind = kind
        self.url = url
        self._opened: list[Database] = []

    def open(self, read_only: bool = False) -> Database:
        self._opened.append(open_database(self.url, read_only=read_only))
        return self._opened[-1]

    def close(self) -> None:
        for database in self._opened:
            database.close()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.check)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """The same test on both databases."""
    if request.param == "sqlite":
        made = Store("sqlite", f"sqlite:///{tmp_path}/records.db")
    else:
        server = request.getfixturevalue("postgres_server")
        name = f"records{next(_numbers)}"
        server.sql(f"CREATE DATABASE {name}")
        made = Store("postgres", server.url(name))
    yield made
    made.close()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Shared: it is neither stopped nor changed."""
    server = PostgresServer(binaries())
    try:
        server.start()
        yield server
    finally:
        server.remove()


def opened(name: str, at: float = 1.0) -> OpenRow:
    return OpenRow(name, at, f"opened {name}".encode())


def closed(name: str, text: bytes = b"body") -> CloseRow:
    return CloseRow(name, "stream", 2.0, name.encode().ljust(16, b".")[:16], text)


def interrupted(row: OpenRow) -> CloseRow:
    return closed(row.record_id, b"interrupted")


@cache
def _reads() -> dict[str, str]:
    return {
        "leaves": "SELECT position, record_id, leaf FROM records ORDER BY position",
        "bodies": "SELECT record_id, body FROM records ORDER BY position",
        "open": "SELECT record_id FROM open_streams ORDER BY record_id",
        "runs": "SELECT run FROM runs ORDER BY run",
        "texts": "SELECT record_id, subject, salt, text FROM texts ORDER BY record_id",
        "outbox": "SELECT message_id, record_id, kind, target, state, attempts FROM outbox ORDER BY message_id",
    }


def rows(database: Database, what: str) -> list[tuple[object, ...]]:
    """What stands in a table, read beside the named statements."""
    connection = database._connection  # type: ignore[attr-defined]
    return connection.execute(_reads()[what]).fetchall()


def names(database: Database, what: str = "bodies") -> list[object]:
    return [row[0] for row in rows(database, what)]


def check_log(database: Database) -> list[object]:
    """Positions are dense, each record has one, and the tree is that of the leaves. Gives the records' names."""
    found = rows(database, "leaves")
    assert [row[0] for row in found] == list(range(len(found)))
    record_ids = [row[1] for row in found]
    assert len(set(record_ids)) == len(record_ids)
    ((size, peaks),) = database.run("tree")
    assert size == len(found)
    assert Frontier.from_bytes(size, peaks).root() == root_of(row[2] for row in found)
    return record_ids
