"""The writer's thread: in order, in batches, told once, and what cannot be written keeps nobody else out."""

import asyncio
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from streamweir.errors import ConfigError
from streamweir.records import writer as module
from streamweir.records.database import NO_PARAMS, Database, DatabaseError, Params, Row
from streamweir.records.ledger import CloseRow, OpenRow
from streamweir.records.opening import open_database
from streamweir.records.sqlite import Sqlite
from streamweir.records.writer import Job, Writer
from tests.stores import Store, check_log, closed, names, opened


class Gate:
    """A real database whose transactions wait while `shut`, and fail with `error`."""

    kind = "sqlite"

    def __init__(self, path: Path) -> None:
        self.real = Sqlite(str(path))
        self.go = threading.Event()
        self.go.set()
        self.error: Exception | None = None
        self.transactions = self.closes = self.connected = 0

    def connect(self) -> Database:
        self.connected += 1
        return self

    def run(self, name: str, params: Params = NO_PARAMS, /) -> list[Row]:
        return self.real.run(name, params)

    def among(self, name: str, values: Sequence[str], /) -> list[Row]:
        return self.real.among(name, values)

    def many(self, name: str, rows: Sequence[Params], /) -> None:
        self.real.many(name, rows)

    @contextmanager
    def transaction(self, *, durable: bool) -> Generator[None]:
        assert self.go.wait(30)
        if self.error is not None:
            raise self.error
        with self.real.transaction(durable=durable):
            yield
        self.transactions += 1

    def close(self) -> None:
        self.closes += 1


class Told:
    """What was told of each row, and in which thread."""

    def __init__(self) -> None:
        self.of: dict[str, list[bool]] = {}
        self.threads: set[threading.Thread] = set()
        self._news = threading.Condition()

    def job(
        self,
        row: OpenRow | CloseRow,
        loop: asyncio.AbstractEventLoop | None = None,
        made: Callable[[], CloseRow] | None = None,
    ) -> Job:
        name = ("open " if isinstance(row, OpenRow) else "close ") + row.record_id
        return Job(
            row if isinstance(row, OpenRow) else made or (lambda: row), lambda written: self._told(name, written), loop
        )

    def wait(self, count: int) -> dict[str, list[bool]]:
        with self._news:
            assert self._news.wait_for(lambda: sum(map(len, self.of.values())) >= count, 30), self.of
        return self.of

    def _told(self, name: str, written: bool) -> None:
        with self._news:
            self.of.setdefault(name, []).append(written)
            self.threads.add(threading.current_thread())
            self._news.notify_all()


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path / "records.db")


@pytest.fixture
def writer(gate: Gate) -> Generator[Writer]:
    made = Writer(gate.connect, "run")
    made.start(gate)
    yield made
    gate.error = None
    gate.go.set()
    assert made.stop(30)
    gate.real.close()


def test_a_row_is_written_and_told_once_in_the_writers_thread(writer: Writer, gate: Gate) -> None:
    told = Told()
    writer.put(told.job(opened("a")))
    writer.put(told.job(closed("a")))
    writer.put(told.job(closed("a", b"another")))
    assert told.wait(3) == {"open a": [True], "close a": [True, False]}
    assert {thread.name for thread in told.threads} == {"streamweir-records"}
    assert writer.written == 3


def test_what_comes_last_and_fails_is_only_logged(gate: Gate, caplog: pytest.LogCaptureFixture) -> None:
    def failing(_: Database) -> None:
        raise DatabaseError("gone", away=True)

    writer = Writer(gate.connect, "run")
    writer.start(gate)
    assert writer.stop(30, failing)
    assert gate.closes == 1
    assert "what comes last failed" in caplog.text
    gate.real.close()


async def test_those_who_wait_are_told_in_their_loop(writer: Writer) -> None:
    told, done = Told(), asyncio.Event()
    loop = asyncio.get_running_loop()
    writer.put(told.job(opened("a"), loop))
    writer.put(Job(lambda: closed("a"), lambda _: done.set(), loop))
    await asyncio.wait_for(done.wait(), 30)
    assert told.of == {"open a": [True]}
    assert told.threads == {threading.current_thread()}


def test_a_loop_that_is_closed_is_nobodys_loss(writer: Writer) -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    told = Told()
    writer.put(told.job(opened("a"), loop))
    writer.put(told.job(opened("b")))
    assert told.wait(1) == {"open b": [True]}


