"""A stream that outlives its connections: it is carried into a log, and whoever listens is sent what the log has.

The producer is woken by the upstream and never by a listener: what comes is kept first and sent then. One that nobody
listens to ends when the resume window is over, and is forgotten when it has been over for as long.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Final, Literal, Protocol

from aiohttp import web

from streamweir.client.aio.carrier import Carrier
from streamweir.client.aio.opening import open_first
from streamweir.client.opening import Opening
from streamweir.ending import Cause
from streamweir.errors import RequestError, StreamFailed, StreamweirError
from streamweir.events import Released
from streamweir.relay import Relay
from streamweir.resumption.log import Log
from streamweir.resumption.positions import Producer
from streamweir.server.admission import Place
from streamweir.server.census import withdrawn
from streamweir.server.shared import SHARED, Shared, asked_of

log = logging.getLogger("streamweir.server")

Frames = list[bytes]
"""What a face makes of released events, an entry for each position."""

TO_ATTACH: Final = 10.0
"""Seconds in which the first reader of a stream may come, however short the window is."""


HELD_LOOK: Final = 1.0
"""Seconds between looks whether the logs have room again, where nobody listens to a stream that is held back."""


class Listener(Protocol):
    """Who is sent a stream. `after` is the last position that it has, `stuck` says that it reads too slowly."""

    after: int
    stuck: bool

    def wake(self) -> None:
        """There is more in the log, or nothing more will be."""
        ...


class Resumable:
    """See the module's docstring."""

    def __init__(
        self,
        request: web.Request,
        opening: Opening,
        frames: Callable[[Sequence[Released]], Frames],
        *,
        id: str,
        owner: str | None,
        capability: str,
        wire: Literal["sse", "ws", "ai-sdk"],
        place: Place,
        chat: str | None = None,
    ) -> None:
        """Begin: the upstream is asked at once. `wire` names the face whose frames the log keeps.

        `place` is held until the stream has ended.
        """
        self.id = id
        self.owner = owner
        self.capability = capability
        self.wire = wire
        self.chat = chat
        self.log = Log()
        self.digest = b""
        """That of the request which made it, where the same may come again."""
        self.acknowledged = b""
        """What a WebSocket's client is told of it first."""
        self.delivered = False
        """Whether somebody was sent the end."""
        # not the request itself: it has all that the client sent
        self._asked = asked_of(request)._replace(key=owner)
        self._shared: Shared = request.app[SHARED]
        self._frames = frames
        self._window = window = self._shared.serving.resume_window
        now = time.monotonic()
        self._until: float | None = now + max(window, TO_ATTACH)
        self._producer = Producer(self.log.take_over(now))
        self._listeners: set[Listener] = set()
        self._opened: asyncio.Future[Opening] | None = asyncio.get_running_loop().create_future()
        self._came = self._read = False
        self._kept = True
        self._carrier: Carrier[Frames] | None = None
        self._relay: Relay[Frames] | None = None
        self._held = False
        self._place = place
        self._live = self._shared.census.enter()
        self._task = asyncio.get_running_loop().create_task(self._open(opening))
        self._cause: Cause = "client_gone"
        self._shared.wheel.add(self)
        self._shared.kept.streams.keep(self)

    # -- for those who listen --------------------------------------------------------------------------

    @property
    def over(self) -> bool:
        """Whether the stream has ended; its log is there for a while still."""
        return self.log.ended

    async def opened(self, within: float) -> Opening | None:
        """The handshake by which the upstream took the request or refused it, where that was within so many seconds."""
        opened = self._opened
        if opened is None:
            return None
        await asyncio.wait([opened], timeout=within)
        return opened.result() if opened.done() else None

    @property
    def resumable(self) -> bool:
        """Whether it outlives its readers."""
        return self._window > 0

    def listen(self, listener: Listener) -> None:
        """Send this one too; it is woken at once."""
        self._came = self._read = True
        self._listeners.add(listener)
        self._until = None
        listener.wake()
        self.settle()

    def leave(self, listener: Listener) -> None:
        """It listens no more."""
        self._listeners.discard(listener)
        if not self._listeners:
            self._wait()
            if not self._window and not self.over:
                self.end("client_gone")
        self.settle()

    def settle(self) -> None:
        """Read the upstream or hold it back: it follows the fastest of those who listen, or the log's own bound."""
        logs = self._shared.kept.logs
        full = self.log.size > logs.each
        if full and self._listeners:
            logs.trim(self.log, max(one.after for one in self._listeners))
        hold = all(one.stuck for one in self._listeners) if self._listeners else full
        carrier = self._carrier
        if carrier is None or self.over or hold == self._held:
            return
        self._held = hold
        if hold:
            carrier.pause()
            self._shared.wheel.add(self)
        else:
            carrier.resume()

    def end(self, cause: Cause) -> None:
        """End the stream, whoever listens; one that has ended stays as it ended."""
        self._cause = cause
        if self._carrier is not None:
            self._carrier.end(cause)
        elif not self.over:
            # behind its first step, before which nothing of it would run that says how it ended
            asyncio.get_running_loop().call_soon(self._task.cancel)

    # -- for the wheel ---------------------------------------------------------------------------------

    def due(self, now: float) -> float:
        """When the window is over; sooner where the upstream is held back, and there may be room again."""
        until = float("inf") if self._until is None else self._until
        return min(until, now + HELD_LOOK) if self._held and self.unattended else until

    def tick(self, now: float) -> None:
        """Nobody came back within the window: cancel the stream, or forget one that has ended."""
        if self._held:
            self.settle()
        if self._until is None or now < self._until:
            return
        if self.over:
            self.forget()
        else:
            self._until = now + self._window
            self.end("client_gone")

    def forget(self) -> None:
        """Keep nothing of it any more; again: nothing, whoever still reads it."""
        if self._kept:
            self._kept = False
            self._until = None
            self._shared.wheel.remove(self)
            self._shared.kept.streams.forget(self)
            self._shared.kept.logs.forget(self.log)

    @property
    def unattended(self) -> bool:
        """Whether nobody is being sent it."""
        return not self._listeners

    @property
    def abandoned(self) -> bool:
        """Whether whoever read it has left."""
        return self._came and not self._listeners

    @property
    def unread(self) -> bool:
        """Whether nobody was ever sent anything of it."""
        return not self._read

    def abandon(self) -> None:
        """Whoever was to read it has left before there was anything to read."""
        self._came = True

    def _wait(self) -> None:
        if not self._kept:
            return
        self._until = time.monotonic() + (self._window if self._came else max(self._window, TO_ATTACH))
        # sooner than it was to come by
        self._shared.wheel.add(self)

    # -- the producer ----------------------------------------------------------------------------------

    async def _open(self, opening: Opening) -> None:
        self._live.opens()
        try:
            opened = await open_first(opening, opening.source)
            self._live.opened()
            relay = self._relay_of(opened)
            if not relay.done:
                self._carrier = Carrier(opened.source, self._shared.wheel, opened, relay, self._take)
                self._live.carries(self._carrier)
                self._carrier.begin()
                self.settle()
        except RequestError as error:
            opened = self._refused(opening, error)
        except asyncio.CancelledError:
            opened, cause = opening.latest, self._cause
            if self._live.withdrawn():
                opened.error, cause = withdrawn(), "draining"
            if opened.connection is not None:
                opened.connection.abort()
                opened.connection = None
            relay = self._relay_of(opened)
            if not relay.done:
                self._take(relay.end(cause, time.monotonic()))
        except Exception as error:
            # nobody awaits this task: a mistake of our own must end the stream, not hang it
            log.exception("a stream failed before it began")
            failed = StreamFailed(f"an error inside streamweir ({type(error).__name__})", code="stream_failed")
            opened = self._refused(opening.latest, failed)
        if self._opened is not None:
            self._opened.set_result(opened)
        if self.over:
            self._release()

    def _release(self) -> None:
        # from here on only the log is wanted, and a prompt may be megabytes that no bound counts
        self._opened = self._carrier = self._relay = None

    def _refused(self, opening: Opening, error: StreamweirError) -> Opening:
        opening.error = error
        self._relay_of(opening)
        return opening

    def _relay_of(self, opening: Opening) -> Relay[Frames]:
        relay: Relay[Frames]
        first: Frames
        relay, first = opening.source.relay(opening, self._frames)
        self._relay = relay
        self._take(first)
        return relay

    def _take(self, entries: Frames) -> None:
        """What one read of the upstream becomes: kept, then sent."""
        relay = self._relay
        last = relay is not None and relay.done
        if self.log.ended or not (entries or last):
            return
        append = self._producer.offer(entries, last=last)
        if self._shared.kept.logs.full:
            self._shared.kept.make_room()
        self._producer.acknowledged(self._shared.kept.logs.append(self.log, append, time.monotonic()))
        for listener in tuple(self._listeners):
            listener.wake()
        if last and relay is not None:
            self._live.leave()
            self._shared.slots.leave(self._place)
            if self._until is not None:
                # the window of what nobody saw end begins with its end
                self._wait()
            if relay.report is not None:
                self._shared.ended(relay.report, self._asked)
            if self._task.done():
                self._release()
        else:
            self.settle()
