"""Tokens, fetched once for all who need one. The policy is flows/tokens.py's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from streamweir.client.aio.connection import Connection, Sink
from streamweir.client.aio.pool import Pool
from streamweir.client.grants import (
    MAX_ERROR_BODY,
    TOKEN_TIMEOUT,
    TokenFailed,
    grant_in,
    no_token_in_time,
    token_lost,
    token_post,
)
from streamweir.client.lost import AnswerTimeout, ConnectionLost
from streamweir.client.settings import UpstreamSettings
from streamweir.client.token_store import Store
from streamweir.ending import Cause
from streamweir.errors import APIError
from streamweir.flows.handshake import Failure
from streamweir.flows.tokens import CachedToken, cache, verdict
from streamweir.genesys.login import Grant


class TokenSource(Protocol):
    """Where a bearer token comes from. `current` is the one that is cached."""

    @property
    def current(self) -> str | None: ...

    async def get(self, refused: str | None = None) -> str | None:
        """A token, or None where none is needed; `refused` is one that the upstream did not accept."""
        ...


class Given:
    """A token that the caller gave by hand, or none."""

    def __init__(self, token: str | None) -> None:
        self.current = token

    async def get(self, refused: str | None = None) -> str | None:
        """The token, whatever happened to it: there is no other."""
        return self.current


class Asked:
    """A function of the caller's that gives tokens; it is called for each request, and may be a coroutine function."""

    def __init__(self, give: Callable[[], str | Awaitable[str]]) -> None:
        self._give = give
        self.current: str | None = None

    async def get(self, refused: str | None = None) -> str | None:
        """What it gives now."""
        given = self._give()
        self.current = given if isinstance(given, str) else await given
        return self.current


class Credentials:
    """Client credentials, with one cached token and at most one request for another in flight."""

    def __init__(self, fetch: Callable[[], Awaitable[Grant]], store: Store | None = None) -> None:
        self._fetch = fetch
        self._store_file = store
        self._cached: CachedToken | None = store.load() if store is not None else None
        self._renewal: asyncio.Task[str] | None = None
        self._waiting = 0

    @property
    def current(self) -> str | None:
        """The token that is cached."""
        return self._cached.value if self._cached is not None else None

    async def get(self, refused: str | None = None) -> str:
        """The token. Raises TokenFailed."""
        if refused is not None and self._cached is not None and self._cached.value == refused:
            self._cached = None
            if self._store_file is not None:
                self._store_file.drop(refused)
        cached = self._cached
        state = verdict(cached, time.monotonic())
        if cached is not None and state != "missing":
            if state == "ageing":
                self._renew()
            return cached.value
        renewal = self._renew()
        self._waiting += 1
        try:
            # shielded: one stream's cancellation must not take the token from the others
            return await asyncio.shield(renewal)
        except asyncio.CancelledError:
            if self._waiting == 1:
                # the last of them: nobody wants the answer any more, and who comes now asks anew
                renewal.cancel()
                self._renewal = None
            raise
        finally:
            self._waiting -= 1

    def _renew(self) -> asyncio.Task[str]:
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.get_running_loop().create_task(self._store())
            self._renewal.add_done_callback(_seen)
        return self._renewal

    async def _store(self) -> str:
        asked_at = time.monotonic()
        grant = await self._fetch()
        self._cached = cache(grant.access_token, grant.expires_in, asked_at)
        if self._store_file is not None:
            self._store_file.save(grant)
        return grant.access_token


def _seen(task: asyncio.Task[str]) -> None:
    """A renewal that nobody waits for may fail without a word: the old token still serves."""
    if not task.cancelled():
        task.exception()


async def fetch_token(pool: Pool, settings: UpstreamSettings) -> Grant:
    """Ask a token endpoint. Raises TokenFailed."""
    origin, data = token_post(settings)
    try:
        connection = await pool.take(origin, TOKEN_TIMEOUT)
        try:
            answer = await connection.exchange(data, TOKEN_TIMEOUT)
        except asyncio.CancelledError:
            connection.abort()
            raise
        body = await read_body(connection, TOKEN_TIMEOUT)
    except APIError as error:
        raise TokenFailed(Failure("not_connected", error)) from None
    except (AnswerTimeout, TimeoutError):
        raise TokenFailed(no_token_in_time()) from None
    except ConnectionLost as error:
        raise TokenFailed(token_lost(str(error))) from None
    return grant_in(settings, answer, body, time.time())


class _Collect(Sink):
    """A sink that keeps a short body."""

    def __init__(self, connection: Connection, done: asyncio.Future[None], limit: int) -> None:
        self.body = bytearray()
        self._limit = limit
        self._connection = connection
        self._done = done

    def data(self, body: bytes) -> None:
        self.body += body
        if len(self.body) > self._limit:
            self._connection.abort()
            self.closed("eof", "")

    def closed(self, cause: Cause, detail: str) -> None:
        if not self._done.done():
            self._done.set_result(None)


async def read_body(connection: Connection, timeout: float, limit: int = MAX_ERROR_BODY) -> bytes:
    """The whole body of a short answer, cut at `limit` bytes. Raises TimeoutError."""
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    sink = _Collect(connection, done, limit)
    connection.attach(sink)
    try:
        async with asyncio.timeout(timeout):
            await done
    except BaseException:
        connection.abort()
        raise
    return bytes(sink.body[:limit])
