"""A recording in place of an upstream, for the async client: the same decoders, relays and streams, no network.

`speed` 1 is as it was, 2 twice as fast, 0 as fast as possible.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from streamweir.client.opening import Opening
from streamweir.client.recorded import RECORDED, Answers
from streamweir.client.recording import Piece, Recording
from streamweir.events import Released
from streamweir.relay import Relay

Out = TypeVar("Out")


class ReplayClient:
    """Stands where UpstreamClient does."""

    def __init__(self, recording: Recording, speed: float) -> None:
        self._answers = Answers(recording)
        self._speed = speed
        self.exchange = self._answers.exchange
        self.closed = False

    @property
    def secrets(self) -> tuple[str | None, ...]:
        """A recording holds none."""
        return ()

    async def open(self, opening: Opening) -> None:
        """The next answer."""
        pieces = self._answers.next(opening)
        if pieces is not None:
            opening.connection = ReplayConnection(pieces, self._speed, opening.called_at)

    def relay(self, opening: Opening, encode: Callable[[Sequence[Released]], Out]) -> tuple[Relay[Out], Out]:
        """As UpstreamClient does it."""
        return self.exchange.relay(opening, encode, time.monotonic())


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
