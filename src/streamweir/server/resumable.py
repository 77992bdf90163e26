"""A stream that outlives its connections: it is carried into a log, and whoever listens is sent what the log has.

The producer is woken by the upstream and never by a listener: what comes is kept first and sent then. One that nobody
listens to ends when the resume window is over, and is forgotten when it has been over for as long.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final, Literal, Protocol

from aiohttp import web

from streamweir.client.opening import Opening
from streamweir.ending import Cause
from streamweir.events import Released
from streamweir.resumption.log import Append, Log
from streamweir.server.admission import Place
from streamweir.server.production import Frames, Production
from streamweir.server.reply import HIGH_WATER
from streamweir.server.shared import SHARED, Shared, asked_of

TO_ATTACH: Final = 10.0
"""Seconds in which the first reader of a stream may come, however short the window is."""

HELD_LOOK: Final = 1.0
"""Seconds between looks whether the logs have room again, where nobody listens to a stream that is held back."""


class Listener(Protocol):
    """Who is sent a stream. `after` is the last position that it has, `stuck` says that it reads too slowly."""

    after: int
    stuck: bool

    def take(self, first: int, data: bytes) -> None:
        """What was just put into the log, from this position to its end; whoever is behind has it from there, later."""
        ...

    def catch_up(self) -> None:
        """Read the log, as far as the client reads."""
        ...


class Resumable:
    """See the module's docstring."""

    __slots__ = (
        "_asked",
        "_came",
        "_epoch",
        "_held",
        "_kept",
        "_listeners",
        "_logs",
        "_place",
        "_production",
        "_read",
        "_shared",
        "_window",
        "acknowledged",
        "capability",
        "chat",
        "delivered",
        "digest",
        "id",
        "log",
        "owner",
        "wire",
    )

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
        self._logs = self._shared.kept.logs
        self._window = self._shared.serving.resume_window
        self._epoch = self.log.take_over(time.monotonic())
        self._listeners: tuple[Listener, ...] = ()
        self._came = self._read = False
        self._kept = True
        self._held = False
        self._place = place
        live, wheel = self._shared.census.enter(), self._shared.wheel
        self._production: Production | None = Production(opening, frames, self._take, self.settle, live, wheel)
        self._shared.wheel.add(self)
        self._shared.kept.streams.keep(self)

    # -- for those who listen --------------------------------------------------------------------------

    @property
    def over(self) -> bool:
        """Whether the stream has ended; its log is there for a while still."""
        return self.log.ended

    async def opened(self, within: float) -> Opening | None:
        """The handshake by which the upstream took the request or refused it, where that was within so many seconds."""
        if self._production is None:
            return None
        opened = self._production.opened
        await asyncio.wait([opened], timeout=within)
        return opened.result() if opened.done() else None

    @property
    def resumable(self) -> bool:
        """Whether it outlives its readers."""
        return self._window > 0

    def listen(self, listener: Listener) -> None:
        """Send this one too, what there is at once."""
        self._came = self._read = True
        self._listeners += (listener,)
        self._shared.kept.waiting.discard(self)
        listener.catch_up()
        self.settle()

    def leave(self, listener: Listener) -> None:
        """It listens no more; told again, nothing."""
        if listener not in self._listeners:
            return
        self._listeners = tuple(one for one in self._listeners if one is not listener)
        self.log.attend(listener.after, time.monotonic())
        if not self._listeners:
            self._await()
            if self._kept:
                # sooner than it was to come by
                self._shared.wheel.add(self)
            if not self._window and not self.over:
                self.end("client_gone")
        self.settle()

    def settle(self) -> None:
        """Read the upstream or hold it back: it follows the fastest of those who listen, or the log's own bound."""
        full = self.log.size > self._logs.each
        if full and self._listeners:
            self._logs.trim(self.log, max(one.after for one in self._listeners))
        hold = all(one.stuck for one in self._listeners) if self._listeners else full
        carrier = self._production.carrier if self._production is not None else None
        if carrier is None or hold == self._held:
            return
        self._held = hold
        if hold:
            carrier.pause()
            self._shared.wheel.add(self)
        else:
            carrier.resume()

    def end(self, cause: Cause) -> None:
        """End the stream, whoever listens; one that has ended stays as it ended."""
        self.log.cancel()
        if self._production is not None:
            self._production.end(cause)

    # -- for the wheel ---------------------------------------------------------------------------------

    def due(self, now: float) -> float:
        """When the window is over; sooner where the upstream is held back, and there may be room again."""
        if self._listeners:
            return float("inf")
        log = self.log
        until = (max(log.read_at, log.heard_at) if log.ended else log.read_at) + self._grace
        return min(until, now + HELD_LOOK) if self._held else until

    def tick(self, now: float) -> None:
        """Nobody came back within the window: cancel the stream, or forget one that has ended."""
        if self._held:
            self.settle()
        log = self.log
        if self._listeners:
            return
        if log.over(now, self._grace):
            self.forget()
        elif not (log.ended or log.cancelled) and log.unattended(now, self._grace):
            self.end("client_gone")

    def forget(self) -> None:
        """Keep nothing of it any more; again: nothing, whoever still reads it."""
        if self._kept:
            self._kept = False
            self._shared.wheel.remove(self)
            self._shared.kept.streams.forget(self)
            self._logs.forget(self.log)

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
        self._await()

    def _await(self) -> None:
        if not (self._listeners or self.over):
            self._shared.kept.waiting.add(self)

    @property
    def _grace(self) -> float:
        return self._window if self._came else max(self._window, TO_ATTACH)

    # -- for what produces it --------------------------------------------------------------------------

    def _take(self, entries: Frames) -> None:
        """What one read of the upstream becomes: kept, then sent."""
        log, production = self.log, self._production
        if production is None:
            return
        last = production.relay.done
        if not (entries or last):
            return
        first = log.next
        if self._logs.full:
            # before it has ended itself: who was away for a moment still finds it
            self._shared.kept.make_room()
        look = self._logs.append(log, Append(self._epoch, first, entries, last), time.monotonic())
        if listeners := self._listeners:
            data = entries[0] if len(entries) == 1 else b"".join(entries)
            for listener in listeners:
                if len(data) <= HIGH_WATER:
                    listener.take(first, data)
                else:
                    listener.catch_up()
                look = look or listener.stuck
        if last:
            self._ended(production)
        elif look:
            self.settle()

    def _ended(self, production: Production) -> None:
        # from here on only the log is wanted, and a prompt may be megabytes that no bound counts
        self._production = None
        self._shared.kept.waiting.discard(self)
        production.live.leave()
        self._shared.slots.leave(self._place)
        if production.relay.report is not None:
            self._shared.ended(production.relay.report, self._asked)
