"""Opens the store that a URL names."""

from __future__ import annotations

from streamweir.errors import ConfigError
from streamweir.records.database import Database
from streamweir.records.sqlite import Sqlite


def open_database(url: str) -> Database:
    """A connection to `sqlite:///relative.db` or `sqlite:////absolute.db`. Raises ConfigError, DatabaseError."""
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite" and rest.startswith("/") and len(rest) > 1:
        return Sqlite(rest[1:])
    raise ConfigError(f"records.url is {url!r}: give sqlite:///file.db, or sqlite:////path/to/file.db")
