"""One upstream for the sync client: its connections and tokens, and the driver of the handshake."""

from __future__ import annotations

import os
import random
import time
from functools import partial
from typing import assert_never

from streamweir.client.exchange import Exchange
from streamweir.client.grants import MAX_ERROR_BODY, TokenFailed
from streamweir.client.lost import AnswerTimeout, ConnectionLost
from streamweir.client.opening import Opening
from streamweir.client.readiness import has_begun, never_ready, not_now, not_ready, not_upgraded
from streamweir.client.settings import UpstreamSettings
from streamweir.client.sync.cancellation import Cancellation
from streamweir.client.sync.entries import open_entry
from streamweir.client.sync.line import Ended, Line
from streamweir.client.sync.lines import Lines
from streamweir.client.sync.oauth import SyncCredentials, SyncGiven, SyncTokenSource, fetch_token
from streamweir.client.sync.turns import Turns
from streamweir.client.token_store import store_of
from streamweir.dialects.ws_gateway import INIT, READY_WITHIN
from streamweir.errors import APIError
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
from streamweir.flows.turns import Turn
from streamweir.stages.limits import NEVER
from streamweir.wire.frames import Frame
from streamweir.wire.http1 import Answer
from streamweir.wire.websocket import WebSocket

LONG = 1e8
"""Seconds: what stands for "no limit" where a socket needs a number."""


class DeadlinePassed(Exception):
    """The call's deadline came before an answer."""


