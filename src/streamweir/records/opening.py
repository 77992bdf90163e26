"""From `records.url` to a database."""

from __future__ import annotations

from typing import Final

from streamweir.errors import ConfigError
from streamweir.records.database import Database
from streamweir.records.sqlite import Sqlite

SQLITE: Final = "sqlite:///"


def open_database(url: str, *, read_only: bool = False) -> Database:
    """A connection to the store that `records.url` names. Raises ConfigError, DatabaseError.

    `sqlite:///name.db` is a file in the working directory, `sqlite:////var/lib/name.db` one anywhere.
    """
    if url == "off":
        raise ConfigError('records.url is "off": there is no store; give one, such as "sqlite:///streamweir.db"')
    if url.startswith(SQLITE) and len(url) > len(SQLITE):
        return Sqlite(url.removeprefix(SQLITE), read_only=read_only)
    # what else the URL holds may be a password
    raise ConfigError(
        f'records.url is no store ({url.partition(":")[0]}:…): give one such as "sqlite:///streamweir.db"'
    )
