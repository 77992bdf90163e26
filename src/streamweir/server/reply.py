"""The answer that a stream is written to: bytes go straight to the client's transport, once per upstream read.

aiohttp reads the request and keeps the connection; head and framing are written here, so that the head leaves with what
is there for the client already, and a read costs one write and no task, queue or timer.
"""

from __future__ import annotations

import asyncio
import time
from email.utils import formatdate
from functools import lru_cache
from typing import Final

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import SERVER_SOFTWARE

from streamweir.server.unsent import taken_of

HIGH_WATER = 64 * 1024
"""Bytes that may wait for a client that reads slowly; beyond it the upstream is no longer read."""

HTTP_1_1: Final = (1, 1)


class StreamReply(web.StreamResponse):
    """A 200 whose head and body are written with `begin`, `send` and `finish`. `fields` are the head's own headers."""

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__()
        self.fields = fields
        self._transport: asyncio.Transport | None = None
        self._writer: AbstractStreamWriter | None = None
        self._framed = False
        self._kept = False
        self._finished = False
        self.written = 0
        """Bytes given to the transport."""

    def begin(self, request: web.Request, data: bytes, *, last: bool) -> None:
        """Send the head, and in the same write what there is to send already; `last` where that is all.

        On HTTP/1.0 the body ends with the connection. To a client that has left nothing is written: its handler is
        about to be cancelled. Raises ValueError for a header that would inject another line.
        """
        framed = request.version >= HTTP_1_1
        kept = framed and request.keep_alive
        # before anything is noted: where it cannot be written, nothing has begun
        head = _head(self.fields, framed, kept)
        self._framed, self._kept = framed, kept
        self._writer = writer = request.writer
        self._transport = request.transport
        if last:
            self.finish(data, head)
        else:
            self.send(data, head)
        # aiohttp then gives no answer of its own to an error behind this
        writer.output_size = self.written

    def send(self, data: bytes, head: bytes = b"") -> bool:
        """Write a piece of the body. False where the client reads too slowly: then wait for `drained`.

        Behind the end nothing is written: a heartbeat may come between the last piece and the handler's own end. Nor is
        anything to a client that has left, which uvloop's transports take for a mistake.
        """
        transport = self._transport
        if transport is None or not (data or head) or self._finished or transport.is_closing():
            return True
        if data and self._framed:
            data = b"%b%x\r\n%b\r\n" % (head, len(data), data)
        else:
            data = head + data
        self.written += len(data)
        transport.write(data)
        return transport.get_write_buffer_size() <= HIGH_WATER

    def finish(self, data: bytes, head: bytes = b"") -> bool:
        """Write the last piece and end the body, in one write. False where the client has left."""
        if self._transport is None or self._transport.is_closing():
            return False
        self._finished = True
        if self._framed:
            data = b"%b%x\r\n%b\r\n0\r\n\r\n" % (head, len(data), data) if data else head + b"0\r\n\r\n"
        else:
            data = head + data
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

    # -- what aiohttp asks an answer -------------------------------------------------------------------

    @property
    def prepared(self) -> bool:
        """Whether it has begun."""
        return self._writer is not None

    @property
    def keep_alive(self) -> bool:
        """Whether another request may come on the connection: not on one whose answer never began."""
        return self._kept

    def force_close(self) -> None:
        """Let none come."""
        self._kept = False

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """The head is written by `begin`."""
        return self._writer

    def __repr__(self) -> str:
        return f"<{type(self).__name__}, {self.written} bytes written>"

    async def write_eof(self, data: bytes = b"") -> None:
        """Called when the handler is done. The body was ended by `finish`, or must not look ended."""
        if not self._finished and self._transport is not None:
            self._transport.abort()


def _head(fields: dict[str, str], framed: bool, kept: bool) -> bytes:
    lines = ["HTTP/1.1 200 OK" if framed else "HTTP/1.0 200 OK"]
    for name, value in fields.items():
        lines.append(f"{name}: {value}")
    if framed:
        lines.append("Transfer-Encoding: chunked")
        if not kept:
            lines.append("Connection: close")
    head = "\r\n".join(lines)
    if head.count("\r") != len(lines) - 1 or head.count("\n") != len(lines) - 1 or "\0" in head:
        raise ValueError("a header of the answer holds a line end or a NUL")
    # what came in a header of the request and is repeated here may be no UTF-8: it leaves as it came
    return head.encode(errors="surrogateescape") + _tail(int(time.time()))


@lru_cache(maxsize=1)
def _tail(second: int) -> bytes:
    """The headers that all answers of one second share, and the end of the head."""
    return f"\r\nDate: {formatdate(second, usegmt=True)}\r\nServer: {SERVER_SOFTWARE}\r\n\r\n".encode()
