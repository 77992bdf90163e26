"""Carries one stream: what the upstream's connection reads feeds the relay, and what comes out goes to `take`.

For the library's iterator and the proxy's transport alike. Where the relay asks for another request behind a reply that
broke off, it is opened here, and the stream goes on over the new connection.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

from streamweir.client.aio.connection import Connection
from streamweir.client.aio.opening import open_first
from streamweir.client.aio.wheel import Wheel
from streamweir.client.opening import CLOSE_WITHIN, Opening, next_opening
from streamweir.client.recording import Head, Recorder
from streamweir.client.sources import Source
from streamweir.ending import Cause
from streamweir.errors import APIConnectionError, StreamFailed, StreamweirError
from streamweir.relay import Relay
from streamweir.report import Report

Out = TypeVar("Out")


class Carrier(Generic[Out]):
    """See the module's docstring. `take` is called once per read, synchronously; `relay.done` tells the last time."""

    __slots__ = (
        "_client",
        "_closing",
        "_connection",
        "_done",
        "_head",
        "_opening",
        "_paused",
        "_recorder",
        "_reopening",
        "_socket",
        "_take",
        "_wheel",
        "relay",
    )

    def __init__(
        self,
        client: Source,
        wheel: Wheel,
        opening: Opening,
        relay: Relay[Out],
        take: Callable[[Out], None],
    ) -> None:
        self._client = client
        self._wheel = wheel
        self._opening = opening
        self.relay = relay
        self._take = take
        self._connection: Connection | None = opening.connection
        self._socket = opening.socket
        self._reopening: asyncio.Task[None] | None = None
        self._closing: asyncio.TimerHandle | None = None
        self._done: asyncio.Future[None] | None = None
        self._paused = False
        self._recorder: Recorder | None = None
        self._head: Head | None = None

    # -- the owner's side ------------------------------------------------------------------------------

    def begin(self) -> None:
        """Carry what the opened connection has, and all that comes."""
        if self.relay.ended:
            self._settle(self.relay)
            return
        self._wheel.add(self)
        self._attach()

    def record(self, recorder: Recorder, head: Head) -> None:
        """Keep what the upstream sends; called before `begin`."""
        self._recorder, self._head = recorder, head

    def pause(self) -> None:
        """Read no more: TCP then holds the upstream back, and its silence does not count."""
        if not self._paused and not self.relay.ended:
            self._paused = True
            self.relay.pause(time.monotonic())
            if self._connection is not None:
                self._connection.pause()

    def resume(self) -> None:
        """Read again."""
        if self._paused:
            self._paused = False
            now = time.monotonic()
            self.relay.resume(now)
            if self._socket is not None:
                self._socket.rest(now)
            if self._connection is not None:
                self._connection.resume()

    def end(self, cause: Cause, detail: str = "") -> None:
        """End the stream from this side; one that has ended stays as it ended."""
        if not self.relay.ended:
            self._give(self.relay.end(cause, time.monotonic(), detail))

    async def over(self) -> None:
        """Wait until a stream that has ended has its record, for `CLOSE_WITHIN` at most; others are not waited for."""
        if self.relay.ended and not self.relay.done:
            self._settle(self.relay)
            self._done = self._done or asyncio.get_running_loop().create_future()
            await asyncio.shield(self._done)

    @property
    def paused(self) -> bool:
        """Whether the upstream is not read at present."""
        return self._paused

    # -- the upstream's side ---------------------------------------------------------------------------

    def data(self, body: bytes) -> None:
        """A read of the answer's body."""
        now = time.monotonic()
        if self._recorder is not None:
            self._recorder.data(body, now)
        self._give(self.relay.feed(body, now))
        if self._socket is not None:
            self._flush()

    def closed(self, cause: Cause, detail: str) -> None:
        """The answer is over."""
        self._connection = None
        if self._recorder is not None:
            self._recorder.end(cause, detail, time.monotonic())
        self._give(self.relay.end(cause, time.monotonic(), detail))

    def due(self, now: float) -> float:
        """For the wheel."""
        due = self.relay.due(now)
        return due if self._socket is None or self._paused else min(due, self._socket.due())

    def tick(self, now: float) -> None:
        """For the wheel."""
        if self._socket is not None and not self._paused:
            if not self._socket.beat(now):
                self._give(self.relay.end("reset", now, "no pong came in time"))
                return
            self._flush()
        self._give(self.relay.tick(now))

    # -- the rest --------------------------------------------------------------------------------------

    def _give(self, out: Out) -> None:
        relay = self.relay
        try:
            self._take(out)
        finally:
            # whatever became of what came out, the upstream must not be left open
            if relay.ended or relay.again is not None:
                self._settle(relay)

    def _settle(self, relay: Relay[Out]) -> None:
        if relay.ended:
            report = relay.conclusion
            self._wheel.remove(self)
            self._leave(whole=report is not None and report.complete)
            self._socket = None
            if self._reopening is not None:
                self._reopening.cancel()
            if not relay.done and self._closing is None and report is not None:
                self._close(report)
            elif self._done is not None and relay.done and not self._done.done():
                self._done.set_result(None)
        elif relay.again is not None and self._reopening is None:
            self._leave(whole=relay.again.end.status == "truncated")
            self._socket = None
            if self._client.closed:
                # its caller is done with all of it, and the record must be there before the store goes
                before = self._opening
                gone = APIConnectionError("the client was closed")
                self._give(relay.give_up(gone, before.before + before.attempts, (), time.monotonic()))
                return
            self._reopening = asyncio.get_running_loop().create_task(self._open_again())

    def _close(self, report: Report) -> None:
        """Write the stream's record; its terminal event leaves behind that, or when it has waited long enough."""
        entry = self._opening.entry
        loop = asyncio.get_running_loop()
        # where not even its beginning could be written, nothing is waited for
        within = CLOSE_WITHIN if entry is not None and entry.opened is not False else 0.0
        self._closing = loop.call_later(within, self._closed, False)
        if entry is not None:
            entry.close(report, self._closed, loop)

    def _closed(self, recorded: bool) -> None:
        entry, relay = self._opening.entry, self.relay
        if self._closing is not None and not relay.done:
            self._closing.cancel()
            self._give(relay.close(recorded, entry.id if entry is not None else None))

    def _attach(self) -> None:
        if self._recorder is not None and self._head is not None:
            now = time.monotonic()
            self._head.correlation_id = self._opening.correlation_id
            self._recorder.head(self._head, now, self._client.secrets)
            if self._socket is not None:
                self._recorder.data(self._socket.unread, now)
        if self._socket is not None:
            # messages that came during the handshake
            self._give(self.relay.feed(b"", time.monotonic()))
        if self._connection is not None:
            self._connection.attach(self)

    def _leave(self, *, whole: bool) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._recorder is not None:
            self._recorder.end(None, "", time.monotonic())
        if not whole:
            connection.abort()
            return
        if self._socket is not None:
            self._socket.close()
            connection.send(self._socket.outgoing())
        connection.release()

    def _flush(self) -> None:
        if self._connection is not None and self._socket is not None and (out := self._socket.outgoing()):
            self._connection.send(out)

    async def _open_again(self) -> None:
        relay, before = self.relay, self._opening
        asked = opening = next_opening(relay, before)
        try:
            opening = await open_first(asked, self._client)
        except StreamweirError as error:
            opening.error = error
        except asyncio.CancelledError:
            # the stream ended meanwhile; the connection may just have been made
            opening = opening.latest
            if opening.connection is not None:
                opening.connection.abort()
            return
        except Exception as error:
            # nobody awaits this task: a mistake of our own must end the stream, not hang it
            opening.error = StreamFailed(f"an error inside streamweir ({type(error).__name__})", code="stream_failed")
        self._reopening = None
        if relay.ended:
            if opening.connection is not None:
                opening.connection.abort()
            return
        now = time.monotonic()
        if opening.error is not None or opening.connection is None:
            refused = opening.error or APIConnectionError("no connection")
            self._give(relay.give_up(refused, opening.before + opening.attempts, opening.events, now))
            return
        self._client = opening.source or self._client
        self._connection, self._socket = opening.connection, opening.socket
        # what follows a reply is made of the request that was first asked, unless another profile was asked instead
        same = opening is asked and (relay.again is None or relay.again.kind != "fallback")
        self._opening = msgspec.structs.replace(opening, request=before.request) if same else opening
        self._give(relay.reopen(self._client.exchange.attempt(opening), opening.events, now))
        self._attach()
        if self._paused and self._connection is not None:
            relay.pause(now)
            self._connection.pause()
