"""One upstream: its settings, connections and tokens, and the driver of the handshake. For library and proxy alike."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from typing import TypeVar, assert_never

import msgspec

from streamweir.client.connection import AnswerTimeout, Connection, ConnectionLost
from streamweir.client.oauth import Credentials, Given, TokenFailed, TokenSource, fetch_token, read_body
from streamweir.client.pool import Pool, origin_of
from streamweir.client.settings import UpstreamSettings
from streamweir.errors import APIConnectionError, APIError, ProtocolError, StreamError, StreamweirError
from streamweir.events import Limits, Released, Upstream
from streamweir.events import Opened as OpenedEvent
from streamweir.flows.backoff import parse_retry_after
from streamweir.flows.handshake import (
    Failure,
    GiveUp,
    NeedToken,
    Opened,
    Progress,
    Send,
    State,
    Wait,
    begin,
    deadline_error,
)
from streamweir.genesys.login import Grant, token_request
from streamweir.genesys.refusals import CORRELATION_ID, rate_limit, refusal
from streamweir.relay import Relay
from streamweir.request import Request
from streamweir.stages.integrity import Integrity
from streamweir.stages.limits import NEVER, SENTENCES, TimeLimits
from streamweir.stages.release import release_unguarded
from streamweir.stages.report import Identity
from streamweir.wire.http1 import Answer, encode_request
from streamweir.wire.sse import SseDecoder

Out = TypeVar("Out")

STREAM_TYPES = frozenset(("text/event-stream", "application/x-ndjson", "text/plain", "application/octet-stream", ""))
"""Content types a stream may come under; some gateways label it wrongly. JSON or HTML is an answer of another kind."""


class Opening(msgspec.Struct):
    """A handshake: what is asked for, and then a connection whose body follows, or an error, and the events on the way.

    `called_at` is on the monotonic clock, `started_at` the same moment in seconds since the epoch.
    """

    request: Request
    limits: TimeLimits
    called_at: float
    started_at: float
    sent_at: float = 0.0
    events: list[Upstream] = []
    attempts: int = 0
    connection: Connection | None = None
    correlation_id: str | None = None
    error: StreamweirError | None = None


class UpstreamClient:
    """Speaks to one upstream. Belongs to one event loop; `close` when done."""

    def __init__(self, settings: UpstreamSettings, pool: Pool | None = None) -> None:
        self.settings = settings
        self._own_pool = pool is None
        self.pool = pool or Pool()
        dialect = settings.spoken
        self._origin, base = origin_of(settings.hosts.api, settings.ca_file)
        self._target = base.rstrip("/") + (settings.path or dialect.path)
        self._headers = (
            ("Content-Type", "application/json"),
            ("Accept", dialect.accept),
            ("Accept-Encoding", "identity"),
            ("User-Agent", "streamweir"),
            *dialect.headers,
            *settings.headers,
        )
        self._tokens: TokenSource = Credentials(self._fetch) if settings.needs_token else Given(settings.bearer)

    async def close(self) -> None:
        """Close every connection."""
        if self._own_pool:
            await self.pool.close()

    async def open(self, opening: Opening) -> None:
        """Get a request accepted, whatever it takes within the policy. Refusals are in `opening.error`, not raised.

        Raises RequestError where the dialect cannot carry the request. Cancelled, `opening` says how far it came.
        """
        body = msgspec.json.encode(self.settings.spoken.encode_body(opening.request))
        limits = opening.limits
        deadline_at = opening.called_at + (limits.deadline or NEVER)
        progress = Progress(self.settings.retry, self.settings.needs_token, opening.called_at, deadline_at)
        try:
            async with asyncio.timeout(None if deadline_at == NEVER else deadline_at - time.monotonic()):
                await self._drive(begin(progress), body, opening)
        except TimeoutError:
            opening.error = self._late("deadline", limits)

    async def _drive(self, state: State, body: bytes, opening: Opening) -> None:
        refused: str | None = None
        while True:
            match state:
                case NeedToken():
                    try:
                        state = state.got(await self._tokens.get(refused if state.refused else None))
                    except TokenFailed as error:
                        state = state.failed(error.failure, time.monotonic(), random.random())  # noqa: S311
                case Send():
                    opening.attempts = state.progress.attempts
                    refused = state.token
                    failure = await self._send(state.token or self.settings.bearer, body, opening)
                    if failure is None:
                        state = state.accepted()
                    else:
                        state = state.failed(failure, time.monotonic(), random.random())  # noqa: S311
                case Wait():
                    opening.events.append(state.retry)
                    await asyncio.sleep(state.seconds)
                    state = state.over()
                case Opened():
                    return
                case GiveUp():
                    opening.error = state.error
                    return
                case _:
                    assert_never(state)

    async def _send(self, token: str | None, body: bytes, opening: Opening) -> Failure | None:
        headers = self._headers if token is None else (*self._headers, ("Authorization", f"Bearer {token}"))
        data = encode_request("POST", self._target, self._origin.authority, headers, body)
        limits = opening.limits
        try:
            connection = await self.pool.take(self._origin, limits.connect)
        except APIError as error:
            return Failure("not_connected", error)
        opening.sent_at = time.monotonic()
        wait = min(limits.first_token_timeout or NEVER, limits.inactivity_timeout or NEVER)
        try:
            answer = await connection.exchange(data, min(wait, 1e8))
        except AnswerTimeout:
            return Failure("ambiguous", self._late("first_token_timeout", limits))
        except ConnectionLost as error:
            lost = APIConnectionError(f"the upstream closed the connection before it answered: {error}", code="lost")
            return Failure("stale" if error.reused and error.silent else "ambiguous", lost)
        except asyncio.CancelledError:
            connection.abort()
            raise
        if (said := rate_limit(answer.headers)) is not None:
            opening.events.append(Limits(said))
        opening.correlation_id = answer.headers.get(CORRELATION_ID) or answer.headers.get("x-request-id")
        if answer.status not in (200, 201):
            return await self._refused(connection, answer, limits)
        if (unreadable := _unreadable(answer)) is not None:
            unreadable.correlation_id = opening.correlation_id
            connection.abort()
            return Failure("final", unreadable)
        opening.connection = connection
        return None

    async def _refused(self, connection: Connection, answer: Answer, limits: TimeLimits) -> Failure:
        try:
            body = await read_body(connection, limits.connect or 10.0)
        except TimeoutError:
            body = b""
        error = refusal(answer.status, answer.headers, body, self.settings.asked_scopes)
        if answer.status == 401 and self.settings.bearer_hint:
            error.message += f"; {self.settings.bearer_hint}"
            error.args = (error.message,)
        retry_after = parse_retry_after(answer.headers.get("retry-after"), time.time())
        error.retry_after = retry_after
        return Failure("ambiguous" if answer.status in (500, 504) else "refused", error, answer.status, retry_after)

    async def _fetch(self) -> Grant:
        settings = self.settings
        request = token_request(
            settings.login_form,
            settings.hosts,
            settings.client_id or "",
            settings.client_secret or "",
            settings.asked_scopes,
            settings.token_url,
        )
        return await fetch_token(self.pool, request, settings.client_id or "", settings.asked_scopes, settings.ca_file)

    @staticmethod
    def _late(limit: str, limits: TimeLimits) -> StreamError:
        return deadline_error(limit, f"{SENTENCES[limit].format(getattr(limits, limit))} ({limit})")

    def relay(
        self,
        opening: Opening,
        encode: Callable[[Sequence[Released]], Out],
        *,
        profile: str | None = None,
        choices: int = 1,
    ) -> tuple[Relay[Out], Out]:
        """The relay for what was opened, and what its start gives: the events so far; the end, where it was refused."""
        request, settings, dialect = opening.request, self.settings, self.settings.spoken
        identity = Identity(
            request_id=request.request_id,
            dialect=dialect.name,
            model=request.model,
            started_at=opening.started_at,
            called_at=opening.called_at,
            prompt_bytes=sum(len(str(message.get("content", ""))) for message in request.messages),
            profile=profile,
            region=settings.hosts.region,
            prompt_id=request.prompt_id,
            conversation_id=request.conversation_id,
            correlation_id=opening.correlation_id or (opening.error.correlation_id if opening.error else None),
            attempts=opening.attempts,
            choices=choices,
        )
        relay = Relay(
            identity,
            framing=SseDecoder(),
            decode=dialect.decoder(settings.decode),
            integrity=Integrity(settings.on_gaps, settings.max_gap_ratio),
            release=release_unguarded(request_id=request.request_id, model=request.model, dialect=dialect.name),
            encode=encode,
            limits=opening.limits,
            sent_at=opening.sent_at or opening.called_at,
        )
        now = time.monotonic()
        if opening.error is not None:
            return relay, relay.refuse(opening.error, opening.events, now)
        if opening.connection is None:
            return relay, relay.start(opening.events, now)
        return relay, relay.start([*opening.events, OpenedEvent(opening.correlation_id)], now)


def _unreadable(answer: Answer) -> StreamError | None:
    """Why an accepted answer is no stream."""
    encoding = answer.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        return ProtocolError(
            f"the upstream sent a body compressed with {encoding}, although identity was asked for: "
            "turn compression off for this route, there or in the proxy before it",
            code="protocol_error",
        )
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in STREAM_TYPES:
        return ProtocolError(
            f"the upstream answered {kind}, not an event stream: check path and base_url, and that it streams",
            code="protocol_error",
        )
    return None
