"""What goes out over one WebSocket: answers, heartbeats, and the stream that is sent over it."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from aiohttp import WSCloseCode, web

from streamweir.faces import SENTENCES, browser_ws
from streamweir.faces.browser_ws import HEARTBEAT
from streamweir.resumption.log import Trimmed
from streamweir.server.patience import Patience
from streamweir.server.reply import HIGH_WATER
from streamweir.server.resumable import Resumable
from streamweir.server.shared import SHARED
from streamweir.server.unsent import taken_of

DRAINED_EVERY: Final = 0.05
"""Seconds between looks whether a client that read too slowly may be sent more: the transport tells aiohttp alone."""

TOO_MUCH: Final = 16 * HIGH_WATER
"""Bytes that may wait for a client before its connection is cut."""


class Outgoing:
    """A listener that writes to a WebSocket's transport, once a read of the upstream."""

    __slots__ = (
        "_beat_at",
        "_dropped",
        "_every",
        "_going",
        "_patience",
        "_shared",
        "_socket",
        "_transport",
        "_written",
        "after",
        "stream",
        "stuck",
    )

    def __init__(self, request: web.Request, socket: web.WebSocketResponse) -> None:
        self._transport = request.transport
        self._socket = socket
        self._shared = request.app[SHARED]
        serving = self._shared.serving
        self.stream: Resumable | None = None
        """What is sent."""
        self.after = -1
        self.stuck = False
        self._every = serving.heartbeat
        self._beat_at = time.monotonic() + self._every
        self._patience = Patience(serving.slow_client)
        self._written = 0
        self._dropped = False
        self._going: asyncio.Task[bool] | None = None

    # -- for the wheel ---------------------------------------------------------------------------------

    def due(self, now: float) -> float:
        """The next heartbeat; sooner where we wait for the client to read."""
        return now + DRAINED_EVERY if self.stuck or self._dropped else self._beat_at

    def tick(self, now: float) -> None:
        """Beat, or see whether the client has read enough; drop one that reads nothing."""
        if self.stuck or self._dropped:
            taken, waiting = taken_of(self._transport, self._written)
            if self.stuck and waiting <= HIGH_WATER:
                self.stuck = False
                self.catch_up()
                if self.stream is not None:
                    self.stream.settle()
            self._dropped = self._dropped and waiting > 0
            if self._patience.gone(taken, waiting, now):
                self._drop()
        elif now >= self._beat_at:
            self._beat_at = now + self._every
            self.write(HEARTBEAT)

    def _drop(self) -> None:
        """It reads nothing. What is written here waits behind the rest, so that a client that wakes up sees it."""
        stream = self.stream
        if stream is None:
            if self._transport is not None:
                self._transport.abort()
            return
        self._dropped = True
        if stream.resumable:
            self.leave()
            self.write(browser_ws.refusal("slow_client", SENTENCES["slow_client"]))
            return
        stream.end("slow_client")
        self.stuck = False
        self.catch_up()
        # one whose upstream has not answered ends a moment later, and its end comes by itself
        while self.stream is stream and stream.over:
            self.stuck = False
            self.catch_up()

    # -- for the stream --------------------------------------------------------------------------------

    def send(self, stream: Resumable, after: int) -> None:
        """Send a stream from behind a position on."""
        self.stream, self.after = stream, after
        stream.listen(self)

    def take(self, first: int, data: bytes) -> None:
        """What was just put into the stream's log."""
        if (stream := self.stream) is None or self.stuck:
            return
        log = stream.log
        if self.after + 1 != first:
            self.catch_up()
            return
        self.after = log.next - 1
        self.write(data)
        if log.ended:
            stream.delivered = True
            # from here on another may be asked for
            self.leave()

    def catch_up(self) -> None:
        """Send what is new in the stream's log, as far as the client reads."""
        while (stream := self.stream) is not None and not self.stuck:
            try:
                entries = stream.log.read(self.after, HIGH_WATER)
            except Trimmed:
                # it read so slowly that its place is gone: cut off, so that it does not look as if it went on
                self.leave()
                if self._transport is not None:
                    self._transport.abort()
                return
            if not entries:
                return
            self.after += len(entries)
            last = stream.over and self.after + 1 == stream.log.next
            self.write(b"".join(entries))
            if last:
                stream.delivered = True
                # from here on another may be asked for
                self.leave()

    def write(self, frames: bytes) -> None:
        """Write whole frames."""
        transport = self._transport
        if transport is None or transport.is_closing() or not frames or self._going is not None:
            return
        self._written += len(frames)
        transport.write(frames)
        if (waiting := transport.get_write_buffer_size()) <= HIGH_WATER:
            return
        if waiting > TOO_MUCH:
            # a stream stops at HIGH_WATER: these are answers to messages of a client that reads none of them
            transport.abort()
        elif not self.stuck and self.stream is not None:
            self.stuck = True
            # sooner than it was to come by
            self._shared.wheel.add(self)

    def leave(self) -> None:
        """The client is sent its stream no more: it has ended, or the connection is over."""
        stream, self.stream = self.stream, None
        self.stuck = False
        if stream is not None:
            stream.leave(self)
            if self._shared.census.draining:
                self.go_away()

    def go_away(self) -> None:
        """Close the connection with 1001 where no stream is sent."""
        if self._going is None and self.stream is None:
            self._going = asyncio.get_running_loop().create_task(
                self._socket.close(code=WSCloseCode.GOING_AWAY, message=b"the server is shutting down")
            )

    async def close(self) -> None:
        """The connection is over."""
        try:
            if self._going is not None:
                # the client's own close frame is waited for
                await self._going
        finally:
            self.leave()
