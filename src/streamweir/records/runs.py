"""Which processes write here, and which of them are dead: their open streams are closed by somebody else.

A run is one process's life, or one `Records` in it. What says that it lives must end with it, however it ends: a lock.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

from streamweir.errors import ConfigError
from streamweir.records.advisory import lock_number
from streamweir.records.database import Database, DatabaseError
from streamweir.records.sqlite import Sqlite

LEASE: Final = 10.0
"""Seconds without a sign of life before a run on PostgreSQL may count as dead: five of them are missing by then."""


class Alive(Protocol):
    """One run's signs of life, and what it sees of others'. For the writer's thread; every method raises DatabaseError.

    `now` is in seconds since the epoch.
    """

    def begin(self, database: Database, run: str, now: float) -> None:
        """Before the run's first stream."""
        ...

    def renew(self, database: Database, now: float) -> None:
        """Every few seconds, and soon on a new connection."""
        ...

    def dead(self, database: Database, now: float) -> list[str]:
        """Other runs that ended without their own word: `ledger.sweep` closes their streams and forgets them."""
        ...

    def end(self, database: Database) -> None:
        """Behind its last stream: what is open yet is a dead run's from here on. The other methods do nothing then."""
        ...

    def let_go(self) -> None:
        """Hold nothing any more, without a word in the database: the run did not come to be. It may begin again."""
        ...


def alive_for(database: Database) -> Alive:
    """What this database's processes know each other by."""
    return FileLocks(database.path) if isinstance(database, Sqlite) else SessionLocks()


class FileLocks:
    """A locked file per run, in `<database>.runs`: whoever can lock it, or finds it gone, knows that the run is dead.

    The file is locked before the run is in the database. A child that was forked without exec holds the lock too.
    """

    def __init__(self, path: str) -> None:
        # by whatever name the database is opened
        self._folder = Path(os.path.realpath(path) + ".runs")
        self._run = ""
        self._held: int | None = None

    def begin(self, database: Database, run: str, now: float) -> None:
        self._run = run
        self._hold()
        database.run("see_run", {"run": run, "at": now})

    def renew(self, database: Database, now: float) -> None:
        if not self._run:
            return
        # somebody who tidies up may have removed the file
        if self._held is None or not os.fstat(self._held).st_nlink:
            self.let_go()
            self._hold()
        with database.transaction(durable=False):
            database.run("see_run", {"run": self._run, "at": now})

    def dead(self, database: Database, now: float) -> list[str]:
        if not self._run:
            return []
        return [run for run, _ in database.run("other_runs", {"run": self._run}) if self._is_free(run)]

    def end(self, database: Database) -> None:
        run, self._run = self._run, ""
        try:
            database.run("end_run", {"run": run})
        finally:
            self.let_go()
            self._path(run).unlink(missing_ok=True)
            with suppress(OSError):
                # the last one leaves nothing
                self._folder.rmdir()

    def let_go(self) -> None:
        if self._held is not None:
            os.close(self._held)
            self._held = None

    def _path(self, run: str) -> Path:
        return self._folder / run

    def _hold(self) -> None:
        try:
            try:
                held = self._made()
            except FileNotFoundError:
                # the last of the others took the folder away just then
                held = self._made()
        except OSError as error:
            raise DatabaseError(f"the records' runs in {self._folder}: {error.strerror or error}", away=True) from None
        if not _lock(held):
            os.close(held)
            raise ConfigError(f"the run {self._run} is written by another process: {self._path(self._run)} is locked")
        self._held = held

    def _made(self) -> int:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        return os.open(self._path(self._run), os.O_CREAT | os.O_RDWR, 0o600)

    def _is_free(self, run: str) -> bool:
        try:
            found = os.open(self._path(run), os.O_RDWR)
        except FileNotFoundError:
            return True
        except OSError as error:
            raise DatabaseError(f"the records' runs in {self._folder}: {error.strerror or error}", away=True) from None
        try:
            free = _lock(found)
        finally:
            os.close(found)
        if free:
            self._path(run).unlink(missing_ok=True)
        return free


class SessionLocks:
    """An advisory lock that the writer's session holds, and a time in `runs.seen_at`, by the database's own clock.

    A run is dead when its lock is free and its time is over. A lost connection frees the lock at once, and the time is
    what it has to come back; where the server, or this connection to it, was away, all others have that time again.
    """

    def __init__(self) -> None:
        self._run = ""
        self._session: Database | None = None
        self._held = False
        self._judges_from = 0.0

    def begin(self, database: Database, run: str, now: float) -> None:
        self._run = run
        self.renew(database, now)

    def renew(self, database: Database, now: float) -> None:
        if not self._run:
            return
        ((now, started),) = database.run("session_clock")
        if database is not self._session:
            away = self._session is not None
            self._session, self._held = database, False
            self._judges_from = (now if away else started) + LEASE
        if not self._held:
            # a session of ours that the server still believes in may have it, and says the same as long as it has
            ((self._held,),) = database.run("hold_run", {"number": lock_number(f"run {self._run}")})
        database.run("see_run", {"run": self._run, "at": now})

    def dead(self, database: Database, now: float) -> list[str]:
        if not self._run:
            return []
        if database is not self._session:
            self.renew(database, now)
        ((now, _),) = database.run("session_clock")
        if now < self._judges_from:
            return []
        silent = [run for run, seen_at in database.run("other_runs", {"run": self._run}) if seen_at + LEASE < now]
        return [run for run in silent if database.run("is_run_free", {"number": lock_number(f"run {run}")})[0][0]]

    def end(self, database: Database) -> None:
        run, self._run = self._run, ""
        database.run("end_run", {"run": run})
        if self._held and database is self._session:
            database.run("leave_run", {"number": lock_number(f"run {run}")})

    def let_go(self) -> None:
        # the session's end does
        self._session, self._held = None, False


if sys.platform == "win32":
    import msvcrt

    def _lock(file: int) -> bool:
        """Whether it could be taken. It ends with the process."""
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _lock(file: int) -> bool:
        """Whether it could be taken. It ends with the process."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
