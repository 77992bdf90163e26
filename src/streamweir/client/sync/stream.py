"""One completion, as the sync client's caller reads it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from streamweir.client.opening import Opening
from streamweir.client.reading import Pieces, Reading
from streamweir.client.sources import SyncSource
from streamweir.client.sync.cancellation import Cancellation, Cancelled
from streamweir.client.sync.carrier import SyncCarrier
from streamweir.client.sync.dispatch import SyncDispatch
from streamweir.errors import RequestError, StreamError, stream_error
from streamweir.events import Ended, Released
from streamweir.flows.buffer import text_of

if TYPE_CHECKING:
    from streamweir.records.records import Records

LONG = 3600.0
"""Seconds: the longest single wait on a socket; with no limit running, it is simply waited on again."""


class Stream(Reading):
    """One completion. Use it as a context manager; then read `text`, or iterate it for typed events.

    Reading to the end of a stream that did not end whole raises the StreamError for it; `report` is there all the
    same. The upstream is read only while its reader reads. One thread at a time reads; any thread may `cancel`.
    """

    def __init__(
        self, client: SyncSource, opening: Opening, how: Mapping[str, Any], records: Records | None = None
    ) -> None:
        """`records` are started before the first stream that they keep."""
        super().__init__(opening, how)
        self._records = records
        self._client = client
        self._carrier: SyncCarrier | None = None
        self._cancellation = Cancellation()
        self._reading = threading.Lock()
        self._dispatch: SyncDispatch | None = None
        self._full_since: float | None = None

    # -- the caller's side -----------------------------------------------------------------------------

    def __enter__(self) -> Stream:
        opening = self._opening
        if opening.called_at:
            raise RequestError("the stream was opened before: make another with gateway.stream(…)")
        if self._records is not None:
            self._records.start()
        self._called()
        if self._callbacks:
            self._dispatch = SyncDispatch(self._callbacks)
        with self._reading:
            try:
                self._client.open(opening, self._cancellation)
            except RequestError:
                self._finish()
                raise
            except BaseException as error:
                self._begin().end("cancelled")
                self._finish()
                if not isinstance(error, Cancelled):
                    raise
                raise stream_error(self.report) from None
            carrier = self._begin()
            # one that was refused has ended
            carrier.over()
        if opening.error is not None:
            opening.error.report = self.report
            self._finish()
            raise opening.error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._carrier is not None:
            with self._reading:
                self._carrier.end("cancelled")
                self._carrier.over()
        self._finish()

    def __iter__(self) -> Iterator[Released]:
        """Typed events; the last is `ended`. Raises at the end where the reply is not whole."""
        while True:
            while len(self._buffer):
                event = self._buffer.pop()
                yield event
                if type(event) is Ended:
                    if not event.report.complete:
                        raise stream_error(event.report)
                    return
            carrier = self._opened()
            if carrier.relay.done:
                return
            with self._reading:
                carrier.more(LONG)

    @property
    def text(self) -> Iterator[str]:
        """The reply, piece by piece (`for piece in stream.text`)."""
        self._one_text()
        return (text for event in self if (text := text_of(event)) is not None)

    @property
    def sentences(self) -> Iterator[str]:
        """The reply, sentence by sentence, white space included. Raises behind the last one, where it is not whole."""
        return self._pieces(Pieces(None))

    def batches(self, size: int) -> Iterator[str]:
        """The reply, `size` tokens at a time."""
        return self._pieces(Pieces(size))

    def _pieces(self, pieces: Pieces) -> Iterator[str]:
        self._one_text()
        cut: StreamError | None = None
        try:
            for event in self:
                yield from pieces.push(event)
        except StreamError as error:
            cut = error
        yield from pieces.flush()
        if cut is not None:
            raise cut

    def take(self, count: int) -> list[str]:
        """At most `count` pieces of text that are there now, for callers who poll; never waits for the upstream.

        Once all is taken, raises where the reply is not whole; `done` says that nothing more comes. A caller who takes
        nothing for `stall_timeout` while the buffer is full gets what `on_stall` says, at the next call: no thread
        watches a caller who does not call.
        """
        carrier = self._opened()
        with self._reading:
            self._polled = True
            if self._full_since is not None and time.monotonic() - self._full_since > self._stall_timeout:
                self._stalled(carrier)
            while not carrier.relay.done and not self.paused and carrier.more(0.0):
                pass
        taken = self._taken(count)
        if self._buffer.drained:
            self._full_since = None
        return taken

    @property
    def paused(self) -> bool:
        """Whether the upstream is not read at present, since too much waits to be read."""
        if self._full_since is None and self._buffer.full:
            self._full_since = time.monotonic()
        return self._full_since is not None

    def cancel(self) -> None:
        """End the stream and close its upstream request. From any thread, as often as you like; it wakes a reader."""
        self._cancellation.cancel()
        if (carrier := self._carrier) is None:
            return
        carrier.wake()
        if self._reading.acquire(blocking=False):
            try:
                carrier.end("cancelled")
            finally:
                self._reading.release()

    def _opened(self) -> SyncCarrier:
        if self._carrier is None:
            raise RequestError("the stream is not open: use `with gateway.stream(…) as stream`")
        return self._carrier

    # -- the upstream's side ---------------------------------------------------------------------------

    def _begin(self) -> SyncCarrier:
        opening = self._opening
        self._relay, events = self._client.exchange.relay(opening, tuple, time.monotonic())
        carrier = SyncCarrier(self._client, opening, self._relay, self._take, self._cancellation)
        if self._recorder is not None:
            carrier.record(self._recorder, self._head(self._client.exchange.dialect.name))
        self._carrier = carrier
        self._take(events)
        carrier.begin()
        return carrier

    def _take(self, events: Sequence[Released]) -> None:
        self._buffer.push(events)
        dispatch = self._dispatch
        if dispatch is None:
            return
        now = time.monotonic()
        dispatch.push([call for event in events for call in self._callbacks.calls(event, now)])
        high, low = self._how.get("buffer_high", 1000), self._how.get("buffer_low", 500)
        if len(dispatch) > high and not dispatch.wait_below(low, self._stall_timeout) and self._carrier is not None:
            self._stalled(self._carrier)

    def _stalled(self, carrier: SyncCarrier) -> None:
        """The reader, or a callback, has not made room in time."""
        self._full_since = None
        if carrier.relay.ended:
            return
        cause = self._give_way(carrier.relay, self._dispatch)
        if cause is not None:
            carrier.end(cause)

    def _finish(self) -> None:
        try:
            if self._carrier is not None:
                self._carrier.over()
        finally:
            if self._recorder is not None:
                self._recorder.close()
            if self._dispatch is not None:
                self._dispatch.finish(self._stall_timeout)