def test_one_that_fails_when_it_is_told_keeps_it_from_nobody(writer: Writer, gate: Gate) -> None:
    told = Told()

    def failing(_: bool) -> None:
        raise ValueError("a mistake")

    gate.go.clear()
    writer.put(Job(opened("first"), failing, None))
    writer.put(told.job(opened("second")))
    writer.put(Job(opened("third"), failing, None))
    gate.go.set()
    assert told.wait(1) == {"open second": [True]}
    writer.put(told.job(opened("fourth")))
    assert told.wait(2) == {"open second": [True], "open fourth": [True]}


def test_what_queues_meanwhile_is_one_transaction_in_order(writer: Writer, gate: Gate) -> None:
    told = Told()
    gate.go.clear()
    writer.put(told.job(opened("first")))
    while writer.queued:
        time.sleep(0.001)
    for number in range(module.BATCH + 50):
        writer.put(told.job(closed(f"s{number}")))
    gate.go.set()
    told.wait(module.BATCH + 51)
    assert gate.transactions == 3
    assert check_log(gate.real) == [f"s{number}" for number in range(module.BATCH + 50)]
    assert {tuple(words) for words in told.of.values()} == {(True,)}


def test_stop_writes_what_is_queued(gate: Gate) -> None:
    writer, told = Writer(gate.connect, "run"), Told()
    writer.start(gate)
    for number in range(2 * module.BATCH):
        writer.put(told.job(closed(f"s{number}")))
    last: list[int] = []
    assert writer.stop(30, lambda database: last.append(len(check_log(gate.real))))
    assert last == [2 * module.BATCH]
    assert len(told.of) == 2 * module.BATCH
    assert len(check_log(gate.real)) == 2 * module.BATCH
    assert gate.closes == 1
    gate.real.close()


def test_stop_waits_for_a_database_that_comes_back(gate: Gate) -> None:
    writer, told = Writer(gate.connect, "run"), Told()
    gate.error = DatabaseError("it is away", away=True)
    writer.start(gate)
    writer.put(told.job(closed("a")))
    while writer.away is None:
        time.sleep(0.001)
    threading.Timer(0.5, setattr, (gate, "error", None)).start()
    assert writer.stop(30)
    assert told.of == {"close a": [True]}
    gate.real.close()


def test_stop_says_when_it_could_not(gate: Gate) -> None:
    writer, told = Writer(gate.connect, "run"), Told()
    gate.error = DatabaseError("it is away", away=True)
    writer.start(gate)
    writer.put(told.job(closed("a")))
    assert not writer.stop(0.1)
    assert told.of == {}
    asked = Writer(gate.connect, "run")
    gate.go.clear()
    gate.error = None
    asked.start(gate)
    asked.put(told.job(opened("slow")))
    assert not asked.stop(0.05)
    gate.go.set()
    assert asked.stop(30)
    gate.real.close()


def test_while_it_is_away_opens_are_told_so_and_closes_wait(writer: Writer, gate: Gate) -> None:
    told = Told()
    gate.error = DatabaseError("the disk is full", away=True)
    writer.put(told.job(opened("a")))
    writer.put(told.job(closed("b")))
    assert told.wait(1) == {"open a": [False]}
    assert writer.away == "the disk is full"
    gate.error = None
    writer.put(told.job(closed("c")))
    assert told.wait(3) == {"open a": [False], "close b": [True], "close c": [True]}
    assert writer.away is None
    assert check_log(gate.real) == ["b", "c"]
    assert gate.connected > 0
    assert writer.lost == 0


def test_what_waited_stays_in_front(writer: Writer, gate: Gate) -> None:
    told = Told()
    gate.error = DatabaseError("gone", away=True)
    gate.go.clear()
    writer.put(told.job(closed("a")))
    while writer.queued:
        time.sleep(0.001)
    writer.put(told.job(closed("b")))
    gate.go.set()
    while writer.away is None:
        time.sleep(0.001)
    gate.error = None
    told.wait(2)
    assert check_log(gate.real) == ["a", "b"]


