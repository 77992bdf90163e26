"""What a WebSocket says during its handshake, one reader waiting for it."""

from __future__ import annotations

import asyncio

from streamweir.client.aio.connection import Connection
from streamweir.client.lost import ConnectionLost
from streamweir.ending import Cause
from streamweir.wire.frames import Frame
from streamweir.wire.websocket import WebSocket


class Inbox:
    """The sink of an upgraded connection until its stream begins."""

    def __init__(self, connection: Connection, socket: WebSocket) -> None:
        self.socket = socket
        self._connection = connection
        self._frames: list[Frame] = []
        self._closed: str | None = None
        self._waiter: asyncio.Future[None] | None = None
        connection.attach(self)

    def data(self, body: bytes) -> None:
        """A read of the connection."""
        self._frames += self.socket.feed(body)
        self._connection.send(self.socket.outgoing())
        self._wake()

    def closed(self, cause: Cause, detail: str) -> None:
        """The connection is gone."""
        self._closed = detail or "the upstream closed the connection"
        self._wake()

    async def some(self) -> list[Frame]:
        """The next frames, at least one; what is queued to be sent goes out first. Raises ConnectionLost."""
        self._connection.send(self.socket.outgoing())
        while not self._frames:
            if self._closed is not None:
                raise ConnectionLost(self._closed, reused=False, silent=False)
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        frames, self._frames = self._frames, []
        return frames

    def keep(self, frames: list[Frame]) -> None:
        """Frames that were looked at and belong to the stream."""
        self._frames = [*frames, *self._frames]

    def leave(self) -> None:
        """The stream begins: frames that wait go to it, and the connection to another sink."""
        self.socket.give_back(self._frames)
        self._connection.detach()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
