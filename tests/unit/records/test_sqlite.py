"""A full disk, a lock and a folder that cannot be written: nothing half-written, and no close is lost."""

import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from streamweir.records import ledger
from streamweir.records.database import DatabaseError
from streamweir.records.opening import open_database
from streamweir.records.sqlite import Sqlite
from streamweir.records.writer import Writer
from tests.conftest import ROOT
from tests.stores import check_log, closed, names, opened
from tests.unit.records.test_writer import Told

resource = pytest.importorskip("resource")


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """No file of this process grows beyond so many bytes: to SQLite it is a disk that takes no more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def pages_up_to(database: Sqlite, more: int) -> Iterator[None]:
    """The database says that it is full: as with a disk that is."""
    connection = database._connection
    ((pages,),) = connection.execute("PRAGMA page_count").fetchall()
    connection.execute(f"PRAGMA max_page_count = {pages + more}").fetchall()
    try:
        yield
    finally:
        connection.execute("PRAGMA max_page_count = 1073741823").fetchall()


def until_full(database: Sqlite) -> tuple[DatabaseError, int]:
    """What is said then, and how many were recorded before."""
    for number in range(1000):
        try:
            ledger.write(database, "r", [opened(f"o{number}")], [closed(f"s{number}", b"x" * 3000)], 2.0)
        except DatabaseError as error:
            return error, number
    raise AssertionError("it is never full")


@pytest.mark.parametrize("how", ["disk", "pages"])
def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, how: str) -> None:
    path = tmp_path / "records.db"
    database = Sqlite(str(path))
    with files_up_to(200_000) if how == "disk" else pages_up_to(database, 20):
        error, recorded = until_full(database)
        assert error.away
        assert str(path) in error.message
        assert recorded
        assert len(check_log(database)) == recorded
        assert len(names(database, "open")) == recorded
    assert ledger.write(database, "r", [], [closed("after")], 2.0) == [True]
    database.close()
    again = Sqlite(str(path))
    assert check_log(again) == [*(f"s{number}" for number in range(recorded)), "after"]
    again.close()


def test_the_writer_keeps_closes_while_the_disk_is_full(tmp_path: Path) -> None:
    url, told = f"sqlite:///{tmp_path}/records.db", Told()
    database = open_database(url)
    writer = Writer(lambda: open_database(url), "run")
    writer.start(database)
    with files_up_to(150_000):
        for number in range(100):
            writer.put(told.job(opened(f"s{number}")))
            writer.put(told.job(closed(f"s{number}", b"x" * 3000)))
        until = time.monotonic() + 30
        while writer.away is None:
            assert time.monotonic() < until
            time.sleep(0.01)
        assert "full" in writer.away or "I/O" in writer.away
    told.wait(200)
    assert writer.stop(30)
    assert {name for name, words in told.of.items() if words != [True]} <= {f"open s{number}" for number in range(100)}
    reader = open_database(url)
    assert sorted(map(str, check_log(reader))) == sorted(f"s{number}" for number in range(100))
    reader.close()


LOCKS = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.readline()
connection.execute("COMMIT")
"""


def test_a_lock_of_another_process_is_waited_for(tmp_path: Path) -> None:
    path, told = tmp_path / "records.db", Told()
    database = Sqlite(str(path))
    writer = Writer(lambda: Sqlite(str(path)), "run")
    writer.start(database)
    locking = subprocess.Popen(
        [sys.executable, "-c", LOCKS, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    )
    assert locking.stdout is not None
    assert locking.stdout.readline() == b"locked\n"
    writer.put(told.job(opened("a")))
    writer.put(told.job(closed("b")))
    assert told.wait(1) == {"open a": [False]}
    assert "locked" in str(writer.away)
    locking.communicate(b"\n", timeout=30)
    assert told.wait(2)["close b"] == [True]
    assert writer.stop(30)
    reader = Sqlite(str(path), read_only=True)
    assert check_log(reader) == ["b"]
    reader.close()


def test_what_is_no_database_and_what_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "records.db").write_bytes(b"these are no records " * 100)
    with pytest.raises(DatabaseError, match="not a database"):
        Sqlite(str(tmp_path / "records.db"))
    with pytest.raises(DatabaseError, match="No such file") as missing:
        Sqlite(str(tmp_path / "missing" / "records.db"))
    assert missing.value.away


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    database = Sqlite(str(tmp_path / "records.db"))
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
    assert sqlite3.threadsafety
    database.close()
