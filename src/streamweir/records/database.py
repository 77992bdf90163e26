"""What the records ask of a database, and the named SQL that both of them run.

Statements stand in `sql/*.sql`, each behind a line `-- name: …`, with parameters as `:name`; tables and indexes in
`sql/sqlite/` and `sql/postgres/`, in files that are applied in the order of their names, each once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cache
from importlib.resources import files
from typing import Any, Final, Protocol

from streamweir.errors import ConfigError

Row = tuple[Any, ...]
Params = Mapping[str, Any]

PACKAGE: Final = "streamweir.records"

NO_PARAMS: Final[Params] = {}


class DatabaseError(Exception):
    """The database did not do what it was asked. Nothing of the transaction is in it.

    `away` says that the same may succeed later: it is locked, full or cannot be reached.
    """

    def __init__(self, message: str, *, away: bool) -> None:
        super().__init__(message)
        self.message = message
        self.away = away


class Database(Protocol):
    """One connection, for one thread. Every method raises DatabaseError."""

    kind: str
    """What its schema files are called by: `sqlite` or `postgres`."""

    def run(self, name: str, params: Params = NO_PARAMS, /) -> list[Row]:
        """A named statement, and the rows that it gives. Bytes come and go as bytes, times as seconds (float)."""
        ...

    def among(self, name: str, values: Sequence[str], /) -> list[Row]:
        """A named statement that ends with `IN :values`, and the rows that it gives for all of these, in any order."""
        ...

    def many(self, name: str, rows: Sequence[Params], /) -> None:
        """A named statement for each of these, which gives no rows."""
        ...

    def transaction(self, *, durable: bool) -> AbstractContextManager[None]:
        """All or nothing. `durable`: no other such transaction in between, and it outlasts a loss of power.

        Else it outlasts a kill of this process; on PostgreSQL others may write in between, so that what it does must
        not depend on what it has read.
        """
        ...

    def snapshot(self) -> AbstractContextManager[None]:
        """Whatever is read inside is as it was at one moment, and nothing is written."""
        ...

    def scrub(self) -> None:
        """Leave nothing of what was deleted where the store can help it."""
        ...

    def close(self) -> None:
        """End the connection; again: nothing."""
        ...


@cache
def statements() -> Mapping[str, str]:
    """All named statements, with their parameters as `:name`."""
    found: dict[str, str] = {}
    for file in sorted(files(PACKAGE).joinpath("sql").iterdir(), key=lambda one: one.name):
        if file.name.endswith(".sql"):
            for block in re.split(r"^-- name: ", file.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
                name, *lines = block.splitlines()
                # comments are whole lines, and may hold quotes and colons
                text = "\n".join(line for line in lines if not line.startswith("--"))
                found[name.strip()] = text.strip().rstrip(";")
    return found


def check_version(kind: str, version: int, where: str) -> None:
    """Raises ConfigError where a schema of this version is not the one that this streamweir knows."""
    newest = migrations(kind)[-1][0]
    if version > newest:
        raise ConfigError(
            f"the records in {where} have schema {version}, and this version knows up to {newest}: "
            "use the streamweir that wrote them, or a newer one, or give another records.url"
        )
    if version < newest:
        raise ConfigError(f"{where} holds no records of this version: start what writes them once")


@cache
def migrations(kind: str) -> tuple[tuple[int, str, str], ...]:
    """The schema's steps: number, name and script, in order. A file is `0001_name.sql`."""
    folder = files(PACKAGE).joinpath("sql").joinpath(kind)
    steps = sorted((one.name.removesuffix(".sql"), one) for one in folder.iterdir() if one.name.endswith(".sql"))
    return tuple((int(name[:4]), name, file.read_text(encoding="utf-8")) for name, file in steps)
