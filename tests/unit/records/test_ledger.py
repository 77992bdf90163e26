"""Both databases do the same: the log is dense, its tree fits, and a transaction is whole or not there."""

import subprocess
import sys

import pytest

from streamweir.audit.merkle import leaf_hash
from streamweir.errors import ConfigError
from streamweir.records import ledger
from streamweir.records.database import Database, DatabaseError
from streamweir.records.ledger import CloseRow, Delivery, OpenRow, Text
from streamweir.records.opening import open_database
from tests.conftest import ROOT
from tests.stores import Store, check_log, closed, interrupted, names, opened, rows


def test_a_stream_is_open_until_it_is_closed(store: Store) -> None:
    database = store.open()
    assert ledger.write(database, "r", [opened("a"), opened("b")], [], 1.0) == []
    assert names(database, "open") == ["a", "b"]
    assert ledger.write(database, "r", [opened("c")], [closed("a"), closed("c")], 2.0) == [True, True]
    assert names(database, "open") == ["b"]
    assert check_log(database) == ["a", "c"]
    assert rows(database, "leaves")[0][2] == leaf_hash(closed("a").nonce + b"body")


def test_what_goes_with_a_record_is_in_its_transaction(store: Store) -> None:
    database = store.open()
    text = Text("who\x00", b"salt", "zero \x00 and \U0001f600")
    delivery = Delivery("m", "webhook", "https://a.example", None, b"\x00body")
    row = closed("a")._replace(text=text, deliveries=[delivery])
    assert ledger.write(database, "r", [], [row], 2.0) == [True]
    ((_, subject, salt, kept),) = rows(database, "texts")
    assert (salt, kept) == (b"salt", text.text.encode())
    assert subject == ("who\x00" if store.kind == "sqlite" else "who\ufffd")
    assert rows(database, "outbox") == [("m", "a", "webhook", "https://a.example", "due", 0)]


def test_a_record_is_written_once_and_the_same_again_is_recorded(store: Store) -> None:
    database = store.open()
    assert ledger.write(database, "r", [], [closed("a")], 2.0) == [True]
    again, other = closed("a"), closed("a", b"other")
    assert ledger.write(database, "r", [], [again, closed("b"), other], 2.0) == [True, True, False]
    assert check_log(database) == ["a", "b"]
    assert rows(database, "bodies")[0][1] == b"body"


def test_many_batches_make_one_tree(store: Store) -> None:
    database = store.open()
    for first in range(0, 600, 37):
        ids = [f"s{number}" for number in range(first, first + 37)]
        ledger.write(database, "r", [opened(name) for name in ids], [], 1.0)
        assert all(ledger.write(database, "r", [], [closed(name) for name in ids], 2.0))
    assert len(check_log(database)) == 629
    assert names(database, "open") == []


def test_a_sweep_closes_what_a_run_left_and_forgets_it(store: Store) -> None:
    database = store.open()
    database.run("see_run", {"run": "dead", "at": 1.0})
    ledger.write(database, "dead", [opened(f"d{number:03}") for number in range(450)], [], 1.0)
    ledger.write(database, "lives", [opened("l")], [], 1.0)
    assert ledger.sweep(database, "dead", interrupted, 9.0) == 450
    assert names(database, "open") == ["l"]
    assert names(database, "runs") == []
    assert len(check_log(database)) == 450
    assert {row[1] for row in rows(database, "bodies")} == {b"interrupted"}
    assert ledger.sweep(database, "dead", interrupted, 9.0) == 0


def test_what_fails_leaves_nothing_and_the_next_transaction_is_sound(store: Store) -> None:
    database = store.open()
    ledger.write(database, "r", [], [closed("a")], 2.0)
    twice = [Delivery("m", "webhook", "t", None, b"")] * 2
    for opens, closes in [
        ([opened("x"), opened("x")], []),
        ([opened("x")], [closed("y"), closed("y")]),
        ([opened("x")], [closed("y")._replace(text=Text(None, b"s", "t"), deliveries=twice)]),
        ([OpenRow("x", None, b"a value")], [closed("y")]),  # type: ignore[arg-type]
        ([OpenRow("x\ud800", 1.0, b"")], [closed("y")]),
    ]:
        with pytest.raises(DatabaseError) as failure:
            ledger.write(database, "r", opens, closes, 2.0)
        assert not failure.value.away
        # SQLite's are one line; PostgreSQL's details hold the row, its bytes in hexadecimal
        assert "\n" not in failure.value.message
        assert b"a value".hex() not in failure.value.message
        assert names(database, "open") == []
        assert rows(database, "texts") == rows(database, "outbox") == []
        assert check_log(database) == ["a"]
    assert ledger.write(database, "r", [opened("x")], [closed("y")], 2.0) == [True]
    assert check_log(database) == ["a", "y"]


