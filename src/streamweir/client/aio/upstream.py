"""One upstream: its connections and tokens, and the driver of the handshake. For library and proxy alike."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar, assert_never

from streamweir.client.aio.connection import Connection
from streamweir.client.aio.entries import open_entry
from streamweir.client.aio.inbox import Inbox
from streamweir.client.aio.oauth import Credentials, Given, TokenSource, fetch_token, read_body
from streamweir.client.aio.pool import Pool
from streamweir.client.aio.turns import Turns
from streamweir.client.exchange import Exchange
from streamweir.client.grants import TokenFailed
from streamweir.client.lost import AnswerTimeout, ConnectionLost
from streamweir.client.opening import Opening
from streamweir.client.readiness import has_begun, never_ready, not_now, not_ready, not_upgraded
from streamweir.client.settings import UpstreamSettings
from streamweir.client.token_store import store_of
from streamweir.dialects.ws_gateway import INIT, READY_WITHIN
from streamweir.errors import APIError
from streamweir.events import Released
from streamweir.flows.handshake import (
    HELD,
    Failure,
    GiveUp,
    NeedToken,
    NeedTurn,
    Opened,
    Progress,
    Send,
    State,
    Wait,
    begin,
    send_again,
)
from streamweir.genesys.login import Grant
from streamweir.relay import Relay
from streamweir.report import RateLimitReport
from streamweir.stages.limits import NEVER
from streamweir.wire.frames import Frame
from streamweir.wire.http1 import Answer
from streamweir.wire.websocket import WebSocket

Out = TypeVar("Out")

REFUSAL_WITHIN = 10.0
"""Seconds in which the body of a refusal is read where `connect` has no limit."""


class UpstreamClient:
    """Speaks to one upstream. Belongs to one event loop; `close` when done."""

    def __init__(
        self,
        settings: UpstreamSettings,
        pool: Pool | None = None,
        *,
        tokens: TokenSource | None = None,
        turns: Turns | None = None,
    ) -> None:
        """`tokens` stands for the settings' own credentials, `turns` for a budget of its own. Raises ConfigError."""
        self.settings = settings
        self.exchange = Exchange(settings)
        self._own_pool = pool is None
        self.pool = pool or Pool()
        self.turns = turns or Turns(settings.budget)
        self.closed = False
        self._needs_token = settings.needs_token or tokens is not None
        if tokens is None and settings.needs_token:
            tokens = Credentials(self._fetch, store_of(settings.token_store, settings.token_key, settings.token_name))
        self._tokens: TokenSource = tokens or Given(settings.bearer)

    async def close(self) -> None:
        """Close every connection."""
        self.closed = True
        if self._own_pool:
            await self.pool.close()

    @property
    def limits(self) -> RateLimitReport:
        """What the upstream last said of its request budget."""
        return self.exchange.limits

    @property
    def secrets(self) -> tuple[str | None, ...]:
        """What must not stand in a recording."""
        return (self.settings.client_secret, self.settings.bearer, self._tokens.current)

    async def token(self) -> str | None:
        """A bearer token, fetched where there is none. Raises StreamweirError."""
        try:
            return await self._tokens.get()
        except TokenFailed as error:
            raise error.failure.error from None

    async def open(self, opening: Opening) -> None:
        """Get a request accepted, whatever it takes within the policy. Refusals are in `opening.error`, not raised.

        Each step waits until the deadline at most, and what fails behind it has failed by it.
        Raises RequestError where the dialect cannot carry the request. Cancelled, `opening` says how far it came.
        """
        limits, called_at = opening.limits, opening.called_at
        body = self.exchange.body(opening)
        deadline_at = called_at + (limits.deadline or NEVER)
        progress = Progress(self.settings.retry, self._needs_token, called_at, deadline_at, failures=opening.failures)
        state: State = begin(progress)
        if opening.after is not None:
            state = send_again(progress, opening.after, time.monotonic(), random.random())  # noqa: S311
        try:
            await self._drive(state, body, opening)
        except TimeoutError:
            opening.error = self.exchange.late("deadline", limits)

    async def _drive(self, state: State, body: bytes, opening: Opening) -> None:
        refused: str | None = None
        while True:
            opening.failures, opening.attempts = state.progress.failures, state.progress.attempts
            if type(state) is NeedToken:
                try:
                    async with asyncio.timeout(state.progress.within(time.monotonic())):
                        token = await self._tokens.get(refused if state.refused else None)
                except TokenFailed as error:
                    state = state.failed(error.failure, time.monotonic(), random.random())  # noqa: S311
                else:
                    state = state.got(token)
            elif type(state) is NeedTurn:
                latest = state.latest(time.monotonic(), opening.limits.first_token_timeout)
                turn = await self.turns.take(latest)
                if turn.denied is not None and state.progress.expired(time.monotonic()):
                    raise TimeoutError
                state = state.got(turn)
            elif type(state) is Send:
                if state.retry is not None:
                    opening.events.append(state.retry)
                refused = state.token
                failure = await self._send(state, body, opening)
                if failure is None:
                    state = state.accepted()
                elif state.progress.expired(time.monotonic()):
                    raise TimeoutError
                else:
                    state = state.failed(failure, time.monotonic(), random.random())  # noqa: S311
            elif type(state) is Wait:
                opening.events.append(state.retry)
                await asyncio.sleep(state.seconds)
                state = state.over()
            elif type(state) is Opened:
                return
            elif type(state) is GiveUp:
                opening.error = state.error
                return
            else:
                assert_never(state)

    async def _send(self, send: Send, body: bytes, opening: Opening) -> Failure | None:
        exchange, turn = self.exchange, send.turn
        connection: Connection | None = None
        failure: Failure | None
        try:
            token = send.token or self._tokens.current
            key = os.urandom(16) if exchange.dialect.framing == "websocket" else b""
            request = opening.request
            data = exchange.upgrade(request, key, token) if key else exchange.post(request, body, token)
            if (failure := await open_entry(opening, exchange, send)) is not None:
                self.turns.answered(turn, failure)
                return failure
            try:
                connect = send.progress.within(time.monotonic(), opening.limits.connect)
                connection = await self.pool.take(exchange.origin, connect)
            except APIError as error:
                failure = Failure("not_connected", error)
            else:
                if not self.turns.sent(turn):
                    self.pool.back(connection)
                    failure = HELD
                elif key:
                    failure = await self._converse(connection, data, key, body, opening, send)
                else:
                    failure = await self._post(connection, data, opening, send)
        except BaseException:
            if connection is not None:
                connection.abort()
            self.turns.over(turn)
            raise
        # not before: a place that is free again while a 429 is read would be taken in the pause that it asks for
        self.turns.answered(turn, failure)
        if failure is None:
            opening.connection.on_over = partial(self.turns.over, turn)
        return failure

    async def _post(self, connection: Connection, data: bytes, opening: Opening, send: Send) -> Failure | None:
        limits = opening.limits
        opening.sent_at = now = time.monotonic()
        wait = min(limits.first_token_timeout or NEVER, limits.inactivity_timeout or NEVER)
        try:
            answer = await connection.exchange(data, send.progress.within(now, wait))
        except AnswerTimeout:
            return Failure("ambiguous", self.exchange.late("first_token_timeout", limits))
        except ConnectionLost as error:
            stale = error.reused and error.silent
            return Failure("stale" if stale else "ambiguous", self.exchange.lost(str(error)))
        self.turns.heard(send.turn, self.exchange.heard(opening, answer.headers))
        if answer.status not in (200, 201):
            return await self._refused(connection, answer, opening, send)
        unreadable = self.exchange.unreadable(opening, answer)
        if unreadable is not None:
            connection.abort()
            return unreadable
        opening.connection = connection
        return None

    async def _converse(
        self, connection: Connection, upgrade: bytes, key: bytes, body: bytes, opening: Opening, send: Send
    ) -> Failure | None:
        """Upgrade to a WebSocket, make it ready, and ask. Until the question is sent nothing can be generated."""
        exchange, limits, progress = self.exchange, opening.limits, send.progress
        opening.sent_at = now = time.monotonic()
        try:
            answer = await connection.exchange(upgrade, progress.within(now, limits.connect))
        except AnswerTimeout:
            return Failure("not_connected", exchange.late("connect", limits))
        except ConnectionLost as error:
            return Failure("not_connected", exchange.lost(str(error)))
        self.turns.heard(send.turn, self.exchange.heard(opening, answer.headers))
        if answer.status != 101 and answer.status >= 300:
            return await self._refused(connection, answer, opening, send)
        failure = not_upgraded(answer, key, opening.correlation_id)
        socket = WebSocket(time.monotonic())
        inbox = Inbox(connection, socket)
        if failure is None:
            socket.send(INIT)
            failure = await self._made_ready(inbox, opening, progress)
        if failure is None:
            socket.send(body)
            opening.sent_at = time.monotonic()
            failure = await self._answered(inbox, opening, progress)
        if failure is not None:
            connection.abort()
            return failure
        inbox.leave()
        opening.connection, opening.socket = connection, socket
        return None

    async def _made_ready(self, inbox: Inbox, opening: Opening, progress: Progress) -> Failure | None:
        try:
            async with asyncio.timeout(progress.within(time.monotonic(), READY_WITHIN)):
                frames = await inbox.some()
        except TimeoutError:
            return never_ready(opening.correlation_id)
        except ConnectionLost as error:
            return Failure("not_connected", self.exchange.lost(str(error)))
        failure = not_ready(frames, opening.correlation_id)
        inbox.keep(frames[1:])
        return failure

    async def _answered(self, inbox: Inbox, opening: Opening, progress: Progress) -> Failure | None:
        limits = opening.limits
        frames: list[Frame] = []
        options = opening.decode or self.settings.decode
        try:
            async with asyncio.timeout(progress.within(time.monotonic(), limits.first_token_timeout)):
                while not has_begun(frames, options):
                    if (failure := not_now(frames, options, opening.correlation_id)) is not None:
                        return failure
                    if inbox.socket.over:
                        break
                    frames += await inbox.some()
        except TimeoutError:
            return Failure("ambiguous", self.exchange.late("first_token_timeout", limits))
        except ConnectionLost:
            # the gateway had taken the request: a stream that began and was cut
            pass
        inbox.keep(frames)
        return None

    async def _refused(self, connection: Connection, answer: Answer, opening: Opening, send: Send) -> Failure:
        try:
            within = send.progress.within(time.monotonic(), opening.limits.connect or REFUSAL_WITHIN)
            body = await read_body(connection, within)
        except TimeoutError:
            body = b""
        return self.exchange.refused(answer, body, time.time())

    async def _fetch(self) -> Grant:
        return await fetch_token(self.pool, self.settings)

    def relay(
        self,
        opening: Opening,
        encode: Callable[[Sequence[Released]], Out],
    ) -> tuple[Relay[Out], Out]:
        """The relay for what was opened, and what its start gives: the events so far; the end, where it was refused."""
        return self.exchange.relay(opening, encode, time.monotonic())