def test_it_comes_back_by_itself_where_nothing_is_left_to_write(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams are refused while it is away, so that nobody asks."""
    monkeypatch.setattr(module, "SEEN_EVERY", 0.02)
    told = Told()
    writer = Writer(
        gate.connect, "run", lambda database, now: database.run("see_run", {"run": "run", "at": now}) and None
    )
    writer.start(gate)
    gate.error = DatabaseError("gone", away=True)
    writer.put(told.job(opened("a")))
    told.wait(1)
    gate.error = None
    until = time.monotonic() + 30
    while writer.away is not None:
        assert time.monotonic() < until
        time.sleep(0.01)
    assert writer.stop(30)
    gate.real.close()


def test_closes_beyond_what_is_kept_are_lost_and_counted(
    writer: Writer, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT", 3)
    told = Told()
    gate.error = DatabaseError("gone", away=True)
    gate.go.clear()
    for number in range(5):
        writer.put(told.job(closed(f"s{number}")))
    gate.go.set()
    assert told.wait(2) == {"close s3": [False], "close s4": [False]}
    assert writer.lost == 2
    gate.error = None
    told.wait(5)
    assert check_log(gate.real) == ["s0", "s1", "s2"]


def test_a_row_that_cannot_be_written_keeps_no_other_out(writer: Writer, gate: Gate) -> None:
    told = Told()
    gate.go.clear()
    writer.put(told.job(opened("first")))
    while writer.queued:
        time.sleep(0.001)

    def broken() -> CloseRow:
        raise RuntimeError("a mistake in what makes records")

    writer.put(told.job(closed("a")))
    writer.put(told.job(OpenRow("poison\ud800", 1.0, b"")))
    writer.put(told.job(closed("broken"), made=broken))
    writer.put(told.job(opened("twice")))
    writer.put(told.job(opened("twice")))
    writer.put(told.job(closed("b")))
    gate.go.set()
    of = told.wait(7)
    assert of == {
        "open first": [True], "close a": [True], "open poison\ud800": [False], "close broken": [False],
        "open twice": [True, False], "close b": [True],
    }  # fmt: skip
    assert check_log(gate.real) == ["a", "b"]
    assert writer.lost == 3
    assert writer.away is None


def test_a_record_that_is_tried_again_is_made_once(writer: Writer, gate: Gate) -> None:
    told, made = Told(), []

    def making() -> CloseRow:
        made.append(1)
        return closed("a")

    gate.error = DatabaseError("gone", away=True)
    writer.put(told.job(closed("a"), made=making))
    while writer.away is None:
        time.sleep(0.001)
    gate.error = None
    assert told.wait(1) == {"close a": [True]}
    assert made == [1]


def test_a_schema_that_became_newer_loses_no_record(gate: Gate) -> None:
    refusals = [ConfigError("a newer schema"), ConfigError("a newer schema")]

    def connect() -> Database:
        if refusals:
            raise refusals.pop()
        return gate

    writer, told = Writer(connect, "run"), Told()
    gate.error = DatabaseError("gone", away=True)
    writer.start(gate)
    writer.put(told.job(closed("a")))
    while len(refusals) == 2:
        time.sleep(0.001)
    gate.error = None
    assert told.wait(1) == {"close a": [True]}
    assert writer.stop(30)
    gate.real.close()


def test_calls_are_made_in_the_writers_thread(writer: Writer, gate: Gate) -> None:
    assert writer.call(lambda database: (threading.current_thread().name, database)).result(30) == (
        "streamweir-records",
        gate,
    )

    def failing(_: Database) -> None:
        raise KeyError("a mistake")

    def away(_: Database) -> None:
        raise DatabaseError("gone", away=True)

    with pytest.raises(KeyError):
        writer.call(failing).result(30)
    with pytest.raises(DatabaseError):
        writer.call(away).result(30)
    assert writer.call(lambda database: names(gate.real)).result(30) == []
    assert gate.connected == 1


def test_a_call_that_comes_too_late_is_cancelled(gate: Gate) -> None:
    writer, told = Writer(gate.connect, "run"), Told()
    gate.error = DatabaseError("gone", away=True)
    gate.go.clear()
    writer.start(gate)
    writer.put(told.job(closed("a")))
    while writer.queued:
        time.sleep(0.001)
    writer._stopping = True
    future = writer.call(lambda database: 1)
    gate.go.set()
    assert not writer.stop(0)
    writer._thread.join(30)
    assert future.cancelled()
    gate.real.close()


def test_a_mistake_in_what_is_called_now_and_then_does_not_end_it(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEEN_EVERY", 0.01)
    looks = []

    def looking(database: Database, now: float) -> None:
        looks.append(now)
        raise [RuntimeError("a mistake"), ConfigError("newer"), DatabaseError("away", away=True)][len(looks) % 3]

    writer, told = Writer(gate.connect, "run", looking), Told()
    writer.start(gate)
    while len(looks) < 4:
        time.sleep(0.001)
    writer.put(told.job(closed("a")))
    assert told.wait(1) == {"close a": [True]}
    assert writer.stop(30)
    gate.real.close()


def test_it_writes_to_both_databases(store: Store) -> None:
    database, told = store.open(), Told()
    writer = Writer(lambda: open_database(store.url), "run")
    writer.start(database)
    for number in range(300):
        writer.put(told.job(opened(f"s{number}")))
        writer.put(told.job(closed(f"s{number}")))
    told.wait(600)
    assert writer.stop(30)
    reader = store.open()
    assert check_log(reader) == [f"s{number}" for number in range(300)]
    assert names(reader, "open") == []
