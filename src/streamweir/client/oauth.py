"""Tokens, fetched once for all who need one. The policy is flows/tokens.py's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from streamweir.client.connection import AnswerTimeout, Connection, ConnectionLost, Sink
from streamweir.client.pool import Pool, origin_of
from streamweir.errors import APIConnectionError, APIError, APITimeoutError, StreamweirError
from streamweir.flows.backoff import parse_retry_after
from streamweir.flows.handshake import Failure
from streamweir.flows.tokens import CachedToken, cache, verdict
from streamweir.genesys.login import Grant, TokenRequest, read_grant, token_refusal
from streamweir.relay import Cause
from streamweir.wire.http1 import encode_request

TOKEN_TIMEOUT = 10.0
"""Seconds for connecting to the token endpoint, and again for its answer (wire contract 1)."""

MAX_ERROR_BODY = 64 * 1024
"""Bytes of an error's or a token's body that are read; more is no message."""


class TokenFailed(Exception):
    """No token; `failure` says why, for the handshake to decide on."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.error.message)
        self.failure = failure


class TokenSource(Protocol):
    """Where a bearer token comes from."""

    async def get(self, refused: str | None = None) -> str | None:
        """A token, or None where none is needed; `refused` is one that the upstream did not accept."""
        ...


class Given:
    """A token that the caller gave by hand, or none."""

    def __init__(self, token: str | None) -> None:
        self._token = token

    async def get(self, refused: str | None = None) -> str | None:
        """The token, whatever happened to it: there is no other."""
        return self._token


class Credentials:
    """Client credentials, with one cached token and at most one request for another in flight."""

    def __init__(self, fetch: Callable[[], Awaitable[Grant]]) -> None:
        self._fetch = fetch
        self._cached: CachedToken | None = None
        self._renewal: asyncio.Task[str] | None = None

    async def get(self, refused: str | None = None) -> str:
        """The token. Raises TokenFailed."""
        if refused is not None and self._cached is not None and self._cached.value == refused:
            self._cached = None
        cached = self._cached
        state = verdict(cached, time.monotonic())
        if cached is not None and state != "missing":
            if state == "ageing":
                self._renew()
            return cached.value
        # shielded: one stream's cancellation must not take the token from the others
        return await asyncio.shield(self._renew())

    def _renew(self) -> asyncio.Task[str]:
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.get_running_loop().create_task(self._store())
            self._renewal.add_done_callback(_seen)
        return self._renewal

    async def _store(self) -> str:
        asked_at = time.monotonic()
        grant = await self._fetch()
        self._cached = cache(grant.access_token, grant.expires_in, asked_at)
        return grant.access_token


def _seen(task: asyncio.Task[str]) -> None:
    """A renewal that nobody waits for may fail without a word: the old token still serves."""
    if not task.cancelled():
        task.exception()


async def fetch_token(
    pool: Pool, request: TokenRequest, client_id: str, scopes: tuple[str, ...], ca_file: str | None
) -> Grant:
    """Ask a token endpoint. Raises TokenFailed."""
    origin, target = origin_of(request.url, ca_file)
    data = encode_request(
        "POST", target, origin.authority, (*request.headers, ("Accept-Encoding", "identity")), request.body
    )
    try:
        connection = await pool.take(origin, TOKEN_TIMEOUT)
        answer = await connection.exchange(data, TOKEN_TIMEOUT)
        body = await read_body(connection, TOKEN_TIMEOUT)
    except APIError as error:
        raise TokenFailed(Failure("not_connected", error)) from None
    except (AnswerTimeout, TimeoutError):
        late: StreamweirError = APITimeoutError(f"the token endpoint did not answer within {TOKEN_TIMEOUT:g} s")
        raise TokenFailed(Failure("not_connected", late)) from None
    except ConnectionLost as error:
        lost = APIConnectionError(f"the token endpoint closed the connection: {error}")
        raise TokenFailed(Failure("not_connected", lost)) from None
    if answer.status != 200:
        refused = token_refusal(answer.status, body, client_id, origin.host)
        wait = parse_retry_after(answer.headers.get("retry-after"), time.time())
        raise TokenFailed(Failure("refused", refused, answer.status, wait))
    try:
        return read_grant(body, client_id, scopes)
    except StreamweirError as error:
        raise TokenFailed(Failure("final", error)) from None


class _Collect(Sink):
    """A sink that keeps a short body."""

    def __init__(self, connection: Connection, done: asyncio.Future[None]) -> None:
        self.body = bytearray()
        self._connection = connection
        self._done = done

    def data(self, body: bytes) -> None:
        self.body += body
        if len(self.body) > MAX_ERROR_BODY:
            self._connection.abort()
            self.closed("eof", "")

    def closed(self, cause: Cause, detail: str) -> None:
        if not self._done.done():
            self._done.set_result(None)


async def read_body(connection: Connection, timeout: float) -> bytes:
    """The whole body of a short answer, cut at MAX_ERROR_BODY. Raises TimeoutError."""
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    sink = _Collect(connection, done)
    connection.attach(sink)
    try:
        async with asyncio.timeout(timeout):
            await done
    except BaseException:
        connection.abort()
        raise
    return bytes(sink.body[:MAX_ERROR_BODY])
