"""A recording in place of an upstream, for the sync client; see replaying.py."""

from __future__ import annotations

import time
from typing import Any

from streamweir.client.opening import Opening
from streamweir.client.recorded import RECORDED, Answers
from streamweir.client.recording import Piece, Recording
from streamweir.client.sync.cancellation import Cancellation, Cancelled
from streamweir.client.sync.line import Ended


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
