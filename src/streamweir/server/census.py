"""Who is here: every stream from its handshake to its end, whatever its face, and every WebSocket connection."""

from __future__ import annotations

import asyncio
from typing import Any, Final, Literal, Protocol

from aiohttp import web

from streamweir.client.aio.carrier import Carrier
from streamweir.ending import Cause
from streamweir.errors import StreamCancelled
from streamweir.faces import SENTENCES
from streamweir.faces.problems import draining
from streamweir.server.metrics import Metrics

Phase = Literal["opening", "streaming"]
PHASES: Final[tuple[Phase, ...]] = ("opening", "streaming")
"""Before the upstream has accepted the request, and from then on."""


class Leaver(Protocol):
    """A connection that outlives its streams, and is told to go when the server does."""

    def go_away(self) -> None: ...


class Live:
    """One stream. Whoever runs it says when a handshake runs, which carrier has it, and when it is over."""

    __slots__ = ("_carrier", "_cause", "_census", "_handshake")

    def __init__(self, census: Census) -> None:
        self._census = census
        self._carrier: Carrier[Any] | None = None
        self._cause: Cause | None = None
        self._handshake: asyncio.Task[Any] | None = None

    @property
    def phase(self) -> Phase:
        """How far it is."""
        return "opening" if self._carrier is None else "streaming"

    def opens(self) -> None:
        """The present task waits for the upstream from now on; to end the stream is to cancel it."""
        self._handshake = asyncio.current_task()
        if self._cause is not None and self._handshake is not None:
            self._handshake.cancel()

    def opened(self) -> None:
        """The handshake is over, well or not."""
        self._handshake = None

    def withdrawn(self) -> bool:
        """Whether a cancelled handshake was ended from here, and by nobody else; then its task goes on."""
        if self._cause is None or self._handshake is None:
            return False
        return self._handshake.uncancel() == 0

    def carries(self, carrier: Carrier[Any]) -> None:
        """The upstream accepted, and this carries the reply from now on."""
        self._carrier = carrier
        if self._cause is not None:
            # its owner is about to begin it
            asyncio.get_running_loop().call_soon(carrier.end, self._cause)

    def end(self, cause: Cause) -> None:
        """End it from this side, in-band where its answer has begun."""
        if self._cause is not None:
            return
        self._cause = cause
        if self._carrier is not None:
            self._carrier.end(cause)
        elif self._handshake is not None:
            self._handshake.cancel()

    def leave(self) -> None:
        """It is over. Told again, nothing."""
        census = self._census
        if self in census.streams:
            census.streams.discard(self)
            if self._carrier is not None:
                census.metrics.released(self._carrier.relay)
                # whoever was here may be kept for long yet
                self._carrier = None
            if not census.streams:
                census.emptied()


class Census:
    """All that is live. `draining`: nothing new begins."""

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics
        self.streams: set[Live] = set()
        self.sockets: set[Leaver] = set()
        self.draining = False
        self._waiting: asyncio.Future[None] | None = None

    def enter(self) -> Live:
        """A stream begins. Whoever calls this calls its `leave` too."""
        live = Live(self)
        self.streams.add(live)
        return live

    def count(self, phase: Phase) -> int:
        """How many streams are so far."""
        return sum(live.phase == phase for live in self.streams)

    def drain(self) -> None:
        """Let nothing new begin, and send away the connections on which nothing runs."""
        self.draining = True
        for socket in list(self.sockets):
            socket.go_away()

    def end(self, cause: Cause) -> None:
        """End every stream."""
        for live in list(self.streams):
            live.end(cause)

    def check(self) -> None:
        """Raises Problem where nothing new may begin."""
        if self.draining:
            raise draining()

    def emptied(self) -> None:
        """The last one has left: wake who waits for that."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def empty(self) -> None:
        """Wait until no stream is live. For one waiter at a time."""
        if self.streams:
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting


def route_of(request: web.Request) -> str:
    """The route's own path, with names in place of what a client chose."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "unknown"


def withdrawn() -> StreamCancelled:
    """The end of a handshake that the server did not wait for."""
    return StreamCancelled(SENTENCES["server_draining"], code="server_draining")
