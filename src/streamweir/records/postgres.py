"""The records in a PostgreSQL database, in the schema `streamweir`: one store for the processes of several machines."""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, Final, NamedTuple

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus
from psycopg.types.numeric import FloatLoader
from psycopg.types.string import StrDumperUnknown

from streamweir.errors import ConfigError
from streamweir.records.advisory import lock_number
from streamweir.records.database import NO_PARAMS, DatabaseError, Params, Row, check_version, migrations, statements
from streamweir.records.session import SILENCE, Session

DEFAULTS: Final[Mapping[str, tuple[str, str | int]]] = {
    "connect_timeout": ("PGCONNECT_TIMEOUT", 5),
    "application_name": ("PGAPPNAME", "streamweir"),
    # of several hosts the one that writes
    "target_session_attrs": ("PGTARGETSESSIONATTRS", "read-write"),
    # a server that went away without a word is noticed within some 10 seconds, idle or not
    "keepalives_idle": ("", 4),
    "keepalives_interval": ("", 2),
    "keepalives_count": ("", 3),
    "tcp_user_timeout": ("", 10_000),
}
"""What holds unless the URL, or the environment variable, says otherwise."""

SESSION: Final = b"""
SELECT set_config('search_path', 'streamweir, ' || current_setting('search_path'), false);
SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';
SET tcp_keepalives_idle = 10;
SET tcp_keepalives_interval = 5;
SET tcp_keepalives_count = 3;
SET tcp_user_timeout = 30000
"""
"""The server is to notice a machine that went away too: its locks would say for two hours that its run lives."""

WRITES: Final = b"""
SET statement_timeout = '10s';
SET lock_timeout = '2s';
SET idle_in_transaction_session_timeout = '10s'
"""
"""No statement of ours takes long, and nobody may keep the others out: not even a process that is stopped."""

# its reads see what the last holder of the lock wrote: a snapshot is a statement's, whatever the server's default is
BEGIN: Final = b"BEGIN ISOLATION LEVEL READ COMMITTED"

SNAPSHOT: Final = b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

ALONE: Final = b"SELECT pg_advisory_xact_lock(%d)"

UNFLUSHED: Final = b"SET LOCAL synchronous_commit = off"

REFUSED: Final = ("21", "22", "23", "42")
"""Classes of SQLSTATE that say that the statement or its values are wrong: it will not succeed later either."""

MENDED_BY_OTHERS: Final = ("42501", "42P01")
"""Of those classes, and yet no fault of a row's: a privilege, or a table, that is missing."""


IN: Final = "IN :values"
ANY: Final = "= ANY (:values)"
"""A list as one parameter, for the server would take no other."""

PORTS: Final = re.compile(r"[0-9,]*\Z")


class Statement(NamedTuple):
    """A named statement in psycopg's words; `rows`: it gives some."""

    text: bytes
    rows: bool


