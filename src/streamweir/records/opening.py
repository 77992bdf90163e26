"""From `records.url` to a database."""

from __future__ import annotations

from typing import Final

from streamweir.errors import ConfigError
from streamweir.records.database import Database
from streamweir.records.sqlite import Sqlite

KNOWN: Final = "sqlite:///records.db (beside the process), sqlite:////var/lib/streamweir/records.db, postgresql://…"


def open_database(url: str, *, read_only: bool = False) -> Database:
    """A connection, for one thread. Raises ConfigError for a URL that names none, and DatabaseError."""
    path = sqlite_file(url)
    if path is not None:
        return Sqlite(path, read_only=read_only)
    try:
        from streamweir.records.postgres import Postgres
    except ImportError as error:
        raise ConfigError(
            f"records.url names PostgreSQL, and psycopg does not load ({error}): pip install 'streamweir[postgres]'"
        ) from None
    return Postgres(url, read_only=read_only)


def sqlite_file(url: str) -> str | None:
    """The file that a URL names; None for a server. Raises ConfigError where it names neither."""
    scheme, colon, rest = url.partition("://")
    if colon and scheme == "sqlite":
        path = rest.removeprefix("/")
        if path == rest or path in ("", ":memory:"):
            raise ConfigError(f"records.url names no file: it is one of {KNOWN}")
        return path
    if colon and scheme in ("postgresql", "postgres"):
        return None
    # not the URL itself: there may be a password in it
    raise ConfigError(f"records.url is of no database that is known: it is one of {KNOWN}")
