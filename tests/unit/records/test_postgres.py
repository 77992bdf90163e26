"""PostgreSQL's own: a server that goes away, what is said of it, and what is asked of its session."""

import os
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator

import pytest

pytest.importorskip("psycopg", reason="psycopg is missing: pip install 'streamweir[postgres]'")

from streamweir.errors import ConfigError
from streamweir.records import ledger
from streamweir.records.database import DatabaseError
from streamweir.records.opening import open_database
from streamweir.records.postgres import Postgres, _translated
from streamweir.records.writer import Writer
from tests.postgres import PASSWORD, PostgresServer, binaries
from tests.stores import Store, check_log, closed, names, opened
from tests.unit.records.test_writer import Told

pytestmark = pytest.mark.check


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """One that the test may stop."""
    server = PostgresServer(binaries())
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def pg(postgres_server: PostgresServer) -> Iterator[Store]:
    name = f"own{time.monotonic_ns()}"
    postgres_server.sql(f"CREATE DATABASE {name}")
    made = Store("postgres", postgres_server.url(name))
    yield made
    made.close()


def test_a_server_that_is_stopped_and_comes_back(own_server: PostgresServer) -> None:
    url, told = own_server.url(), Told()
    writer = Writer(lambda: open_database(url), "run")
    writer.start(open_database(url))
    writer.put(told.job(opened("a")))
    writer.put(told.job(closed("a")))
    told.wait(2)
    for end in (own_server.stop, own_server.kill):
        end()
        names_so_far = len(told.of)
        writer.put(told.job(opened(f"o{names_so_far}")))
        writer.put(told.job(closed(f"c{names_so_far}")))
        assert told.wait(names_so_far + 1)[f"open o{names_so_far}"] == [False]
        assert writer.away is not None
        assert PASSWORD not in writer.away
        own_server.start()
        assert told.wait(names_so_far + 2)[f"close c{names_so_far}"] == [True]
        assert writer.away is None
    assert writer.stop(30)
    database = open_database(url)
    assert check_log(database) == ["a", "c2", "c4"]
    assert names(database, "open") == []
    database.close()


def test_a_kill_of_the_server_under_load_loses_no_close_that_was_told(own_server: PostgresServer) -> None:
    url, told = own_server.url(), Told()
    writer = Writer(lambda: open_database(url), "run")
    writer.start(open_database(url))
    stop = threading.Event()

    def putting() -> None:
        number = 0
        while not stop.is_set():
            writer.put(told.job(closed(f"s{number}")))
            number += 1
            time.sleep(0.0005)

    load = threading.Thread(target=putting)
    load.start()
    for _ in range(3):
        told.wait(len(told.of) + 200)
        own_server.kill()
        own_server.start()
    stop.set()
    load.join()
    assert writer.stop(60)
    # also one whose commit succeeded and whose answer did not come: it is not "another record"
    assert {name for name, words in told.of.items() if words != [True]} == set()
    database = open_database(url)
    assert sorted(f"close {name}" for name in check_log(database)) == sorted(told.of)
    database.close()


def test_an_answer_that_is_lost_behind_the_commit(pg: Store) -> None:
    """The commit succeeded; the same batch comes again, on a new connection."""
    first = pg.open()
    assert ledger.write(first, "r", [], [closed("a")], 2.0) == [True]
    first.close()
    assert ledger.write(pg.open(), "r", [], [closed("a"), closed("b")], 2.0) == [True, True]


def test_a_server_that_hangs_is_away_and_keeps_nobody_waiting(own_server: PostgresServer) -> None:
    url, told = own_server.url(), Told()
    database = Postgres(url)
    (backend,) = database._script(b"SELECT pg_backend_pid()")[0]
    database._connection.patience = 0.3
    writer = Writer(lambda: open_database(url), "run")
    writer.start(database)
    os.kill(backend, signal.SIGSTOP)
    try:
        writer.put(told.job(opened("a")))
        writer.put(told.job(closed("b")))
        assert told.wait(2) == {"open a": [False], "close b": [True]}
    finally:
        os.kill(backend, signal.SIGCONT)
    assert writer.stop(30)
    reader = open_database(url)
    assert check_log(reader) == ["b"]
    reader.close()


