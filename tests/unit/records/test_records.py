"""The records of one process: what keeps them from beginning, what must not, and what a forked child is told."""

import queue
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from streamweir.errors import ConfigError
from streamweir.records.entry import Asker
from streamweir.records.records import Records, recording
from streamweir.records.settings import RecordsSettings
from streamweir.stages.report import Identity
from tests.conftest import ROOT
from tests.recorded import Log

FORKED = """
import os, sys, threading
from streamweir.records.entry import Asker
from streamweir.records.records import Records
from streamweir.records.settings import RecordsSettings
from streamweir.stages.report import Identity

records = Records(RecordsSettings(sys.argv[1]))
records.start()
child = os.fork()
if not child:
    entry = records.entry(Asker(), {}, None)
    told, written = threading.Event(), []
    entry.open(Identity(request_id="r", dialect="d", model="m", started_at=1.0, called_at=1.0),
               lambda one: (written.append(one), told.set()), None)
    os._exit(0 if told.wait(2) and written == [False] and "forked" in (entry.away or "") else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
records.stop()
"""


@pytest.fixture
def log(tmp_path: Path) -> Log:
    log = Log(tmp_path / "records.db")
    with recording(Records(RecordsSettings(log.url))):
        pass
    return log


@contextmanager
def locked(log: Log) -> Iterator[None]:
    with closing(sqlite3.connect(log.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


def test_records_that_could_not_begin_can_later(log: Log) -> None:
    records = Records(RecordsSettings(log.url))
    with locked(log):
        for _ in range(2):
            with pytest.raises(ConfigError, match="database is locked"):
                records.start()
    with recording(records):
        assert log.ask("SELECT run FROM runs") == [(records.run,)]


@pytest.mark.parametrize("body", [b'{"identity": {}}', b"\xff", b"", b'{"subject": "\xff"}'])
def test_an_open_stream_that_cannot_be_read_is_recorded_too(log: Log, body: bytes) -> None:
    with closing(sqlite3.connect(log.path, isolation_level=None)) as other:
        other.execute("INSERT INTO runs VALUES ('dead', 1, 1)")
        other.execute("INSERT INTO open_streams VALUES ('odd', 'dead', 1, ?)", (body,))
    with recording(Records(RecordsSettings(log.url))):
        assert log.only["record_id"] == "odd"
        assert log.only["report"]["status"] == "interrupted"
        assert log.only["report"]["started_at"].startswith("1970-01-01T00:00:01")


def test_a_damaged_file_is_a_store_that_is_away_and_loses_no_record(log: Log) -> None:
    whole = log.path.read_bytes()
    records = Records(RecordsSettings(log.url))
    with recording(records):
        told: queue.Queue[bool] = queue.Queue()
        with closing(sqlite3.connect(log.path)) as other:
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        # in place: one that was replaced is known for that
        with log.path.open("r+b") as file:
            file.seek(100)
            file.write(bytes(len(whole) - 100))
        entry = records.entry(Asker(), {}, None)
        entry.open(Identity(request_id="r", dialect="d", model="m", started_at=1.0, called_at=1.0), told.put, None)
        assert not told.get(timeout=30)
        assert records.refusing
        assert records.writer.lost == 0


@pytest.mark.skipif(sys.platform == "win32", reason="nothing forks there")
def test_a_forked_child_is_told_at_once_that_nothing_is_written(log: Log) -> None:
    subprocess.run([sys.executable, "-c", FORKED, log.url], cwd=ROOT, check=True, timeout=60)
