"""The one way to an HTTP upstream: asyncio protocol over wire/http1.py, with two kinds of sinks.

A sink gets body bytes as they are read, once per socket read, synchronously: the client's iterator behind one
waiter, or the proxy's transport. There are no redirects, no cookies and no decompression.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol, cast

from streamweir.client.lost import AnswerTimeout, ConnectionLost
from streamweir.client.origin import Origin
from streamweir.ending import Cause
from streamweir.wire.http1 import Answer, HttpError

EARLY_LIMIT = 64 * 1024
"""Bytes of a body that may wait for a sink; beyond it the socket is not read until one is there."""

LINGER = 1.0
"""Seconds in which the rest of an answer that nobody needs may arrive for the connection to be reused."""


class Sink(Protocol):
    """What takes an answer's body."""

    def data(self, body: bytes) -> None:
        """Body bytes of one socket read."""
        ...

    def closed(self, cause: Cause, detail: str) -> None:
        """Nothing more comes: `eof` where the body ended cleanly. Called once, and never after `release` or `abort`."""
        ...


class Home(Protocol):
    """Where a connection goes when its answer is done: the pool."""

    def back(self, connection: Connection) -> None: ...

    def gone(self, connection: Connection) -> None: ...


class Connection(asyncio.Protocol):
    """One connection to one origin, carrying one exchange at a time. `on_over` is called once, when it is over."""

    __slots__ = (
        "_answer", "_closed", "_early", "_early_size", "_head", "_home", "_linger", "_loop", "_paused", "_sink",
        "_timer", "idle_since", "on_over", "origin", "transport", "uses",
    )  # fmt: skip

    def __init__(self, home: Home, origin: Origin, loop: asyncio.AbstractEventLoop) -> None:
        self._home = home
        self._loop = loop
        self.origin = origin
        self.transport: asyncio.Transport | None = None
        self.uses = 0
        self.idle_since = 0.0
        self.on_over: Callable[[], None] | None = None
        self._answer: Answer | None = None
        self._head: asyncio.Future[Answer] | None = None
        self._sink: Sink | None = None
        self._early: list[bytes] = []
        self._early_size = 0
        self._closed: tuple[Cause, str] | None = None
        self._paused = False
        self._timer: asyncio.TimerHandle | None = None
        self._linger = False

    # -- what a caller does ----------------------------------------------------------------------------

    async def exchange(self, request: bytes, timeout: float) -> Answer:
        """Send a request and wait for the head of its answer. The body then waits for `attach`.

        Raises ConnectionLost or AnswerTimeout; cancelled, it closes the connection.
        """
        transport = self.transport
        if transport is None or transport.is_closing():
            raise ConnectionLost("the connection was closed", reused=self.uses > 0, silent=True)
        self.uses += 1
        self._answer = Answer()
        self._head = self._loop.create_future()
        self._timer = self._loop.call_later(timeout, self._expire)
        transport.write(request)
        try:
            return await self._head
        except BaseException:
            self.abort()
            raise
        finally:
            self._timer.cancel()
            self._head = None

    def attach(self, sink: Sink) -> None:
        """Give the body to a sink, beginning with what has come already."""
        early = b""
        if self._early:
            early = b"".join(self._early)
            self._early.clear()
            self._early_size = 0
        self._sink = sink
        if self._paused:
            self.resume()
        if early:
            sink.data(early)
        self._settle()

    def detach(self) -> None:
        """Take the body from its sink; what comes waits for the next one."""
        self._sink = None

    def send(self, data: bytes) -> None:
        """Write to an upgraded connection."""
        if data and self.transport is not None:
            self.transport.write(data)

    def pause(self) -> None:
        """Stop reading: TCP then holds the upstream back."""
        if not self._paused and self.transport is not None:
            self._paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if self._paused and self.transport is not None:
            self._paused = False
            self.transport.resume_reading()

    def release(self) -> None:
        """The sink has all it needs. The connection is reused if the answer ends by itself, and soon."""
        self._sink = None
        answer = self._answer
        if answer is None or self._closed is not None:
            return
        if answer.complete:
            self._recycle(answer)
            return
        self._linger = True
        self.resume()
        self._timer = self._loop.call_later(LINGER, self.abort)

    def abort(self) -> None:
        """Close at once; the upstream sees it and stops generating."""
        self._sink = None
        if self._answer is not None:
            self._answer.close()
            self._answer = None
        self._over()
        if self.transport is not None:
            self.transport.abort()

    def lose(self) -> None:
        """Close at once, and tell whoever reads the answer that it was cut."""
        sink = self._sink
        self.abort()
        if sink is not None:
            sink.closed("reset", "the client was closed")

    # -- what the loop calls ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        answer = self._answer
        if answer is None:
            self.abort()
            return
        try:
            body = answer.feed(data)
        except HttpError as error:
            self._broken(answer, str(error))
            return
        if body:
            if self._sink is not None:
                self._sink.data(body)
            elif self._linger:
                self.abort()
                return
            else:
                self._hold(body)
        if answer.status and self._head is not None and not self._head.done():
            self._head.set_result(answer)
        if answer.complete and self._answer is answer:
            if self._linger:
                self._recycle(answer)
            else:
                self._settle()

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._over()
        self._home.gone(self)
        if self._timer is not None:
            self._timer.cancel()
        answer = self._answer
        if self._head is not None and not self._head.done():
            detail = f"{exc}" if exc else "the upstream closed the connection"
            silent = answer is None or not answer.started
            self._head.set_exception(ConnectionLost(detail, reused=self.uses > 1, silent=silent))
        if answer is not None and not answer.complete:
            answer.close()
            self._close("reset" if exc else "eof", f"{exc}" if exc else "")

    # -- the rest --------------------------------------------------------------------------------------

    def _hold(self, body: bytes) -> None:
        self._early.append(body)
        self._early_size += len(body)
        if self._early_size > EARLY_LIMIT:
            self.pause()

    def _broken(self, answer: Answer, detail: str) -> None:
        body = answer.salvage()
        if body and self._sink is not None:
            self._sink.data(body)
        elif body:
            self._hold(body)
        if self._head is not None and not self._head.done():
            if answer.status:
                self._head.set_result(answer)
            else:
                self._head.set_exception(ConnectionLost(detail, reused=False, silent=False))
        if self._answer is answer:
            self._close("broken", detail)
            if self.transport is not None:
                self.transport.abort()

    def _close(self, cause: Cause, detail: str) -> None:
        if self._closed is None:
            self._closed = (cause, detail)
        self._settle()

    def _settle(self) -> None:
        """Tell an attached sink of the end, once it is there and all of the body has gone to it."""
        sink, answer = self._sink, self._answer
        if sink is None or answer is None:
            return
        if answer.complete:
            self._sink = None
            self._recycle(answer)
            sink.closed("eof", "")
        elif self._closed is not None:
            self._sink = None
            self._over()
            sink.closed(*self._closed)

    def _over(self) -> None:
        if self.on_over is not None:
            told, self.on_over = self.on_over, None
            told()

    def _recycle(self, answer: Answer) -> None:
        self._over()
        self._answer = None
        self._linger = False
        if self._timer is not None:
            self._timer.cancel()
        if answer.reusable and not answer.trailing and self.transport is not None:
            if self._paused:
                self.resume()
            self._home.back(self)
        elif self.transport is not None:
            self.transport.close()

    def _expire(self) -> None:
        if self._head is not None and not self._head.done():
            self._head.set_exception(AnswerTimeout())