def test_a_session_that_the_server_ends(pg: Store) -> None:
    database, other = pg.open(), pg.open()
    with pytest.raises(DatabaseError) as failure, database.transaction(durable=True):
        database.many("open_stream", [{"run": "r", **opened("a")._asdict()}])
        other._connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()")  # type: ignore[attr-defined]  # fmt: skip
        database.run("tree")
    assert failure.value.away
    with pytest.raises(DatabaseError) as failure:
        ledger.write(database, "r", [], [closed("a")], 2.0)
    assert failure.value.away
    assert names(other, "open") == []


def test_a_lock_that_somebody_holds_is_away_in_seconds(pg: Store) -> None:
    database, other = pg.open(), pg.open()
    database._connection.execute("SET lock_timeout = '100ms'")  # type: ignore[attr-defined]
    with other.transaction(durable=True):
        other.run("tree")
        # openings wait for nobody's commit
        assert ledger.write(database, "r", [opened("o")], [], 1.0) == []
        with pytest.raises(DatabaseError, match=r"lock timeout \(55P03\)") as failure:
            ledger.write(database, "r", [], [closed("a")], 2.0)
        assert failure.value.away
    assert ledger.write(database, "r", [], [closed("a")], 2.0) == [True]


def test_the_reads_of_a_transaction_see_what_was_committed_before_it(pg: Store) -> None:
    """Whatever isolation the server's owner likes: the tree is read behind the lock."""
    database, other = pg.open(), pg.open()
    database._connection.execute("SET default_transaction_isolation = 'serializable'")  # type: ignore[attr-defined]
    done: list[list[bool]] = []
    with other.transaction(durable=True):
        other.run("tree")
        waiting = threading.Thread(target=lambda: done.append(ledger.write(database, "r", [], [closed("b")], 2.0)))
        waiting.start()
        while not _waits(pg):
            time.sleep(0.01)
        ledger.append(other, [closed("a")], 2.0)
    waiting.join(30)
    assert done == [[True]]
    assert check_log(other) == ["a", "b"]


def _waits(pg: Store) -> bool:
    looking = Postgres(pg.url, read_only=True)
    try:
        return bool(looking._script(b"SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"))
    finally:
        looking.close()


def test_closes_are_flushed_and_openings_are_not(pg: Store) -> None:
    database = pg.open()
    asked: list[tuple[str, str]] = []
    for default in ("on", "off", "remote_apply"):
        database._connection.execute(f"ALTER ROLE streamweir SET synchronous_commit = {default}")  # type: ignore[attr-defined]
        session = pg.open()
        for durable in (True, False):
            with session.transaction(durable=durable):
                found = session._connection.execute("SHOW synchronous_commit").fetchone()  # type: ignore[attr-defined]
            asked.append((f"{default} {durable}", found[0]))
    database._connection.execute("ALTER ROLE streamweir RESET synchronous_commit")  # type: ignore[attr-defined]
    assert asked == [
        ("on True", "on"), ("on False", "off"), ("off True", "on"), ("off False", "off"),
        ("remote_apply True", "remote_apply"), ("remote_apply False", "off"),
    ]  # fmt: skip


def test_its_tables_are_in_a_schema_that_others_cannot_read(pg: Store, postgres_server: PostgresServer) -> None:
    pg.open()
    name = pg.url.rpartition("/")[2]
    tables = postgres_server.sql(
        "SELECT DISTINCT schemaname FROM pg_tables WHERE tablename IN ('records', 'tree')", name
    )
    assert tables == "streamweir"
    assert postgres_server.sql("SELECT has_schema_privilege('public', 'streamweir', 'USAGE')", name) == "f"


