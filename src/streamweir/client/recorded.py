"""What a recording answers in place of an upstream, for both clients. No input or output."""

from __future__ import annotations

import time

import msgspec

from streamweir.client.exchange import Exchange
from streamweir.client.opening import Opening
from streamweir.client.recording import Piece, Recording
from streamweir.client.settings import UpstreamSettings
from streamweir.errors import APIConnectionError
from streamweir.genesys.regions import Hosts
from streamweir.wire.websocket import WebSocket

REPLAYED = "http://replay.invalid"
"""The host of a replayed upstream: a name that is reserved for being none (RFC 2606)."""


RECORDED = "here the stream was ended from this side when it was recorded"


def settings_of(recording: Recording) -> UpstreamSettings:
    """Settings that decode as the recording's upstream was decoded."""
    head = recording.head
    # asterisks stand in it for values and credentials, so that a receipt would say that the text was changed
    decode = msgspec.structs.replace(head.decode, receipts=False)
    return UpstreamSettings(dialect=head.dialect, hosts=Hosts(REPLAYED, REPLAYED), bearer="", decode=decode)


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