class SyncUpstreamClient:
    """Speaks to one upstream, for any number of threads; `close` when done."""

    def __init__(self, settings: UpstreamSettings, tokens: SyncTokenSource | None = None) -> None:
        """`tokens` stands for the settings' own credentials. Raises ConfigError."""
        self.settings = settings
        self.exchange = Exchange(settings)
        self.turns = Turns(settings.budget)
        self._lines = Lines()
        self._needs_token = settings.needs_token or tokens is not None
        if tokens is None and settings.needs_token:
            store = store_of(settings.token_store, settings.token_key, settings.token_name)
            tokens = SyncCredentials(lambda cancel: fetch_token(self._lines, self.settings, cancel), store)
        self._tokens: SyncTokenSource = tokens or SyncGiven(settings.bearer)

    def close(self) -> None:
        """Close every connection."""
        self._lines.close()

    @property
    def lines(self) -> Lines:
        """Its connections."""
        return self._lines

    @property
    def secrets(self) -> tuple[str | None, ...]:
        """What must not stand in a recording."""
        return (self.settings.client_secret, self.settings.bearer, self._tokens.current)

    def token(self) -> str | None:
        """A bearer token, fetched where there is none. Raises StreamweirError."""
        try:
            return self._tokens.get(Cancellation())
        except TokenFailed as error:
            raise error.failure.error from None

    def open(self, opening: Opening, cancellation: Cancellation) -> None:
        """Get a request accepted, whatever it takes within the policy. Refusals are in `opening.error`, not raised.

        Raises RequestError where the dialect cannot carry the request, and Cancelled; `opening` says how far it came.
        """
        body = self.exchange.body(opening)
        progress = Progress(
            self.settings.retry,
            self._needs_token,
            opening.called_at,
            opening.called_at + (opening.limits.deadline or NEVER),
            failures=opening.failures,
        )
        state: State = begin(progress)
        if opening.after is not None:
            state = send_again(progress, opening.after, time.monotonic(), random.random())  # noqa: S311
        try:
            self._drive(state, body, opening, cancellation)
        except DeadlinePassed:
            opening.error = self.exchange.late("deadline", opening.limits)

    def _drive(self, state: State, body: bytes, opening: Opening, cancellation: Cancellation) -> None:
        refused: str | None = None
        deadline_at = state.progress.deadline_at
        while True:
            cancellation.check()
            if time.monotonic() >= deadline_at:
                raise DeadlinePassed
            opening.failures, opening.attempts = state.progress.failures, state.progress.attempts
            match state:
                case NeedToken():
                    try:
                        token = self._tokens.get(cancellation, refused if state.refused else None)
                    except TokenFailed as error:
                        state = state.failed(error.failure, time.monotonic(), random.random())  # noqa: S311
                    else:
                        state = state.got(token)
                case NeedTurn():
                    latest = state.latest(time.monotonic(), opening.limits.first_token_timeout)
                    state = state.got(self.turns.take(latest, cancellation))
                case Send():
                    if state.retry is not None:
                        opening.events.append(state.retry)
                    refused = state.token
                    failure = self._in_turn(state, body, opening, cancellation, deadline_at)
                    if failure is None:
                        state = state.accepted()
                    else:
                        state = state.failed(failure, time.monotonic(), random.random())  # noqa: S311
                case Wait():
                    opening.events.append(state.retry)
                    cancellation.sleep(state.seconds)
                    state = state.over()
                case Opened():
                    return
                case GiveUp():
                    opening.error = state.error
                    return
                case _:
                    assert_never(state)

    def _in_turn(
        self, send: Send, body: bytes, opening: Opening, cancellation: Cancellation, deadline_at: float
    ) -> Failure | None:
        try:
            failure = self._send(send, body, opening, cancellation, deadline_at)
        except BaseException:
            self.turns.over(send.turn)
            raise
        # not before: a place that is free again while a 429 is read would be taken in the pause that it asks for
        self.turns.answered(send.turn, failure)
        if failure is None:
            opening.connection.on_over = partial(self.turns.over, send.turn)
        return failure

    def _send(
        self, send: Send, body: bytes, opening: Opening, cancellation: Cancellation, deadline_at: float
    ) -> Failure | None:
        exchange, limits, turn = self.exchange, opening.limits, send.turn
        token = send.token or self._tokens.current
        key = os.urandom(16) if exchange.dialect.framing == "websocket" else b""
        request = opening.request
        data = exchange.upgrade(request, key, token) if key else exchange.post(request, body, token)
        if (unrecorded := open_entry(opening, exchange, send, cancellation)) is not None:
            return unrecorded
        timeout = min(limits.connect or NEVER, deadline_at - time.monotonic())
        try:
            line = self._lines.take(exchange.origin, timeout if timeout != NEVER else 0, cancellation)
        except APIError as error:
            return Failure("not_connected", error)
        if not self.turns.sent(turn):
            self._lines.drop(line)
            return HELD
        try:
            with cancellation.waking(line.wake):
                failure = (
                    self._converse(line, data, key, body, opening, turn, deadline_at)
                    if key
                    else self._post(line, data, opening, turn, deadline_at)
                )
        except BaseException:
            self._lines.drop(line)
            raise
        if failure is not None:
            self._lines.drop(line)
            cancellation.check()
            if time.monotonic() >= deadline_at:
                raise DeadlinePassed
        return failure

    def _post(self, line: Line, data: bytes, opening: Opening, turn: Turn, deadline_at: float) -> Failure | None:
        limits = opening.limits
        opening.sent_at = time.monotonic()
        wait = min(
            limits.first_token_timeout or NEVER,
            limits.inactivity_timeout or NEVER,
            deadline_at - opening.sent_at,
        )
        try:
            answer = line.exchange(data, min(wait, LONG))
        except AnswerTimeout:
            return Failure("ambiguous", self.exchange.late("first_token_timeout", limits))
        except ConnectionLost as error:
            stale = error.reused and error.silent
            return Failure("stale" if stale else "ambiguous", self.exchange.lost(str(error)))
        self.turns.heard(turn, self.exchange.heard(opening, answer.headers))
        if answer.status not in (200, 201):
            return self._refused(line, answer, opening)
        opening.connection = line
        return self.exchange.unreadable(opening, answer)

    def _converse(
        self, line: Line, upgrade: bytes, key: bytes, body: bytes, opening: Opening, turn: Turn, deadline_at: float
    ) -> Failure | None:
        """Upgrade to a WebSocket, make it ready, and ask. Until the question is sent nothing can be generated."""
        exchange, limits = self.exchange, opening.limits
        opening.sent_at = time.monotonic()
        try:
            wait = min(limits.connect or NEVER, deadline_at - opening.sent_at)
            answer = line.exchange(upgrade, min(wait, LONG))
        except AnswerTimeout:
            return Failure("not_connected", exchange.late("connect", limits))
        except ConnectionLost as error:
            return Failure("not_connected", exchange.lost(str(error)))
        self.turns.heard(turn, self.exchange.heard(opening, answer.headers))
        if answer.status >= 300:
            return self._refused(line, answer, opening)
        if (failure := not_upgraded(answer, key, opening.correlation_id)) is not None:
            return failure
        socket = WebSocket(time.monotonic())
        socket.send(INIT)
        frames: list[Frame] = []
        try:
            while not frames:
                frames = self._frames(line, socket, min(opening.sent_at + READY_WITHIN, deadline_at))
        except TimeoutError:
            return never_ready(opening.correlation_id)
        except Ended as ended:
            return Failure("not_connected", exchange.lost(ended.detail or "the upstream closed the connection"))
        if (failure := not_ready(frames, opening.correlation_id)) is not None:
            return failure
        socket.send(body)
        opening.sent_at = time.monotonic()
        failure = self._answered(line, socket, frames[1:], opening, deadline_at)
        opening.connection, opening.socket = line, socket
        return failure

    def _answered(
        self, line: Line, socket: WebSocket, frames: list[Frame], opening: Opening, deadline_at: float
    ) -> Failure | None:
        options = opening.decode or self.settings.decode
        until = min(opening.sent_at + (opening.limits.first_token_timeout or NEVER), deadline_at)
        try:
            while not has_begun(frames, options):
                if (failure := not_now(frames, options, opening.correlation_id)) is not None:
                    return failure
                if socket.over:
                    break
                frames += self._frames(line, socket, until)
        except TimeoutError:
            return Failure("ambiguous", self.exchange.late("first_token_timeout", opening.limits))
        except Ended:
            # the gateway had taken the request: a stream that began and was cut
            pass
        socket.give_back(frames)
        return None

    @staticmethod
    def _frames(line: Line, socket: WebSocket, until: float) -> list[Frame]:
        line.send(socket.outgoing())
        return socket.feed(line.read(min(until - time.monotonic(), LONG)))

    def _refused(self, line: Line, answer: Answer, opening: Opening) -> Failure:
        try:
            body = line.read_all(MAX_ERROR_BODY, opening.limits.connect or 10.0)
        except TimeoutError:
            body = b""
        return self.exchange.refused(answer, body, time.time())