class Postgres:
    """A connection; the schema is brought to this version. Raises ConfigError, DatabaseError."""

    kind = "postgres"

    def __init__(self, url: str, *, read_only: bool = False) -> None:
        """`url` is libpq's, with all of its parameters. `read_only`: nothing is made or changed."""
        given = _parsed(url)
        self.where = _where(given)
        self._secret = str(given.get("password") or "")
        self._statements = _translated()
        try:
            self._connection = Session.connect(**_with_defaults(given, read_only), autocommit=True)
        except (psycopg.Error, OSError, UnicodeError) as error:
            raise self._failed(error) from None
        try:
            self._connection.adapters.register_loader("numeric", FloatLoader)
            self._connection.adapters.register_dumper(str, _Text)
            self._script(SESSION)
            if read_only:
                self._script(b"SET default_transaction_read_only = on")
            else:
                self._script(WRITES)
                self._migrate()
                self._connection.patience = SILENCE
            check_version(self.kind, self.version, self.where)
        except psycopg.Error as error:
            self._connection.close()
            raise self._failed(error) from None
        except BaseException:
            self._connection.close()
            raise

    def run(self, name: str, params: Params = NO_PARAMS, /) -> list[Row]:
        text, rows = self._statements[name]
        try:
            cursor = self._connection.execute(text, params)
            # nothing is waited for inside a transaction but rows: what fails is told by the next ones, or by its end
            return cursor.fetchall() if rows else []
        except (psycopg.Error, ValueError, OverflowError) as error:
            raise self._failed(error) from None

    def among(self, name: str, values: Sequence[str], /) -> list[Row]:
        return self.run(name, {"values": list(values)})

    def many(self, name: str, rows: Sequence[Params], /) -> None:
        try:
            self._connection.cursor().executemany(self._statements[name].text, rows)
        except (psycopg.Error, ValueError, OverflowError) as error:
            raise self._failed(error) from None

    @contextmanager
    def transaction(self, *, durable: bool) -> Generator[None]:
        connection = self._connection
        caught: BaseException | None = None
        ended = None
        try:
            # one way there and back for all that gives no rows: others wait for the lock meanwhile
            with connection.pipeline():
                try:
                    connection.execute(BEGIN)
                    connection.execute(ALONE % lock_number("append") if durable else UNFLUSHED)
                    yield
                    ended = connection.execute(b"COMMIT")
                except BaseException as error:
                    # raised behind the pipeline: in its end it would only be logged
                    caught = error
        except psycopg.Error as error:
            caught = caught or error
        if caught is not None:
            self._roll_back()
            if isinstance(caught, psycopg.Error):
                raise self._failed(caught) from None
            raise caught
        if ended is None or ended.statusmessage != "COMMIT":
            raise DatabaseError(f"the records in {self.where}: the server took a transaction back", away=True)

    @contextmanager
    def snapshot(self) -> Generator[None]:
        try:
            self._connection.execute(SNAPSHOT)
            try:
                yield
            finally:
                self._roll_back()
        except psycopg.Error as error:
            raise self._failed(error) from None

    def scrub(self) -> None:
        # the server's vacuum does, in its time
        return

    def close(self) -> None:
        self._connection.close()

    @property
    def version(self) -> int:
        """The last step of the schema that was applied."""
        ((known,),) = self._script(b"SELECT to_regclass('streamweir.schema_steps') IS NOT NULL")
        if not known:
            return 0
        ((version,),) = self._script(b"SELECT coalesce(max(number), 0) FROM streamweir.schema_steps")
        return int(version)

    def _migrate(self) -> None:
        if self.version >= migrations(self.kind)[-1][0]:
            return
        with self._connection.transaction():
            # however long another process takes to do the same
            self._script(b"SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0")
            self._script(ALONE % lock_number("schema"))
            ((known,),) = self._script(b"SELECT to_regnamespace('streamweir') IS NOT NULL")
            if not known:
                self._script(b"CREATE SCHEMA streamweir")
            for number, name, script in migrations(self.kind):
                if number > self.version:
                    self._script(script.encode())
                    self._connection.execute(
                        b"INSERT INTO streamweir.schema_steps (number, name) VALUES (%s, %s)", (number, name)
                    )

    def _script(self, text: bytes) -> list[Row]:
        """Statements without parameters, and the rows of the first."""
        cursor = self._connection.execute(text, prepare=False)
        return cursor.fetchall() if cursor.description else []

    def _roll_back(self) -> None:
        connection = self._connection
        try:
            if not connection.closed and connection.info.transaction_status is not TransactionStatus.IDLE:
                connection.execute(b"ROLLBACK")
        except psycopg.Error:
            # what it leaves undone the server takes back
            connection.close()

    def _failed(self, error: Exception) -> DatabaseError:
        """What it was, without values of rows: those stand in the error's details."""
        if not isinstance(error, psycopg.Error):
            told, away = type(error).__name__, isinstance(error, OSError)
        else:
            told = error.diag.message_primary or str(error).strip().partition("\n")[0] or type(error).__name__
            if state := error.sqlstate:
                told = f"{told} ({state})"
                away = not state.startswith(REFUSED) or state in MENDED_BY_OTHERS
            else:
                away = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
        if self._secret:
            told = told.replace(self._secret, "***")
        return DatabaseError(f"the records in {self.where}: {told}", away=away)


class _Text(StrDumperUnknown):
    """PostgreSQL's texts hold no U+0000: it is written, and looked for, as U+FFFD."""

    def dump(self, obj: str) -> Any:
        return super().dump(obj.replace("\x00", "\ufffd"))


@cache
def _translated() -> Mapping[str, Statement]:
    """All named statements with psycopg's parameters: `:name` outside of quotes, and no cast."""

    def named(found: re.Match[str]) -> str:
        return f"%({found[1]})s" if found[1] else found[0]

    return {
        name: Statement(
            re.sub(r"'[^']*'|::|:([a-z_]\w*)", named, text.replace("%", "%%").replace(IN, ANY)).encode(),
            re.search(r"\A(SELECT|WITH|VALUES)\b|\bRETURNING\b", text, re.IGNORECASE) is not None,
        )
        for name, text in statements().items()
    }


def _parsed(url: str) -> dict[str, Any]:
    try:
        given = conninfo_to_dict(url)
    except psycopg.Error:
        # libpq's own words hold what it could not read
        given = None
    # the rest of a password behind an @ or / of its own is read as one of these, and would be in messages
    host, port, name = (str((given or {}).get(key, "")) for key in ("host", "port", "dbname"))
    if given is None or "@" in host + name or not PORTS.match(port):
        raise ConfigError(
            "records.url cannot be read: it is postgresql://user:password@host:5432/database?sslmode=verify-full, "
            "with @, / and % in user and password written as %40, %2F and %25"
        )
    return given


def _with_defaults(given: Mapping[str, Any], read_only: bool) -> dict[str, Any]:
    wanted = {key: value for key, (env, value) in DEFAULTS.items() if key not in given and not os.environ.get(env)}
    if read_only:
        wanted.pop("target_session_attrs", None)
    return {**wanted, **given, "client_encoding": "UTF8"}


def _where(given: Mapping[str, Any]) -> str:
    """The URL without password and parameters."""
    user, host, port = (str(given.get(key) or "") for key in ("user", "host", "port"))
    return f"postgresql://{user and user + '@'}{host}{port and ':' + port}/{given.get('dbname') or ''}"
