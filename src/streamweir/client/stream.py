"""One completion, as the async client's caller reads it."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from types import TracebackType

from streamweir.client.carrier import Carrier
from streamweir.client.exchange import Opening
from streamweir.client.upstream import UpstreamClient
from streamweir.client.wheel import Wheel
from streamweir.ending import Cause
from streamweir.errors import RequestError, stream_error
from streamweir.events import Ended, Released, Text
from streamweir.relay import Relay
from streamweir.report import Report

BUFFER_HIGH = 256
"""Events that may wait for a slow reader before the upstream is no longer read: about one read's worth."""

BUFFER_LOW = 64


class AsyncStream:
    """One completion. Use it as a context manager; then read `text`, or iterate it for typed events.

    Reading to the end of a stream that did not end whole raises the StreamError for it; `report` is there all the
    same. A reader that stops reading stops the upstream being read.
    """

    def __init__(self, client: UpstreamClient, wheel: Wheel, opening: Opening) -> None:
        self._client = client
        self._wheel = wheel
        self._opening = opening
        self._relay: Relay[tuple[Released, ...]] | None = None
        self._carrier: Carrier[tuple[Released, ...]] | None = None
        self._events: deque[Released] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._handshake: asyncio.Task[None] | None = None
        self._cancelled = False

    # -- the caller's side -----------------------------------------------------------------------------

    async def __aenter__(self) -> AsyncStream:
        if self._loop is not None:
            raise RequestError("the stream was opened before: make another with gateway.stream(…)")
        self._loop = asyncio.get_running_loop()
        opening = self._opening
        opening.called_at, opening.started_at = time.monotonic(), time.time()
        self._handshake = self._loop.create_task(self._client.open(opening))
        try:
            await self._handshake
        except asyncio.CancelledError:
            self._handshake.cancel()
            self._begin(opening)
            self._end("cancelled")
            if not self._cancelled:
                raise
            raise stream_error(self.report) from None
        self._begin(opening)
        if opening.error is not None:
            opening.error.report = self.report
            raise opening.error
        if self._carrier is not None:
            self._carrier.begin()
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
                if len(self._events) == BUFFER_LOW and self._carrier is not None:
                    self._carrier.resume()
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
        if "n" in self._opening.request.passthrough:
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
        return self._opening.request.request_id

    # -- the upstream's side ---------------------------------------------------------------------------

    def _begin(self, opening: Opening) -> None:
        self._relay, events = self._client.relay(opening, tuple)
        self._carrier = Carrier(self._client, self._wheel, opening, self._relay, self._take)
        self._take(events)

    def _take(self, events: Sequence[Released]) -> None:
        self._events += events
        if len(self._events) > BUFFER_HIGH and self._carrier is not None:
            self._carrier.pause()
        waiter = self._waiter
        if waiter is not None and not waiter.done() and self._events:
            waiter.set_result(None)

    def _cancel(self) -> None:
        if self._handshake is not None and not self._handshake.done():
            self._cancelled = True
            self._handshake.cancel()
        self._end("cancelled")

    def _end(self, cause: Cause) -> None:
        if self._carrier is not None:
            self._carrier.end(cause)