def test_a_role_that_may_make_no_schema_uses_one_that_was_made_for_it(
    pg: Store, postgres_server: PostgresServer
) -> None:
    name = pg.url.rpartition("/")[2]
    postgres_server.sql(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")
    url = pg.url.replace("streamweir:", f"{name}:")
    with pytest.raises(DatabaseError, match="permission denied") as refusal:
        open_database(url)
    assert refusal.value.away
    postgres_server.sql(f"CREATE SCHEMA streamweir AUTHORIZATION {name}", name)
    database = open_database(url)
    assert ledger.write(database, "r", [opened("a")], [closed("a")], 2.0) == [True]
    database.close()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgresql://u:p@hidden@h/d", ConfigError),
        ("postgresql://u:p/hidden@h/d", ConfigError),
        ("postgresql://u:12/hidden@h/d", ConfigError),
        ("postgresql://u:hidden@h:port/d", ConfigError),
        ("postgresql://u:hidden@h/d?nonsense=1", ConfigError),
        ("postgresql://u:%zzhidden@h/d", ConfigError),
        ("postgresql://streamweir:hidden@127.0.0.1:{port}/postgres", DatabaseError),
        ("postgresql://streamweir@127.0.0.1:{port}/postgres?password=hidden", DatabaseError),
        ("postgresql://nobody:hidden@127.0.0.1:{port}/nowhere", DatabaseError),
        ("postgresql://u:hidden@127.0.0.1:1/d", DatabaseError),
        ("postgresql://u:hidden@127.0.0.1:{port}/d?sslmode=require", DatabaseError),
    ],
)
def test_no_message_holds_the_password(url: str, says: type[Exception], postgres_server: PostgresServer) -> None:
    with pytest.raises(says) as refusal:
        open_database(url.format(port=postgres_server.port))
    shown = f"{refusal.value} {refusal.value!r} {refusal.value.__cause__}"
    assert "hidden" not in shown
    if isinstance(refusal.value, DatabaseError):
        assert refusal.value.away
        assert "postgresql://" in refusal.value.message


def test_libpqs_environment_is_used(postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    monkeypatch.setenv("PGAPPNAME", "records of mine")
    database = Postgres(f"postgres://streamweir@127.0.0.1:{postgres_server.port}/postgres")
    assert database._script(b"SHOW application_name") == [("records of mine",)]
    database.close()
    assert PASSWORD not in database.where


def test_a_socket_in_the_file_system(postgres_server: PostgresServer) -> None:
    database = Postgres(f"postgresql://streamweir@/postgres?host={postgres_server.folder}&port={postgres_server.port}")
    assert database.version
    database.close()


@pytest.mark.skipif(sys.platform != "linux", reason="the options of sockets are Linux's")
def test_a_server_that_went_away_without_a_word_is_noticed_by_both_ends(pg: Store) -> None:
    database = pg.open()
    session = database._connection  # type: ignore[attr-defined]
    with socket.socket(fileno=os.dup(session.fileno())) as line:
        options = [socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT]
        assert [line.getsockopt(socket.IPPROTO_TCP, option) for option in options] == [4, 2, 3, 10_000]
    settings = ("tcp_keepalives_idle", "tcp_user_timeout", "statement_timeout", "idle_in_transaction_session_timeout")
    assert [session.execute(f"SHOW {name}").fetchone()[0] for name in settings] == ["10", "30000", "10s", "10s"]


def test_a_server_that_takes_connections_and_says_nothing_is_away_in_time() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(DatabaseError, match="timeout") as failure:
            open_database(f"postgresql://u:hidden@127.0.0.1:{silent.getsockname()[1]}/d?connect_timeout=2")
        assert failure.value.away


def test_names_become_parameters_and_nothing_else_does() -> None:
    for name, (text, _) in _translated().items():
        assert b" :" not in text, name
    assert _translated()["open_stream"].text.endswith(b"(%(record_id)s, %(run)s, %(opened_at)s, %(body)s)")
    assert _translated()["tree"].rows
    assert not _translated()["grow_tree"].rows


def test_every_named_statement_is_postgresqls_too(pg: Store) -> None:
    """Its own ones and those of both: tables of passages need pgvector, and have tests of their own."""
    session = pg.open()._connection  # type: ignore[attr-defined]
    tried = 0
    for name, (text, _) in _translated().items():
        if not name.endswith("_sqlite") and b"passages" not in text:
            names_in_it = re.findall(rb"%\((\w+)\)s", text)
            session.execute(b"EXPLAIN " + text, {one.decode(): None for one in names_in_it})
            tried += 1
    assert tried > 20
