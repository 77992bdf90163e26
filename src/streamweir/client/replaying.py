"""A recording in place of an upstream, for both clients: the same decoders, relays and streams, no network.

`speed` 1 is as it was, 2 twice as fast, 0 as fast as possible.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from streamweir.client.cancellation import Cancellation, Cancelled
from streamweir.client.exchange import Exchange, Opening
from streamweir.client.line import Ended
from streamweir.client.recording import Piece, Recording
from streamweir.client.settings import UpstreamSettings
from streamweir.errors import APIConnectionError
from streamweir.events import Released
from streamweir.genesys.regions import Hosts
from streamweir.relay import Relay
from streamweir.wire.websocket import WebSocket

Out = TypeVar("Out")

REPLAYED = "http://replay.invalid"
"""The host of a replayed upstream: a name that is reserved for being none (RFC 2606)."""


RECORDED = "here the stream was ended from this side when it was recorded"


def settings_of(recording: Recording) -> UpstreamSettings:
    """Settings that decode as the recording's upstream was decoded."""
    head = recording.head
    return UpstreamSettings(dialect=head.dialect, hosts=Hosts(REPLAYED, REPLAYED), bearer="", decode=head.decode)


class Answers:
    """The answers of a recording, one for each request."""

    def __init__(self, recording: Recording) -> None:
        self.exchange = Exchange(settings_of(recording))
        self._recording = recording
        self._next = 0

    def next(self, opening: Opening) -> list[Piece] | None:
        """The pieces of the next answer; none are left: the opening gets an error."""
        opening.sent_at = time.monotonic()
        opening.attempts = 1
        if self._next == len(self._recording.answers):
            opening.error = APIConnectionError("the recording holds no further answer", code="replay_over")
            return None
        self._next += 1
        if self.exchange.dialect.framing == "websocket":
            opening.socket = WebSocket(time.monotonic())
        opening.correlation_id, pieces = self._recording.answers[self._next - 1]
        return pieces


class ReplayClient:
    """Stands where UpstreamClient does."""

    def __init__(self, recording: Recording, speed: float) -> None:
        self._answers = Answers(recording)
        self._speed = speed
        self.exchange = self._answers.exchange

    @property
    def secrets(self) -> tuple[str | None, ...]:
        """A recording holds none."""
        return ()

    async def open(self, opening: Opening) -> None:
        """The next answer."""
        pieces = self._answers.next(opening)
        if pieces is not None:
            opening.connection = ReplayConnection(pieces, self._speed, opening.called_at)

    def relay(
        self, opening: Opening, encode: Callable[[Sequence[Released]], Out], **options: Any
    ) -> tuple[Relay[Out], Out]:
        """As UpstreamClient does it."""
        return self.exchange.relay(opening, encode, time.monotonic(), **options)


class ReplayConnection:
    """Stands where Connection does: hands out the pieces when their time has come."""

    def __init__(self, pieces: list[Piece], speed: float, called_at: float) -> None:
        self._pieces = pieces
        self._speed = speed
        self._called_at = called_at
        self._sink: Any = None
        self._at = 0
        self._timer: asyncio.Handle | None = None
        self._paused = False

    def attach(self, sink: Any) -> None:
        self._sink = sink
        self._schedule()

    def pause(self) -> None:
        self._paused = True
        if self._timer is not None:
            self._timer.cancel()

    def resume(self) -> None:
        if self._paused:
            self._paused = False
            self._schedule()

    def send(self, data: bytes) -> None:
        """Nobody listens."""

    def release(self) -> None:
        self.abort()

    def abort(self) -> None:
        self._sink = None
        if self._timer is not None:
            self._timer.cancel()

    def _schedule(self) -> None:
        loop = asyncio.get_running_loop()
        if self._at < len(self._pieces) and self._speed:
            wait = self._pieces[self._at].at / self._speed - (time.monotonic() - self._called_at)
            self._timer = loop.call_later(max(0.0, wait), self._step)
        else:
            self._timer = loop.call_soon(self._step)

    def _step(self) -> None:
        if self._sink is None or self._paused:
            return
        if self._at == len(self._pieces):
            # we ended that stream, not the upstream: it had fallen silent, and does so again
            if not self._speed:
                sink, self._sink = self._sink, None
                sink.closed("eof", RECORDED)
            return
        piece = self._pieces[self._at]
        self._at += 1
        if piece.end is not None:
            sink, self._sink = self._sink, None
            sink.closed(piece.end, piece.detail)
            return
        self._sink.data(piece.data)
        if self._sink is not None and not self._paused:
            self._schedule()


class SyncReplayClient:
    """Stands where SyncUpstreamClient does, its lines included."""

    def __init__(self, recording: Recording, speed: float) -> None:
        self._answers = Answers(recording)
        self._speed = speed
        self.exchange = self._answers.exchange

    @property
    def lines(self) -> SyncReplayClient:
        """Where its lines go."""
        return self

    @property
    def secrets(self) -> tuple[str | None, ...]:
        """A recording holds none."""
        return ()

    def open(self, opening: Opening, cancellation: Cancellation) -> None:
        """The next answer."""
        cancellation.check()
        pieces = self._answers.next(opening)
        if pieces is not None:
            opening.connection = ReplayLine(pieces, self._speed, opening.called_at, cancellation)

    def back(self, line: Any) -> None:
        """Nothing is kept."""

    def drop(self, line: Any) -> None:
        """Nothing is kept."""


class ReplayLine:
    """Stands where Line does."""

    def __init__(self, pieces: list[Piece], speed: float, called_at: float, cancellation: Cancellation) -> None:
        self._pieces = iter(pieces)
        self._speed = speed
        self._called_at = called_at
        self._cancellation = cancellation
        self._next: Piece | None = next(self._pieces, None)

    def read(self, timeout: float) -> bytes:
        piece = self._next
        if piece is None:
            # we ended that stream, not the upstream: it had fallen silent, and does so again
            if not self._speed:
                raise Ended("eof", RECORDED)
            self._sleep(timeout)
            raise TimeoutError
        wait = piece.at / self._speed - (time.monotonic() - self._called_at) if self._speed else 0.0
        self._sleep(min(wait, timeout))
        if wait > timeout:
            raise TimeoutError
        self._next = next(self._pieces, None)
        if piece.end is not None:
            raise Ended(piece.end, piece.detail)
        return piece.data

    def _sleep(self, seconds: float) -> None:
        try:
            self._cancellation.sleep(max(0.0, seconds))
        except Cancelled:
            raise Ended("cancelled") from None

    def finish(self) -> bool:
        return False

    def send(self, data: bytes) -> None:
        """Nobody listens."""

    def wake(self) -> None:
        """The cancellation wakes a reader."""
