"""The one thread that writes: it commits whatever is queued, and tries again what the database did not take.

Whoever waits is told in its own event loop, once for all that were written in one transaction.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from streamweir.errors import ConfigError
from streamweir.records import ledger
from streamweir.records.database import Database, DatabaseError
from streamweir.records.ledger import CloseRow, OpenRow

T = TypeVar("T")

log = logging.getLogger("streamweir.records")

BATCH: Final = 500
"""Streams that are opened and closed in one transaction: beyond that a row costs no less, and others wait longer."""

APART: Final = 0.004
"""Seconds from one transaction to the next at least. A stream that comes alone waits for nothing; under load a commit
costs ten rows, and what comes meanwhile shares it."""

AGAIN_AFTER: Final = 0.25
"""Seconds before a database that was away is asked again."""

KEPT: Final = 20_000
"""Closes that wait while the database is away, some 60 MB of them; with more, those that come are lost, and counted."""

SEEN_EVERY: Final = 2.0
"""Seconds between signs of life, and looks for streams that others left open."""


@dataclass(slots=True)
class Job:
    """One row to write. `told` is called once with whether it was written, in `loop`, or in the writer's own thread."""

    row: OpenRow | Callable[[], CloseRow]
    told: Callable[[bool], None]
    loop: asyncio.AbstractEventLoop | None


