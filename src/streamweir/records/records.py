"""The records of one process: the store, the thread that writes to it, and the entries of its streams."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Final

from streamweir.errors import ConfigError
from streamweir.records import ledger
from streamweir.records.database import Database, DatabaseError
from streamweir.records.entry import Asker, Entry, row_of_dead
from streamweir.records.ids import new_id, subject_of
from streamweir.records.opening import open_database
from streamweir.records.outgoing import Outgoing
from streamweir.records.runs import Alive, alive_for
from streamweir.records.settings import RecordsSettings
from streamweir.records.upkeep import Upkeep
from streamweir.records.worker import Worker
from streamweir.records.writer import Writer

log = logging.getLogger("streamweir.records")

STOP_WITHIN: Final = 5.0
"""Seconds in which what is queued is written when the process ends."""


class Records:
    """See the module's docstring. `start` before the first stream is opened, `stop` behind the last one.

    From any thread, and each of them as often as you like: the first counts.
    """

    def __init__(self, settings: RecordsSettings, outgoing: Sequence[Outgoing] = ()) -> None:
        """`outgoing`: what leaves with each record, and who delivers it."""
        self.settings = settings._replace(delivers=(*settings.delivers, *(one.deliver for one in outgoing)))
        self._starting = threading.Lock()
        self.started = False
        self.run = os.urandom(16).hex()
        self.upkeep = Upkeep(self.settings)
        self._alive: Alive | None = None
        self.writer = Writer(self._connect, self.run, self._look)
        self._worker: Worker | None = None
        if outgoing:
            routes = [route for one in outgoing for route in one.routes(self.writer)]
            self._worker = Worker(self.writer, routes, [one.close for one in outgoing], owner=self.run)
            self.writer.enqueued = self._worker.wake

    def start(self) -> None:
        """Open the store, and close what dead processes left open. Raises ConfigError, also where it cannot be opened.

        Where that failed, it may be tried again.
        """
        with self._starting:
            if not self.started:
                try:
                    self._start()
                except DatabaseError as error:
                    raise ConfigError(f'{error.message}; give another records.url, or "off"') from None
                self.started = True

    def _start(self) -> None:
        database = open_database(self.settings.url)
        self._alive = alive_for(database)
        try:
            self.upkeep.start(database)
            self._alive.begin(database, self.run, time.time())
            self._look(database, time.time())
        except BaseException:
            self._alive.let_go()
            database.close()
            raise
        self.writer.start(database)
        if self._worker is not None:
            self._worker.start()

    def stop(self) -> None:
        """Write what is queued, and let go of the store. What comes behind that is not written."""
        with self._starting:
            running, self.started = self.started and not self.writer.stopping, True
            if running and self._worker is not None:
                self._sign()
                self._worker.stop(STOP_WITHIN)
            written = self.writer.stop(STOP_WITHIN, self._end)
        if running and not written:
            why = self.writer.away or f"the store needs longer than {STOP_WITHIN:g} s"
            log.error("the records have not ended in order, and %d rows wait besides: %s", self.writer.queued, why)

    def _sign(self) -> None:
        """Sign the log once more while what is announced of it can still leave."""
        with suppress(DatabaseError, TimeoutError):
            self.writer.call(lambda database: self.upkeep.end(database, time.time())).result(STOP_WITHIN)

    def entry(self, asker: Asker, metadata: Mapping[str, Any], conversation_id: str | None) -> Entry:
        """The record of one stream, not yet opened."""
        subject = metadata.get("subject", conversation_id)
        if subject is not None:
            subject = subject_of(subject)
        return Entry(self.settings, self.writer, asker, new_id(time.time()), subject)

    @property
    def tries(self) -> Mapping[tuple[str, str, str], int]:
        """Tries to deliver, by kind, target, and what followed: `done`, `due` (again) or `dead`."""
        return self._worker.tries if self._worker is not None else {}

    @property
    def refusing(self) -> bool:
        """Whether streams are refused at present, since none can be recorded."""
        return self.settings.required and self.writer.away is not None

    # -- in the writer's thread ------------------------------------------------------------------------

    def _connect(self) -> Database:
        return open_database(self.settings.url)

    def _end(self, database: Database) -> None:
        if self._alive is not None:
            self._alive.end(database)
        self.upkeep.end(database, time.time())

    def _look(self, database: Database, now: float) -> None:
        if self._alive is None:
            return
        self._alive.renew(database, now)
        for run in self._alive.dead(database, now):
            swept = ledger.sweep(database, run, partial(self._row_of_dead, now), now)
            if swept:
                log.warning("%d streams of a process that ended without a word were recorded as interrupted", swept)
        self.upkeep.look(database, now)

    def _row_of_dead(self, now: float, row: ledger.OpenRow) -> ledger.CloseRow:
        return row_of_dead(self.settings, row, now)


@contextmanager
def recording(records: Records) -> Generator[None]:
    """The store is open inside. Raises ConfigError, also where its file cannot be written."""
    records.start()
    try:
        yield
    finally:
        records.stop()
