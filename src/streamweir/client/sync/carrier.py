"""Carries one stream for the sync client: each `more` is one read of the upstream, fed to the relay.

Where the relay asks for another request behind a reply that broke off, it is opened here, and the stream goes on over
the new line.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from streamweir.client.opening import CLOSE_WITHIN, Opening, next_opening
from streamweir.client.recording import Head, Recorder
from streamweir.client.sources import SyncSource
from streamweir.client.sync.cancellation import Cancellation, Cancelled
from streamweir.client.sync.entries import Answer, close_entry
from streamweir.client.sync.line import Ended, Line
from streamweir.ending import Cause
from streamweir.errors import APIConnectionError, StreamweirError
from streamweir.events import Released
from streamweir.relay import Relay
from streamweir.wire.websocket import WebSocket

Events = tuple[Released, ...]


class SyncCarrier:
    """See the module's docstring. One thread at a time calls it, but for `wake`."""

    def __init__(
        self,
        client: SyncSource,
        opening: Opening,
        relay: Relay[Events],
        take: Callable[[Events], None],
        cancellation: Cancellation,
    ) -> None:
        self._client = client
        self._opening = opening
        self.relay = relay
        self._take = take
        self._cancellation = cancellation
        self._line: Line | None = None
        self._closing: Answer | None = None
        self._socket: WebSocket | None = None
        self._recorder: Recorder | None = None
        self._head: Head | None = None

    def record(self, recorder: Recorder, head: Head) -> None:
        """Keep what the upstream sends; called before `begin`."""
        self._recorder, self._head = recorder, head

    def begin(self) -> None:
        """Carry what the opened connection has already."""
        if self.relay.ended:
            self._give(())
        self._attach(self._opening)

    def more(self, wait: float) -> bool:
        """Read once, for at most `wait` seconds; whether anything came. Behind the end wait for the stream's record.

        Between two reads the upstream's silence is our caller's, and does not count.
        """
        relay, line, socket = self.relay, self._line, self._socket
        if relay.ended:
            return self._close(wait)
        if relay.again is not None:
            self._open_again()
            return True
        now = time.monotonic()
        relay.resume(now)
        if line is None or self._cancellation.requested:
            self.end("cancelled")
            return False
        due = relay.due(now)
        if socket is not None:
            due = min(due, socket.due())
            line.send(socket.outgoing())
        body = b""
        try:
            if due > now:
                body = line.read(min(due - now, wait))
        except TimeoutError:
            pass
        except Ended as ended:
            self._ended(ended)
            return True
        now = time.monotonic()
        if body:
            if self._recorder is not None:
                self._recorder.data(body, now)
            self._give(relay.feed(body, now))
        if not relay.ended:
            self._give(relay.tick(now))
        if socket is not None and not relay.ended and not socket.beat(now):
            self._give(relay.end("reset", now, "no pong came in time"))
        relay.pause(time.monotonic())
        return bool(body)

    def end(self, cause: Cause) -> None:
        """End the stream from this side; one that has ended stays as it ended."""
        if not self.relay.ended:
            self._give(self.relay.end(cause, time.monotonic()))

    def over(self) -> None:
        """Wait until a stream that has ended has its record, for `CLOSE_WITHIN` at most; others are not waited for."""
        if self.relay.ended and not self.relay.done:
            self._close(CLOSE_WITHIN)

    def wake(self) -> None:
        """End a read that blocks, from another thread."""
        if (line := self._line) is not None:
            line.wake()

    def _attach(self, opening: Opening) -> None:
        self._line, self._socket = opening.connection, opening.socket
        if self._line is None:
            return
        now = time.monotonic()
        if self._recorder is not None and self._head is not None:
            self._head.correlation_id = opening.correlation_id
            self._recorder.head(self._head, now, self._client.secrets)
        if self._socket is not None:
            # messages that came during the handshake
            if self._recorder is not None:
                self._recorder.data(self._socket.unread, now)
            self._give(self.relay.feed(b"", now))

    def _ended(self, ended: Ended) -> None:
        now = time.monotonic()
        if self._cancellation.requested:
            self.end("cancelled")
            return
        if self._recorder is not None:
            self._recorder.end(ended.cause, ended.detail, now)
        self._give(self.relay.end(ended.cause, now, ended.detail))

    def _give(self, events: Events) -> None:
        relay = self.relay
        self._take(events)
        if relay.ended:
            report, entry = relay.conclusion, self._opening.entry
            self._leave(whole=report is not None and report.complete)
            if report is not None and entry is not None and not relay.done and self._closing is None:
                # what was read together with the end is handed out before anybody waits
                self._closing = close_entry(entry, report)
        elif relay.again is not None:
            self._leave(whole=relay.again.end.status == "truncated")

    def _close(self, wait: float) -> bool:
        entry, answer = self._opening.entry, self._closing
        if entry is None or answer is None or self.relay.done or not answer.come(wait):
            return False
        self._take(self.relay.close(answer.written, entry.id))
        return True

    def _leave(self, *, whole: bool) -> None:
        line, self._line = self._line, None
        if line is None:
            return
        if self._recorder is not None:
            self._recorder.end(None, "", time.monotonic())
        if whole and self._socket is not None:
            self._socket.close()
            line.send(self._socket.outgoing())
        if whole and self._socket is None and line.finish():
            self._client.lines.back(line)
        else:
            self._client.lines.drop(line)

    def _open_again(self) -> None:
        relay, before = self.relay, self._opening
        opening = next_opening(relay, before)
        try:
            self._client.open(opening, self._cancellation)
        except Cancelled:
            self.end("cancelled")
            return
        except StreamweirError as error:
            opening.error = error
        now = time.monotonic()
        if opening.error is not None or opening.connection is None:
            refused = opening.error or APIConnectionError("no connection")
            self._give(relay.give_up(refused, opening.before + opening.attempts, opening.events, now))
            return
        before.failures, before.before, before.attempts = opening.failures, opening.before, opening.attempts
        self._give(relay.reopen(self._client.exchange.attempt(opening), opening.events, now))
        self._attach(opening)
