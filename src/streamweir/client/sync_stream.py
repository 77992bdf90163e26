"""One completion, as the sync client's caller reads it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from types import TracebackType

from streamweir.client.cancellation import Cancellation, Cancelled
from streamweir.client.exchange import Opening, next_opening
from streamweir.client.line import Ended as LineEnded
from streamweir.client.line import Line
from streamweir.client.sync_upstream import SyncUpstreamClient
from streamweir.ending import Cause
from streamweir.errors import APIConnectionError, RequestError, StreamweirError, stream_error
from streamweir.events import Ended, Released, Text
from streamweir.relay import Relay
from streamweir.report import Report
from streamweir.wire.websocket import WebSocket

LONG = 3600.0
"""Seconds: the longest single wait on a socket; with no limit running, it is simply waited on again."""


class Stream:
    """One completion. Use it as a context manager; then read `text`, or iterate it for typed events.

    Reading to the end of a stream that did not end whole raises the StreamError for it; `report` is there all the
    same. The upstream is read only while its reader reads. One thread at a time reads; any thread may `cancel`.
    """

    def __init__(self, client: SyncUpstreamClient, opening: Opening) -> None:
        self._client = client
        self._opening = opening
        self._relay: Relay[tuple[Released, ...]] | None = None
        self._line: Line | None = None
        self._socket: WebSocket | None = None
        self._events: deque[Released] = deque()
        self._cancellation = Cancellation()
        self._reading = threading.Lock()

    # -- the caller's side -----------------------------------------------------------------------------

    def __enter__(self) -> Stream:
        if self._relay is not None or self._opening.called_at:
            raise RequestError("the stream was opened before: make another with gateway.stream(…)")
        opening = self._opening
        opening.called_at, opening.started_at = time.monotonic(), time.time()
        with self._reading:
            try:
                self._client.open(opening, self._cancellation)
            except BaseException as error:
                if isinstance(error, RequestError):
                    raise
                self._begin()
                self._end("cancelled")
                if not isinstance(error, Cancelled):
                    raise
                raise stream_error(self.report) from None
            relay = self._begin()
        if opening.error is not None:
            opening.error.report = relay.report
            raise opening.error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._reading:
            self._end("cancelled")

    def __iter__(self) -> Iterator[Released]:
        """Typed events; the last is `ended`. Raises at the end where the reply is not whole."""
        while True:
            while self._events:
                event = self._events.popleft()
                yield event
                if type(event) is Ended:
                    if not event.report.complete:
                        raise stream_error(event.report)
                    return
            if self._relay is None:
                raise RequestError("the stream is not open: use `with gateway.stream(…) as stream`")
            if self._relay.done:
                return
            with self._reading:
                self._more(self._relay)

    @property
    def text(self) -> Iterator[str]:
        """The reply, piece by piece (`for piece in stream.text`)."""
        if "n" in self._opening.request.passthrough:
            raise RequestError("stream.text has one text, and n asks for several: iterate the stream's events instead")
        return (
            event.content for event in self if type(event) is Text and event.channel == "content" and event.choice == 0
        )

    def cancel(self) -> None:
        """End the stream and close its upstream request. From any thread, as often as you like; it wakes a reader."""
        self._cancellation.cancel()
        if (line := self._line) is not None:
            line.wake()
        if self._reading.acquire(blocking=False):
            try:
                self._end("cancelled")
            finally:
                self._reading.release()

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

    def _begin(self) -> Relay[tuple[Released, ...]]:
        opening = self._opening
        self._relay, events = self._client.exchange.relay(opening, tuple, time.monotonic())
        self._line, self._socket = opening.connection, opening.socket
        self._take(events)
        self._catch_up(self._relay)
        return self._relay

    def _more(self, relay: Relay[tuple[Released, ...]]) -> None:
        """Read once. Between reads the upstream's silence is ours, and does not count."""
        if relay.again is not None:
            self._open_again(relay)
            return
        now = time.monotonic()
        relay.resume(now)
        if self._cancellation.requested or self._line is None:
            self._end("cancelled")
            return
        due = relay.due(now)
        if self._socket is not None:
            due = min(due, self._socket.due())
            self._line.send(self._socket.outgoing())
        try:
            body = self._line.read(min(due - now, LONG)) if due > now else b""
        except TimeoutError:
            body = b""
        except LineEnded as ended:
            now = time.monotonic()
            cancelled = self._cancellation.requested
            self._take(relay.end("cancelled" if cancelled else ended.cause, now, "" if cancelled else ended.detail))
            return
        now = time.monotonic()
        if body or self._socket is not None:
            self._take(relay.feed(body, now))
        if not relay.done:
            self._take(relay.tick(now))
        if self._socket is not None and not relay.done and not self._socket.beat(now):
            self._take(relay.end("reset", now, "no pong came in time"))
        relay.pause(time.monotonic())

    def _take(self, events: Sequence[Released]) -> None:
        self._events += events
        relay = self._relay
        if relay is None:
            return
        if relay.done:
            report = relay.report
            self._leave(whole=report is not None and report.complete)
        elif relay.again is not None:
            self._leave(whole=relay.again.end.status == "truncated")

    def _open_again(self, relay: Relay[tuple[Released, ...]]) -> None:
        before = self._opening
        opening = next_opening(relay, before)
        try:
            self._client.open(opening, self._cancellation)
        except Cancelled:
            self._take(relay.end("cancelled", time.monotonic()))
            return
        except StreamweirError as error:
            opening.error = error
        now = time.monotonic()
        if opening.error is not None or opening.connection is None:
            refused = opening.error or APIConnectionError("no connection")
            self._take(relay.give_up(refused, opening.attempts, opening.events, now))
            return
        self._line, self._socket = opening.connection, opening.socket
        before.failures = opening.failures
        self._take(relay.reopen(self._client.exchange.attempt(opening), opening.events, now))
        self._catch_up(relay)

    def _catch_up(self, relay: Relay[tuple[Released, ...]]) -> None:
        """Messages that came during the handshake of a WebSocket."""
        if self._socket is not None and self._line is not None:
            self._take(relay.feed(b"", time.monotonic()))

    def _leave(self, *, whole: bool) -> None:
        line, self._line = self._line, None
        if line is None:
            return
        if whole and self._socket is not None:
            self._socket.close()
            line.send(self._socket.outgoing())
        if whole and self._socket is None and line.finish():
            self._client.lines.back(line)
        else:
            self._client.lines.drop(line)

    def _end(self, cause: Cause) -> None:
        if self._relay is not None and not self._relay.done:
            self._take(self._relay.end(cause, time.monotonic()))
