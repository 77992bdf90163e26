"""One stream through the proxy: the upstream's reads feed the relay and go to the client's transport."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from aiohttp import web

from streamweir.client.connection import Connection
from streamweir.client.upstream import Opening, UpstreamClient
from streamweir.client.wheel import Wheel
from streamweir.events import Released
from streamweir.relay import Cause, Relay
from streamweir.server.reply import StreamReply


class Forward:
    """The sink between an upstream connection and a client's transport.

    The handler sleeps for the whole stream; it is woken at the end, and when the client reads too slowly (`slow`).
    """

    __slots__ = ("_connection", "_held", "_relay", "_reply", "_wake", "_wheel", "slow")

    def __init__(
        self, relay: Relay[bytes], connection: Connection, reply: StreamReply, wheel: Wheel, first: bytes
    ) -> None:
        self._held: bytes | None = first
        self._relay = relay
        self._connection = connection
        self._reply = reply
        self._wheel = wheel
        self._wake: asyncio.Future[None] | None = None
        self.slow = False

    async def run(self, request: web.Request) -> None:
        """Carry the stream to its end. Cancelled (the client left), the upstream is closed at once.

        What the upstream sent together with its head leaves together with ours.
        """
        self._wheel.add(self)
        try:
            self._connection.attach(self)
            await self._reply.open(request)
            held, self._held = self._held or b"", None
            await self._reply.begin(held, last=self._relay.done)
            while not self._relay.done:
                if self.slow:
                    await self._reply.drained()
                    self.slow = False
                    self._relay.resume(time.monotonic())
                    self._connection.resume()
                    continue
                self._wake = asyncio.get_running_loop().create_future()
                await self._wake
        except BaseException:
            self._relay.end("client_gone", time.monotonic())
            self._connection.abort()
            raise
        finally:
            self._wheel.remove(self)

    def data(self, body: bytes) -> None:
        """A read of the upstream's body."""
        self._write(self._relay.feed(body, time.monotonic()))

    def closed(self, cause: Cause, detail: str) -> None:
        """The upstream's answer is over."""
        self._write(self._relay.end(cause, time.monotonic(), detail))

    def due(self, now: float) -> float:
        """For the wheel."""
        return self._relay.due(now)

    def tick(self, now: float) -> None:
        """For the wheel."""
        self._write(self._relay.tick(now))

    def _write(self, out: bytes) -> None:
        if self._held is not None:
            self._held += out
        elif self._relay.done:
            self._reply.finish(out)
        elif out and not self._reply.send(out):
            self.slow = True
            self._connection.pause()
            self._relay.pause(time.monotonic())
            self._awake()
        if self._relay.done:
            report = self._relay.report
            if report is not None and report.complete:
                self._connection.release()
            else:
                self._connection.abort()
            self._awake()

    def _awake(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)
            self._wake = None


class Gather:
    """A sink that keeps the events of a reply which is not streamed to the client."""

    __slots__ = ("_connection", "_done", "_relay", "_wheel", "events")

    def __init__(self, relay: Relay[tuple[Released, ...]], connection: Connection, wheel: Wheel) -> None:
        self._relay = relay
        self._connection = connection
        self._wheel = wheel
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.events: list[Released] = []

    async def run(self) -> None:
        """Carry the stream to its end. Cancelled (the client left), the upstream is closed at once."""
        self._wheel.add(self)
        try:
            self._connection.attach(self)
            await self._done
        except BaseException:
            self._relay.end("client_gone", time.monotonic())
            self._connection.abort()
            raise
        finally:
            self._wheel.remove(self)

    def data(self, body: bytes) -> None:
        """A read of the upstream's body."""
        self._take(self._relay.feed(body, time.monotonic()))

    def closed(self, cause: Cause, detail: str) -> None:
        """The upstream's answer is over."""
        self._take(self._relay.end(cause, time.monotonic(), detail))

    def due(self, now: float) -> float:
        """For the wheel."""
        return self._relay.due(now)

    def tick(self, now: float) -> None:
        """For the wheel."""
        self._take(self._relay.tick(now))

    def _take(self, events: Sequence[Released]) -> None:
        self.events += events
        if self._relay.done and not self._done.done():
            report = self._relay.report
            if report is not None and report.complete:
                self._connection.release()
            else:
                self._connection.abort()
            self._done.set_result(None)


async def forward(
    request: web.Request,
    client: UpstreamClient,
    opening: Opening,
    encode: Callable[[Sequence[Released]], bytes],
    headers: dict[str, str],
    wheel: Wheel,
    *,
    profile: str,
    choices: int = 1,
) -> web.StreamResponse:
    """Stream an opened reply to the client. `opening` must hold a connection."""
    relay, first = client.relay(opening, encode, profile=profile, choices=choices)
    reply = StreamReply(headers)
    connection = opening.connection
    if connection is None:
        raise ValueError("forward needs an opened connection")
    await Forward(relay, connection, reply, wheel, first).run(request)
    return reply


async def gather(
    client: UpstreamClient, opening: Opening, wheel: Wheel, *, profile: str, choices: int = 1
) -> list[Released]:
    """All released events of an opened reply, the terminal one last."""
    relay, first = client.relay(opening, tuple, profile=profile, choices=choices)
    if opening.connection is None:
        raise ValueError("gather needs an opened connection")
    sink = Gather(relay, opening.connection, wheel)
    sink.events += first
    await sink.run()
    return sink.events
