"""The answer that a stream is written to: bytes go straight to the client's transport, once per upstream read.

aiohttp writes the head and keeps the connection; the body's framing is done here, so that a read costs one write and
no task, queue or timer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from streamweir.server.unsent import taken_of

HIGH_WATER = 64 * 1024
"""Bytes that may wait for a client that reads slowly; beyond it the upstream is no longer read."""


class StreamReply(web.StreamResponse):
    """A 200 whose body is written with `begin`, `send` and `finish`."""

    # aiohttp would write the head by itself, and what is there for the client already in a second packet
    _send_headers_immediately = False

    def __init__(self, headers: Mapping[str, str]) -> None:
        super().__init__(status=200, headers=headers)
        self._transport: asyncio.Transport | None = None
        self._writer: AbstractStreamWriter | None = None
        self._framed = False
        self._finished = False
        self.written = 0
        """Bytes given to the transport behind the first ones."""

    async def begin(self, request: web.Request) -> None:
        """Make the head ready; it leaves with the first bytes. On HTTP/1.0 the body ends with the connection."""
        self._framed = request.version >= (1, 1)
        if self._framed:
            self.enable_chunked_encoding()
        else:
            self.force_close()
        self._writer = await self.prepare(request)
        self._transport = request.transport

    async def first(self, data: bytes, *, last: bool) -> None:
        """Send the head, and in the same write what there is to send already; `last` where that is all.

        To a client that has left nothing is written: its handler is about to be cancelled.
        """
        self._finished = last
        writer, transport = self._writer, self._transport
        if writer is None or transport is None or transport.is_closing():
            return
        if last:
            await writer.write_eof(data)
        elif data:
            await writer.write(data)
        else:
            writer.send_headers()

    def send(self, data: bytes) -> bool:
        """Write a piece of the body. False where the client reads too slowly: then wait for `drained`.

        Behind the end nothing is written: a heartbeat may come between the last piece and the handler's own end. Nor is
        anything to a client that has left, which uvloop's transports take for a mistake.
        """
        transport = self._transport
        if transport is None or not data or self._finished or transport.is_closing():
            return True
        data = b"%x\r\n%b\r\n" % (len(data), data) if self._framed else data
        self.written += len(data)
        transport.write(data)
        return transport.get_write_buffer_size() <= HIGH_WATER

    def finish(self, data: bytes) -> bool:
        """Write the last piece and end the body, in one write. False where the client has left."""
        self._finished = True
        if self._transport is None or self._transport.is_closing():
            return False
        if self._framed:
            data = b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data) if data else b"0\r\n\r\n"
        self.written += len(data)
        self._transport.write(data)
        return True

    @property
    def taken(self) -> tuple[int, int]:
        """Bytes that the client has taken, and those that wait for it in our memory."""
        return taken_of(self._transport, self.written)

    def abort(self) -> None:
        """Cut the connection: what was sent must not look ended."""
        self._finished = True
        if self._transport is not None:
            self._transport.abort()

    async def drained(self) -> None:
        """Wait until the client has read enough."""
        if self._writer is not None:
            await self._writer.drain()

    async def write_eof(self, data: bytes = b"") -> None:
        """Called by aiohttp when the handler is done. The body was ended by `finish`, or must not look ended."""
        if not self._finished and self._transport is not None:
            self._transport.abort()
