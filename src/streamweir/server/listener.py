"""The connections that clients opened: what they may take of time and memory before, between and behind their requests.

aiohttp serves each; this stands between it and the transport. It has no time limit for a head that comes slowly other
than that of an idle connection, and none for an answer that is not taken.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Final, cast

from streamweir.client.aio.wheel import Wheel
from streamweir.server.frames import Frames
from streamweir.server.patience import Patience
from streamweir.wire.websocket import encode_close

LOOK: Final = 1.0
"""Seconds between looks at all connections: 0.2 us each."""

HEAD_WITHIN: Final = 10.0
"""Seconds from the first byte of a request to the end of its head. Heads are a packet or two; nginx and Apache give a
minute and 20 s, to clients that are further away than one network."""

MESSAGE_WITHIN: Final = 30.0
"""Seconds from the first byte of a WebSocket's message to its end; what a request's body has too."""

MAX_CONNECTIONS: Final = 20_000
"""Open at a time, 0.3 GB of them where all are idle. One more takes the place of the one that is idle longest."""

LATE: Final = (
    b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n%b"
)
LATE_BODY: Final = (
    b'{"error":"the head of the request did not come within %d s","code":"request_timeout","correlation_id":null}'
    % HEAD_WITHIN
)


SEND_BUFFER: Final = 128 * 1024
"""Bytes that the kernel keeps for a client (Linux takes twice that, its own records included). Without it one that does
not read gets 4 MB, and a hundred of them cost the CPU of generating, reading and guarding all of that."""


class Inbound(asyncio.Protocol):
    """One connection. The gate says when a request begins and ends, a WebSocket's session when frames begin."""

    __slots__ = ("_frames", "_handler", "_head_since", "_listener", "_patience", "_tail", "_transport", "busy")

    def __init__(self, listener: Listener, handler: asyncio.Protocol) -> None:
        self._listener = listener
        self._handler = handler
        self._transport: asyncio.Transport | None = None
        self._head_since: float | None = None
        self._tail = b""
        self._frames: Frames | None = None
        self._patience: Patience | None = None
        self.busy = False

    # -- for the routes --------------------------------------------------------------------------------

    def begin(self) -> None:
        """The head of a request is whole."""
        self.busy, self._head_since = True, None
        self._listener.idle.pop(self, None)

    def end(self) -> None:
        """The request was answered, though perhaps not everything is taken yet."""
        self.busy, self._tail = False, b""
        if self in self._listener.connections:
            self._listener.idle[self] = None

    def upgraded(self) -> None:
        """From here on come frames."""
        self._frames = Frames()
        self._watch(self._tail)

    # -- for the listener ------------------------------------------------------------------------------

    def look(self, now: float, slow_client: float) -> None:
        """See whether a time is up."""
        transport = self._transport
        if transport is None:
            return
        if self._head_since is not None and now - self._head_since >= HEAD_WITHIN and not transport.is_closing():
            self._head_since = None
            transport.write(LATE % (len(LATE_BODY), LATE_BODY))
            transport.close()
        frames = self._frames
        if frames is not None and frames.since is not None and now - frames.since >= MESSAGE_WITHIN:
            self._close(1008, f"a message did not end within {MESSAGE_WITHIN:g} s")
        if self.busy and not transport.is_closing():
            # a stream's own affair
            return
        waiting = transport.get_write_buffer_size()
        if not waiting:
            self._patience = None
            return
        if self._patience is None:
            self._patience = Patience(slow_client)
        if self._patience.gone(-waiting, waiting, now):
            transport.abort()

    def leave(self) -> None:
        """Give way to another."""
        if self._transport is not None:
            self._transport.abort()

    # -- between transport and aiohttp -----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        own: socket.socket | None = transport.get_extra_info("socket")
        if own is not None:
            own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        self._handler.connection_made(transport)
        self._listener.came(self)

    def data_received(self, data: bytes) -> None:
        if self._frames is not None:
            self._watch(data)
        elif self.busy:
            pass
        else:
            if self._head_since is None:
                self._head_since = time.monotonic()
            # frames may stand right behind the request for them
            self._tail = data.partition(b"\r\n\r\n")[2]
        self._handler.data_received(data)

    def eof_received(self) -> bool | None:
        return self._handler.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            # aiohttp keeps it with the request, and its frames are those of the stream that wrote last
            exc.__traceback__ = None
        self._listener.gone(self)
        self._handler.connection_lost(exc)

    def pause_writing(self) -> None:
        self._handler.pause_writing()

    def resume_writing(self) -> None:
        self._handler.resume_writing()

    def _watch(self, data: bytes) -> None:
        if self._frames is not None:
            self._frames.feed(data, time.monotonic())
            if self._frames.unmasked:
                self._close(1002, "a client's frames are masked (RFC 6455, 5.1)")

    def _close(self, code: int, reason: str) -> None:
        transport = self._transport
        if transport is not None and not transport.is_closing():
            transport.write(encode_close(code, reason))
            transport.close()


class Listener:
    """All connections; called for each, as an event loop's server does."""

    def __init__(
        self, handler: Callable[[], asyncio.Protocol], wheel: Wheel, slow_client: Callable[[], float], most: int
    ) -> None:
        """`handler` makes what serves a connection; `most` may be open at a time."""
        self._handler = handler
        self._wheel = wheel
        self._slow_client = slow_client
        self._most = most
        self.connections: dict[Inbound, None] = {}
        self.idle: dict[Inbound, None] = {}
        """Those without a request, the one that is idle longest first."""
        self.sent_away = 0
        """How many had to give way to another, or found no place."""

    def __call__(self) -> Inbound:
        return Inbound(self, self._handler())

    def came(self, inbound: Inbound) -> None:
        """A connection was made."""
        if len(self.connections) >= self._most:
            self.sent_away += 1
            oldest = next(iter(self.idle), inbound)
            oldest.leave()
            self.gone(oldest)
            if oldest is inbound:
                return
        if not self.connections:
            self._wheel.add(self)
        self.connections[inbound] = self.idle[inbound] = None

    def gone(self, inbound: Inbound) -> None:
        """It is closed."""
        self.connections.pop(inbound, None)
        self.idle.pop(inbound, None)
        if not self.connections:
            self._wheel.remove(self)

    # -- for the wheel ---------------------------------------------------------------------------------

    def due(self, now: float) -> float:
        """The next look."""
        return now + LOOK

    def tick(self, now: float) -> None:
        """Look at all connections."""
        slow_client = self._slow_client()
        for inbound in list(self.connections):
            inbound.look(now, slow_client)
