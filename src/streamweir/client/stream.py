"""One completion, as the async client's caller reads it."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from types import TracebackType

from streamweir.client.connection import Connection
from streamweir.client.upstream import Opening, UpstreamClient
from streamweir.client.wheel import Wheel
from streamweir.errors import RequestError, stream_error
from streamweir.events import Ended, Released, Text
from streamweir.relay import Cause, Relay
from streamweir.report import Report
from streamweir.request import Request
from streamweir.stages.limits import TimeLimits

BUFFER_HIGH = 256
"""Events that may wait for a slow reader before the upstream is no longer read: about one read's worth."""

BUFFER_LOW = 64


class AsyncStream:
    """One completion. Use it as a context manager; then read `text`, or iterate it for typed events.

    Reading to the end of a stream that did not end whole raises the StreamError for it; `report` is there all the
    same. A reader that stops reading stops the upstream being read.
    """

    def __init__(self, client: UpstreamClient, wheel: Wheel, request: Request, limits: TimeLimits) -> None:
        self._client = client
        self._wheel = wheel
        self._request = request
        self._limits = limits
        self._relay: Relay[tuple[Released, ...]] | None = None
        self._connection: Connection | None = None
        self._events: deque[Released] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._handshake: asyncio.Task[None] | None = None
        self._cancelled = False

    # -- the caller's side -----------------------------------------------------------------------------

    async def __aenter__(self) -> AsyncStream:
        self._loop = asyncio.get_running_loop()
        opening = Opening(self._request, self._limits, time.monotonic(), time.time())
        self._handshake = self._loop.create_task(self._client.open(opening))
        try:
            await self._handshake
        except asyncio.CancelledError:
            self._handshake.cancel()
            self._relay, events = self._client.relay(opening, tuple)
            self._take(events)
            self._end("cancelled")
            if not self._cancelled:
                raise
            raise stream_error(self.report) from None
        relay, events = self._client.relay(opening, tuple)
        self._relay = relay
        self._take(events)
        if opening.error is not None:
            opening.error.report = relay.report
            raise opening.error
        self._connection = opening.connection
        if self._connection is not None:
            self._wheel.add(self)
            self._connection.attach(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end("cancelled")

    async def __aiter__(self) -> AsyncIterator[Released]:
        """Typed events; the last is `ended`. Raises at the end where the reply is not whole."""
        while True:
            while self._events:
                event = self._events.popleft()
                if len(self._events) == BUFFER_LOW and self._connection is not None:
                    self._resume(self._connection)
                yield event
                if type(event) is Ended:
                    if not event.report.complete:
                        raise stream_error(event.report)
                    return
            if self._relay is None or self._relay.done:
                if self._relay is None:
                    raise RequestError("the stream is not open: use `async with gateway.stream(…) as stream`")
                return
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter

    @property
    async def text(self) -> AsyncIterator[str]:
        """The reply, piece by piece (`async for piece in stream.text`)."""
        if "n" in self._request.passthrough:
            raise RequestError("stream.text has one text, and n asks for several: iterate the stream's events instead")
        async for event in self:
            if type(event) is Text and event.channel == "content" and event.choice == 0:
                yield event.content

    def cancel(self) -> None:
        """End the stream and close its upstream request. From any task or thread, as often as you like."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._cancel)

    @property
    def unread(self) -> tuple[Released, ...]:
        """Events that came and were not read: of a refused stream its retries and its end."""
        return tuple(self._events)

    @property
    def snapshot(self) -> str:
        """The text so far."""
        return self._relay.text if self._relay is not None else ""

    @property
    def sha256(self) -> str:
        """The SHA-256 of the text so far, in hex."""
        return self._relay.sha256 if self._relay is not None else ""

    @property
    def report(self) -> Report:
        """The report. Raises RequestError while the stream has not ended."""
        report = self._relay.report if self._relay is not None else None
        if report is None:
            raise RequestError("the stream has not ended, so there is no report yet: read it to its end, or cancel it")
        return report

    @property
    def request_id(self) -> str:
        """The request's id, as sent upstream and as in the report."""
        return self._request.request_id

    # -- the upstream's side ---------------------------------------------------------------------------

    def data(self, body: bytes) -> None:
        """A read of the answer's body."""
        if self._relay is not None:
            self._take(self._relay.feed(body, time.monotonic()))

    def closed(self, cause: Cause, detail: str) -> None:
        """The answer is over."""
        self._connection = None
        self._end(cause, detail)

    def due(self, now: float) -> float:
        """For the wheel."""
        return self._relay.due(now) if self._relay is not None else float("inf")

    def tick(self, now: float) -> None:
        """For the wheel."""
        if self._relay is not None:
            self._take(self._relay.tick(now))

    def _take(self, events: Sequence[Released]) -> None:
        self._events += events
        connection = self._connection
        if self._relay is not None and self._relay.done:
            self._wheel.remove(self)
            if connection is not None:
                self._connection = None
                report = self._relay.report
                if report is not None and report.complete:
                    connection.release()
                else:
                    connection.abort()
        elif len(self._events) > BUFFER_HIGH and connection is not None and self._relay is not None:
            connection.pause()
            self._relay.pause(time.monotonic())
        waiter = self._waiter
        if waiter is not None and not waiter.done() and self._events:
            waiter.set_result(None)

    def _resume(self, connection: Connection) -> None:
        if self._relay is not None:
            self._relay.resume(time.monotonic())
        connection.resume()

    def _cancel(self) -> None:
        if self._handshake is not None and not self._handshake.done():
            self._cancelled = True
            self._handshake.cancel()
        self._end("cancelled")

    def _end(self, cause: Cause, detail: str = "") -> None:
        if self._relay is not None and not self._relay.done:
            self._take(self._relay.end(cause, time.monotonic(), detail))
