"""One completion, as the async client's caller reads it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from streamweir.client.aio.carrier import Carrier
from streamweir.client.aio.dispatch import Dispatch
from streamweir.client.aio.wheel import Wheel
from streamweir.client.opening import Opening
from streamweir.client.reading import Pieces, Reading
from streamweir.client.sources import Source
from streamweir.errors import ConfigError, RequestError, StreamError, stream_error
from streamweir.events import Ended, Released
from streamweir.flows.buffer import text_of

if TYPE_CHECKING:
    from streamweir.records.records import Records


class AsyncStream(Reading):
    """One completion. Use it as a context manager; then read `text`, or iterate it for typed events.

    Reading to the end of a stream that did not end whole raises the StreamError for it; `report` is there all the
    same. A reader that stops reading stops the upstream being read.
    """

    def __init__(
        self,
        client: Source,
        wheel: Wheel,
        opening: Opening,
        how: Mapping[str, Any],
        records: Records | None = None,
    ) -> None:
        """`records` are started before the first stream that they keep."""
        super().__init__(opening, how)
        self._records = records
        self._client = client
        self._wheel = wheel
        self._carrier: Carrier[tuple[Released, ...]] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._handshake: asyncio.Task[None] | None = None
        self._cancelled = False
        self._dispatch: Dispatch | None = None
        self._stalling: asyncio.TimerHandle | None = None

    # -- the caller's side -----------------------------------------------------------------------------

    async def __aenter__(self) -> AsyncStream:
        if self._loop is not None:
            raise RequestError("the stream was opened before: make another with gateway.stream(…)")
        self._loop = asyncio.get_running_loop()
        opening = self._opening
        self._called()
        if self._callbacks:
            self._dispatch = Dispatch(self._callbacks, self._how.get("buffer_low", 500), self._resume)
        self._handshake = self._loop.create_task(self._open(opening))
        try:
            await self._handshake
        except asyncio.CancelledError:
            self._handshake.cancel()
            self._begin(opening)
            self._end()
            await self._finish()
            if not self._cancelled:
                raise
            raise stream_error(self.report) from None
        except (RequestError, ConfigError):
            await self._finish()
            raise
        except BaseException:
            # whatever it was, the stream has ended, and its record with it
            self._begin(opening)
            self._end()
            await self._finish()
            raise
        self._begin(opening)
        if opening.error is not None:
            await self._finish()
            opening.error.report = self.report
            raise opening.error
        if self._carrier is not None:
            self._carrier.begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        await self._finish()

    async def __aiter__(self) -> AsyncIterator[Released]:
        """Typed events; the last is `ended`. Raises at the end where the reply is not whole."""
        while True:
            while len(self._buffer):
                event = self._buffer.pop()
                if self._buffer.drained:
                    self._resume()
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

    async def read(self) -> list[Released]:
        """All events that are there, the next ones where there are none; empty once all were read.

        For those who write events on: it raises for no reply that is not whole, since the last event says so.
        """
        if self._relay is None:
            raise RequestError("the stream is not open: use `async with gateway.stream(…) as stream`")
        while not len(self._buffer) and not self._relay.done:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        events = [self._buffer.pop() for _ in range(len(self._buffer))]
        if self._buffer.drained:
            self._resume()
        return events

    @property
    async def text(self) -> AsyncIterator[str]:
        """The reply, piece by piece (`async for piece in stream.text`)."""
        self._one_text()
        async for event in self:
            if (text := text_of(event)) is not None:
                yield text

    @property
    def sentences(self) -> AsyncIterator[str]:
        """The reply, sentence by sentence, white space included. Raises behind the last one, where it is not whole."""
        return self._pieces(Pieces(None))

    def batches(self, size: int) -> AsyncIterator[str]:
        """The reply, `size` tokens at a time."""
        return self._pieces(Pieces(size))

    async def _pieces(self, pieces: Pieces) -> AsyncIterator[str]:
        self._one_text()
        cut: StreamError | None = None
        try:
            async for event in self:
                for piece in pieces.push(event):
                    yield piece
        except StreamError as error:
            cut = error
        for piece in pieces.flush():
            yield piece
        if cut is not None:
            raise cut

    def take(self, count: int) -> list[str]:
        """At most `count` pieces of text that are there now, for callers who poll; never waits.

        Once all is taken, raises where the reply is not whole; `done` says that nothing more comes. A caller who takes
        nothing for `stall_timeout` while the buffer is full gets what `on_stall` says.
        """
        self._polled = True
        taken = self._taken(count)
        if self._buffer.drained:
            self._resume()
        elif self._carrier is not None and self._carrier.paused and self._stalling is None:
            self._watch()
        return taken

    @property
    def paused(self) -> bool:
        """Whether the upstream is not read at present, since too much waits to be read."""
        return self._carrier is not None and self._carrier.paused

    def cancel(self) -> None:
        """End the stream and close its upstream request. From any task or thread, as often as you like."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._cancel)

    # -- the upstream's side ---------------------------------------------------------------------------

    async def _open(self, opening: Opening) -> None:
        if self._records is not None and not self._records.started:
            # a store may be slow to open, and other streams go on meanwhile
            await asyncio.to_thread(self._records.start)
        await self._client.open(opening)

    def _begin(self, opening: Opening) -> None:
        self._relay, events = self._client.relay(opening, tuple)
        self._carrier = Carrier(self._client, self._wheel, opening, self._relay, self._take)
        if self._recorder is not None and opening.connection is not None:
            self._carrier.record(self._recorder, self._head(self._client.exchange.dialect.name))
        self._take(events)

    def _take(self, events: Sequence[Released]) -> None:
        self._buffer.push(events)
        if self._dispatch is not None:
            now = time.monotonic()
            self._dispatch.push([call for event in events for call in self._callbacks.calls(event, now)])
        high = self._how.get("buffer_high", 1000)
        if self._carrier is not None and (
            self._buffer.full or (self._dispatch is not None and len(self._dispatch) > high)
        ):
            self._carrier.pause()
            if (self._polled or not self._buffer.full) and self._stalling is None:
                self._watch()
        waiter = self._waiter
        if waiter is not None and not waiter.done() and len(self._buffer):
            waiter.set_result(None)

    def _resume(self) -> None:
        low = self._how.get("buffer_low", 500)
        if self._carrier is None or not self._carrier.paused:
            return
        if self._buffer.drained and (self._dispatch is None or len(self._dispatch) <= low):
            if self._stalling is not None:
                self._stalling.cancel()
                self._stalling = None
            self._carrier.resume()

    def _watch(self) -> None:
        if self._loop is not None:
            self._stalling = self._loop.call_later(self._stall_timeout, self._stalled)

    def _stalled(self) -> None:
        """The reader, or a callback, has not made room in time."""
        self._stalling = None
        carrier, relay = self._carrier, self._relay
        if carrier is None or relay is None or relay.ended:
            return
        cause = self._give_way(relay, self._dispatch)
        if cause is not None:
            carrier.end(cause)
        else:
            carrier.resume()

    def _cancel(self) -> None:
        if self._handshake is not None and not self._handshake.done():
            self._cancelled = True
            self._handshake.cancel()
        self._end()

    def _end(self) -> None:
        if self._stalling is not None:
            self._stalling.cancel()
            self._stalling = None
        if self._carrier is not None:
            self._carrier.end("cancelled")

    async def _finish(self) -> None:
        try:
            if self._carrier is not None:
                await self._carrier.over()
        finally:
            if self._recorder is not None:
                self._recorder.close()
            if self._dispatch is not None:
                await self._dispatch.finish(self._stall_timeout)
