"""One client that is sent a stream over HTTP, from a position on: what the log has, and what comes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from aiohttp import web

from streamweir.faces import HEARTBEAT, STREAM_HEADERS
from streamweir.resumption.log import Trimmed
from streamweir.server.patience import LOOK, Patience
from streamweir.server.reply import HIGH_WATER, StreamReply
from streamweir.server.resumable import Resumable
from streamweir.server.shared import FOUND, SHARED, Serving, answer_headers


class Attached:
    """A listener that writes to a client's transport. The handler sleeps, but where the client reads too slowly."""

    __slots__ = ("_beat_at", "_every", "_over", "_patience", "_reply", "_stream", "_wake", "after", "stuck")

    def __init__(self, stream: Resumable, reply: StreamReply, after: int, serving: Serving) -> None:
        self._stream = stream
        self._reply = reply
        self._every = serving.heartbeat
        self._patience = Patience(serving.slow_client)
        self._beat_at = time.monotonic() + self._every
        self._wake: asyncio.Future[None] | None = None
        self._over = False
        self.after = after
        self.stuck = False

    def due(self, now: float) -> float:
        """For the wheel: the next heartbeat; sooner where the client reads too slowly."""
        return min(self._beat_at, now + LOOK) if self.stuck or self._patience.watching else self._beat_at

    def tick(self, now: float) -> None:
        """For the wheel. Who reads nothing is cut off: the stream goes on, and so may they, from where they were."""
        if self._patience.gone(*self._reply.taken, now):
            self._over = True
            self._reply.abort()
        if now >= self._beat_at:
            self._beat_at = now + self._every
            if not self.stuck and not self._over:
                self._reply.send(HEARTBEAT)

    def take(self, first: int, data: bytes) -> None:
        """What was just put into the log."""
        if self.stuck or self._over:
            return
        if self.after + 1 != first:
            self.catch_up()
            return
        log = self._stream.log
        self.after = log.next - 1
        if log.ended:
            self._over = True
            self._stream.delivered |= self._reply.finish(data)
        elif self._reply.send(data):
            return
        else:
            self.stuck = True
        self._rouse()

    def catch_up(self) -> None:
        """Send what is new in the log, as far as the client reads."""
        log = self._stream.log
        while not self.stuck and not self._over:
            try:
                entries = log.read(self.after, HIGH_WATER)
            except Trimmed:
                # it read so slowly that its place is gone: cut off, so that it does not look as if it went on
                self._over = True
                self._reply.abort()
                break
            if not entries:
                return
            self.after += len(entries)
            if log.ended and self.after + 1 == log.next:
                self._over = True
                self._stream.delivered |= self._reply.finish(b"".join(entries))
            elif not self._reply.send(b"".join(entries)):
                self.stuck = True
        self._rouse()

    def _rouse(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def run(self) -> None:
        """Until the end, or until the client leaves, which cancels this."""
        while not self._over:
            if not self.stuck:
                self._wake = asyncio.get_running_loop().create_future()
                await self._wake
            if self.stuck and not self._over:
                await self._reply.drained()
                self.stuck = False
                self.catch_up()
                self._stream.settle()


async def attach(
    request: web.Request, stream: Resumable, after: int, first: bytes = b"", headers: Mapping[str, str] | None = None
) -> web.StreamResponse:
    """Send a stream from behind a position on. `first` goes before it."""
    shared = request.app[SHARED]
    reply = StreamReply({**STREAM_HEADERS, **answer_headers(request), **(headers or {})})
    listener = Attached(stream, reply, after, shared.serving)
    reply.begin(request, first, last=False)
    request[FOUND].begun = True
    shared.wheel.add(listener)
    try:
        stream.listen(listener)
        await listener.run()
    finally:
        stream.leave(listener)
        shared.wheel.remove(listener)
    return reply
