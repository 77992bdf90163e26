"""The records in one SQLite file (WAL): the embedded default, for one machine."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

from streamweir.records.database import NO_PARAMS, DatabaseError, Params, Row, check_version, migrations, statements

BUSY_MS: Final = 500
"""Milliseconds in which another process's write is waited for before it counts as a failure that is tried again."""

PAGES_A_CHECKPOINT: Final = 4000
"""Pages of 4 KiB in the write-ahead log before they are moved into the file: the commit that does it waits for it."""


AT_A_TIME: Final = 64
"""Rows in one statement: a record has seven parameters, and SQLite takes 32,766."""

STATEMENTS: Final = 512
"""Statements that are kept prepared: four of them come with any number of rows."""

DAMAGED: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
"""What is wrong is the file, and no row: somebody puts it back, or there is none to write to."""

NAMES: Final = re.compile(r":([a-z_]+)")

T = TypeVar("T")


class Sqlite:
    """A connection to the file at `path`; its schema is brought to this version. Raises ConfigError, DatabaseError."""

    kind = "sqlite"

    def __init__(self, path: str, *, read_only: bool = False) -> None:
        """`read_only`: nothing is made or changed, and several threads may share it in turn."""
        self.path = path
        # made once: it is asked for in every transaction
        self._place = Path(path)
        self._statements = statements()
        try:
            if read_only:
                address = f"{Path(path).absolute().as_uri()}?mode=ro"
                self._connection = sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=False)
                # a byte that was changed must not keep the audit from saying so
                self._connection.text_factory = _lenient
            else:
                _private(path)
                self._connection = sqlite3.connect(
                    path, isolation_level=None, check_same_thread=False, cached_statements=STATEMENTS
                )
        except (sqlite3.Error, OSError) as error:
            raise _failed(error, path) from None
        self._file = _which(self._place)
        self._execute = self._connection.execute
        self._durable: bool | None = None
        try:
            self._execute(f"PRAGMA busy_timeout = {BUSY_MS}")
            if not read_only:
                self._execute("PRAGMA journal_mode = WAL")
                self._execute(f"PRAGMA wal_autocheckpoint = {PAGES_A_CHECKPOINT}")
                # what was purged or forgotten must not be found in the file's free pages
                self._execute("PRAGMA secure_delete = ON")
                self._migrate()
            check_version(self.kind, self.version, path)
        except sqlite3.Error as error:
            self._connection.close()
            raise _failed(error, path) from None
        except BaseException:
            self._connection.close()
            raise

    def run(self, name: str, params: Params = NO_PARAMS, /) -> list[Row]:
        try:
            return self._execute(self._statements[name], params).fetchall()
        except (sqlite3.Error, ValueError, OverflowError) as error:
            raise _failed(error, self.path) from None

    def among(self, name: str, values: Sequence[str], /) -> list[Row]:
        text = self._statements[name]
        found: list[Row] = []
        try:
            for some in _at_a_time(values):
                marks = "?, " * (len(some) - 1) + "?"
                found += self._execute(text.replace(":values", f"({marks})"), some).fetchall()
        except (sqlite3.Error, ValueError, OverflowError) as error:
            raise _failed(error, self.path) from None
        return found

    def many(self, name: str, rows: Sequence[Params], /) -> None:
        text = self._statements[name]
        head, _, row = text.rpartition("VALUES ")
        names = NAMES.findall(row)
        try:
            if not head or not row.endswith(")"):
                self._connection.executemany(text, rows)
                return
            # each call lets go of the interpreter and waits to have it back: one for many rows, not one a row
            for some in _at_a_time(rows):
                marks = f"({'?, ' * (len(names) - 1)}?), " * (len(some) - 1) + f"({'?, ' * (len(names) - 1)}?)"
                self._execute(f"{head}VALUES {marks}", [params[name] for params in some for name in names])
        except (sqlite3.Error, ValueError, OverflowError) as error:
            raise _failed(error, self.path) from None

    @contextmanager
    def transaction(self, *, durable: bool) -> Generator[None]:
        if _which(self._place) != self._file:
            # what is written to a file that was deleted is gone with its last connection, and nobody would be told
            raise DatabaseError(f"the records in {self.path}: the file was deleted or replaced", away=True)
        try:
            if durable is not self._durable:
                self._execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
                self._durable = durable
            self._execute("BEGIN IMMEDIATE")
            try:
                yield
                self._execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise _failed(error, self.path) from None

    @contextmanager
    def snapshot(self) -> Generator[None]:
        try:
            self._execute("BEGIN DEFERRED")
            try:
                yield
            finally:
                self._execute("ROLLBACK")
        except sqlite3.Error as error:
            raise _failed(error, self.path) from None

    def scrub(self) -> None:
        """Move what was written into the file, so that what was deleted is not left in the write-ahead log either."""
        try:
            self._execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise _failed(error, self.path) from None

    def close(self) -> None:
        self._connection.close()

    @property
    def version(self) -> int:
        """The last step of the schema that was applied."""
        version: int = self._execute("PRAGMA user_version").fetchone()[0]
        return version

    def _migrate(self) -> None:
        for number, _, script in migrations(self.kind):
            if number <= self.version:
                continue
            self._execute("BEGIN IMMEDIATE")
            try:
                # another process may have applied it meanwhile
                if number > self.version:
                    for statement in _split(script):
                        self._execute(statement)
                    self._execute(f"PRAGMA user_version = {number}")
                self._execute("COMMIT")
            except BaseException:
                self._execute("ROLLBACK")
                raise


def _at_a_time(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    return (rows[at : at + AT_A_TIME] for at in range(0, len(rows), AT_A_TIME))


def _lenient(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _private(path: str) -> None:
    """Make the file, where there is none, so that nobody else on this machine may read it."""
    # one that is there is not opened: to close it again would give up the locks of this process's other connections
    if not Path(path).exists():
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))


def _which(path: Path) -> tuple[int, int] | None:
    """Which file stands there; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _split(script: str) -> list[str]:
    """The statements of a script; none of ours has a semicolon inside, and comments are whole lines."""
    lines = [line for line in script.splitlines() if not line.startswith("--")]
    return [statement for part in "\n".join(lines).split(";") if (statement := part.strip())]


def _failed(error: Exception, path: str) -> DatabaseError:
    if isinstance(error, ValueError | OverflowError):
        # a value that is no text or number here; the error itself may hold it
        return DatabaseError(f"the records in {path}: {type(error).__name__}", away=False)
    if isinstance(error, OSError):
        return DatabaseError(f"the records in {path}: {error.strerror or error}", away=True)
    damaged = getattr(error, "sqlite_errorcode", 0) & 0xFF in DAMAGED
    # a table that is missing is no fault of a row's
    mistaken = "no such column" in str(error) or "no such function" in str(error) or "syntax error" in str(error)
    away = damaged or (isinstance(error, sqlite3.OperationalError) and not mistaken)
    return DatabaseError(f"the records in {path}: {error}", away=away)