class Writer:
    """See the module's docstring. `connect` makes the connection, in that thread; `idle` is called there now and then.

    `away` is what the database last said, where it did not do what it was asked. `lost` counts closes that were given
    up. An opening that was not written is told so at once; a close is kept, and tried until it is written.
    """

    def __init__(
        self, connect: Callable[[], Database], run: str, idle: Callable[[Database, float], None] | None = None
    ) -> None:
        self._connect = connect
        self._run = run
        self._idle = idle
        self._jobs: deque[Job] = deque()
        self._calls: deque[tuple[Callable[[Database], Any], Future[Any]]] = deque()
        self._wake = threading.Event()
        self.stopping = False
        self._stop_by = 0.0
        self._last: Callable[[Database], None] | None = None
        self._thread = threading.Thread(target=self._work, name="streamweir-records", daemon=True)
        self._database: Database | None = None
        self.enqueued: Callable[[], None] | None = None
        """Called where something waits to be delivered that did not before."""
        self.away: str | None = None
        self.lost = 0
        self.written = 0

    def start(self, database: Database) -> None:
        """Begin, with a connection that is made already."""
        self._database = database
        self._thread.start()

    def put(self, job: Job) -> None:
        """Write this with the next transaction. From any thread; behind `stop` it is not written."""
        if self.gone or (self.stopping and not self._thread.is_alive()):
            self._tell([(job, False)])
            return
        self._jobs.append(job)
        if not self._wake.is_set():
            self._wake.set()

    def call(self, asked: Callable[[Database], T]) -> Future[T]:
        """What this gives, called in the writer's thread between two transactions. It may raise DatabaseError."""
        future: Future[T] = Future()
        self._calls.append((asked, future))
        self._wake.set()
        return future

    def stop(self, within: float, last: Callable[[Database], None] | None = None) -> bool:
        """Write what is queued, for at most so many seconds, and end the thread. Whether all was written.

        `last` is called there behind it all, where the database was not away.
        """
        self._last = last
        self._stop_by = time.monotonic() + within
        self.stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(within)
        return not self._thread.is_alive() and not self._jobs

    @property
    def gone(self) -> bool:
        """Whether the thread that wrote is there no more: it was stopped, or this process was forked from another."""
        return self._thread.ident is not None and not self._thread.is_alive()

    @property
    def queued(self) -> int:
        """How many rows wait to be written."""
        return len(self._jobs)

    # -- in the thread ---------------------------------------------------------------------------------

    def _work(self) -> None:
        look_at = write_at = time.monotonic()
        while True:
            jobs = self._jobs
            if not (jobs or self._calls):
                if self.stopping:
                    break
                self._wake.clear()
                if not (jobs or self._calls or self.stopping):
                    self._wake.wait(max(0.0, look_at - time.monotonic()))
            if jobs:
                if not self.stopping and (early := write_at - time.monotonic()) > 0:
                    time.sleep(early)
                write_at = time.monotonic() + APART
                batch = [jobs.popleft() for _ in range(min(len(jobs), BATCH))]
                if not self._write(batch) and self.stopping and time.monotonic() >= self._stop_by:
                    break
            if self._calls and not (jobs and self.stopping):
                self._answer(*self._calls.popleft())
            if time.monotonic() >= look_at:
                look_at = time.monotonic() + SEEN_EVERY
                self._look()
        while self._calls:
            self._calls.popleft()[1].cancel()
        if self._database is not None:
            if self._last is not None:
                self._say_last(self._database, self._last)
            self._database.close()

    def _write(self, batch: list[Job]) -> bool:
        """Whether the database took it."""
        opens = [job for job in batch if isinstance(job.row, OpenRow)]
        closes = [job for job in batch if not isinstance(job.row, OpenRow)]
        try:
            rows = [_made(job) for job in closes]
            database = self._database or self._connected()
            opened = [job.row for job in opens if isinstance(job.row, OpenRow)]
            recorded = ledger.write(database, self._run, opened, rows, time.time())
        except Exception as error:
            if not _is_away(error):
                return self._refused(batch, error)
            self._failed(error)
            self._tell([(job, False) for job in opens])
            # what is behind them waits for them
            self._jobs.extendleft(reversed(closes))
            while len(self._jobs) > KEPT:
                self.lost += 1
                self._tell([(self._jobs.pop(), False)])
            time.sleep(AGAIN_AFTER)
            return False
        self._back()
        self.written += len(batch)
        if self.enqueued is not None and any(row.deliveries for row in rows):
            self.enqueued()
        self._tell([*((job, True) for job in opens), *zip(closes, recorded, strict=True)])
        return True

    def _refused(self, batch: list[Job], error: Exception) -> bool:
        """One of them cannot be made, or the database says no: it must not keep the others out."""
        if len(batch) > 1:
            for number, job in enumerate(batch, 1):
                if not self._write([job]):
                    self._jobs.extendleft(reversed(batch[number:]))
                    return False
            return True
        known = isinstance(error, DatabaseError)
        log.error("a record cannot be written, and is lost: %s", error, exc_info=None if known else error)
        self.lost += 1
        self._tell([(batch[0], False)])
        return True

    def _answer(self, asked: Callable[[Database], Any], future: Future[Any]) -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            answer = asked(self._database or self._connected())
        except BaseException as error:
            if _is_away(error):
                self._failed(error)
            future.set_exception(error)
        else:
            future.set_result(answer)

    def _connected(self) -> Database:
        self._database = self._connect()
        return self._database

    def _failed(self, error: BaseException) -> None:
        if self.away is None:
            log.error("%s; it is tried again", error)
        self.away = str(error)
        if self._database is not None:
            # whatever state the connection is in: the next one is a new one
            self._database.close()
            self._database = None

    @staticmethod
    def _say_last(database: Database, last: Callable[[Database], None]) -> None:
        try:
            last(database)
        except Exception:
            log.exception("what comes last failed")

    def _back(self) -> None:
        if self.away is not None:
            log.warning("the records are written again")
            self.away = None

    def _look(self) -> None:
        try:
            database = self._database or self._connected()
            if self._idle is not None:
                self._idle(database, time.time())
        except Exception as error:
            if _is_away(error):
                self._failed(error)
            else:
                log.exception("what is looked at now and then failed")
        else:
            # also where nothing is left to write, since nobody asks while it is away
            self._back()

    @staticmethod
    def _tell(told: list[tuple[Job, bool]]) -> None:
        loops: dict[asyncio.AbstractEventLoop | None, list[tuple[Job, bool]]] = {}
        for job, written in told:
            loops.setdefault(job.loop, []).append((job, written))
        for loop, jobs in loops.items():
            if loop is None:
                _say(jobs)
            elif not loop.is_closed():
                try:
                    loop.call_soon_threadsafe(_say, jobs)
                except RuntimeError:
                    # it was closed meanwhile: nobody waits there any more
                    continue


def _is_away(error: BaseException) -> bool:
    """Whether the same may succeed later. A schema that another version brought is mended by a restart, or by hand."""
    return error.away if isinstance(error, DatabaseError) else isinstance(error, ConfigError)


def _made(job: Job) -> CloseRow:
    if isinstance(job.row, OpenRow):
        raise TypeError("an opening among the closes")
    # made once, here and not in the loop: a record that is tried again keeps its nonce
    row = job.row()
    job.row = lambda: row
    return row


def _say(jobs: list[tuple[Job, bool]]) -> None:
    for job, written in jobs:
        try:
            job.told(written)
        except Exception:
            # others were written in the same transaction, and wait to be told too
            log.exception("a stream failed when it was told of its record; please report it")