def test_what_the_caller_raises_takes_the_transaction_back(store: Store) -> None:
    database = store.open()
    with pytest.raises(KeyError), database.transaction(durable=True):
        database.run("open_stream", {"run": "r", **opened("a")._asdict()})
        raise KeyError("a mistake")
    assert names(database, "open") == []


def test_among_gives_the_rows_of_all_of_these(store: Store) -> None:
    database = store.open()
    ledger.write(database, "r", [], [closed("a"), closed("c")], 2.0)
    leaves = [(name, leaf_hash(closed(name).nonce + b"body")) for name in "ac"]
    assert sorted(database.among("leaves_of", "abc")) == leaves
    assert database.among("leaves_of", []) == []
    assert sorted(database.among("leaves_of", [*map(str, range(200)), "c", "a"])) == leaves
    with database.transaction(durable=True):
        assert sorted(database.among("leaves_of", "abc")) == leaves


WRITES = """
import sys, time
from streamweir.records import ledger
from streamweir.records.opening import open_database
from streamweir.records.database import DatabaseError
from tests.stores import closed, opened

url, who, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
database, written = open_database(url), 0
while written < count:
    # none is over before another one has begun
    while written == count // 2 and database.run("tree")[0][0] == written:
        time.sleep(0.01)
    ids = [f"{who}-{number}" for number in range(written, written + 5)]
    try:
        ledger.write(database, who, [opened(name) for name in ids], [closed(name) for name in ids], 2.0)
    except DatabaseError as error:
        assert error.away, error
    else:
        written += 5
database.close()
"""


def test_processes_that_write_at_once_lose_no_leaf(store: Store) -> None:
    """The first of them makes the schema, while the others would like to."""
    environment = {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "PATH": "/usr/bin:/bin"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WRITES, store.url, f"w{number}", "200"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment,
        )
        for number in range(3)
    ]  # fmt: skip
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(b"\n")
        process.stdin.flush()
    assert [process.communicate(timeout=120) and process.returncode for process in processes] == [0, 0, 0]
    found = check_log(store.open())
    assert sorted(map(str, found)) == sorted(f"w{who}-{number}" for who in range(3) for number in range(200))
    # they did write at the same time
    assert found[:200] != [f"w0-{number}" for number in range(200)]


def _make_newer(database: Database) -> None:
    statement = {"sqlite": "PRAGMA user_version = 9999", "postgres": "INSERT INTO schema_steps VALUES (9999, 'later')"}
    database._connection.execute(statement[database.kind])  # type: ignore[attr-defined]


def test_a_newer_schema_is_refused_in_the_same_words(store: Store) -> None:
    _make_newer(store.open())
    for read_only in (False, True):
        with pytest.raises(ConfigError, match="have schema 9999, and this version knows up to") as refusal:
            open_database(store.url, read_only=read_only)
        assert "not-for-logs" not in str(refusal.value)


def test_a_reader_changes_nothing(store: Store) -> None:
    if store.kind == "postgres":
        with pytest.raises(ConfigError, match="holds no records of this version"):
            open_database(store.url, read_only=True)
    database = store.open()
    ledger.write(database, "r", [], [closed("a")], 2.0)
    reader = store.open(read_only=True)
    assert check_log(reader) == ["a"]
    with pytest.raises(DatabaseError):
        ledger.write(reader, "r", [], [closed("b")], 2.0)
    assert check_log(database) == ["a"]


def test_a_close_row_is_a_record(store: Store) -> None:
    database = store.open()
    row = CloseRow("p", "purged", 3.5, bytes(range(16)), b"\x00\xff")
    assert ledger.write(database, "r", [], [row], 2.0) == [True]
    assert rows(database, "bodies") == [("p", b"\x00\xff")]
