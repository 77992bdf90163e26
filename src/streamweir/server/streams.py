"""One stream through the proxy: the upstream's reads feed the relay and go to the client's transport."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from aiohttp import web

from streamweir.client.aio.carrier import Carrier
from streamweir.client.aio.upstream import UpstreamClient
from streamweir.client.aio.wheel import Wheel
from streamweir.client.exchange import Opening
from streamweir.events import Released
from streamweir.server.reply import StreamReply


class Forward:
    """Between a carrier and a client's transport.

    The handler sleeps for the whole stream; it is woken at the end, and when the client reads too slowly (`slow`).
    """

    __slots__ = ("_carrier", "_held", "_reply", "_wake", "slow")

    def __init__(self, reply: StreamReply, first: bytes) -> None:
        self._held: bytes | None = first
        self._reply = reply
        self._carrier: Carrier[bytes] | None = None
        self._wake: asyncio.Future[None] | None = None
        self.slow = False

    async def run(self, request: web.Request, carrier: Carrier[bytes]) -> None:
        """Carry the stream to its end. Cancelled (the client left), the upstream is closed at once.

        What the upstream sent together with its head leaves together with ours.
        """
        self._carrier = carrier
        relay = carrier.relay
        try:
            carrier.begin()
            await self._reply.open(request)
            held, self._held = self._held or b"", None
            await self._reply.begin(held, last=relay.done)
            while not relay.done:
                if self.slow:
                    await self._reply.drained()
                    self.slow = False
                    carrier.resume()
                    continue
                self._wake = asyncio.get_running_loop().create_future()
                await self._wake
        except BaseException:
            carrier.end("client_gone")
            raise

    def take(self, out: bytes) -> None:
        """Bytes for the client."""
        carrier = self._carrier
        if self._held is not None:
            self._held += out
        elif carrier is not None and carrier.relay.done:
            self._reply.finish(out)
        elif out and not self._reply.send(out) and carrier is not None:
            self.slow = True
            carrier.pause()
            self._awake()
        if carrier is not None and carrier.relay.done:
            self._awake()

    def _awake(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)
            self._wake = None


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
    withdraw: bool = False,
) -> web.StreamResponse:
    """Stream an opened reply to the client."""
    relay, first = client.relay(opening, encode, profile=profile, choices=choices, withdraw=withdraw)
    reply = StreamReply(headers)
    sink = Forward(reply, first)
    await sink.run(request, Carrier(client, wheel, opening, relay, sink.take))
    return reply


async def gather(
    client: UpstreamClient, opening: Opening, wheel: Wheel, *, profile: str, choices: int = 1
) -> list[Released]:
    """All released events of an opened reply, the terminal one last."""
    relay, first = client.relay(opening, tuple, profile=profile, choices=choices)
    events: list[Released] = list(first)
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def take(more: tuple[Released, ...]) -> None:
        events.extend(more)
        if relay.done and not done.done():
            done.set_result(None)

    carrier = Carrier(client, wheel, opening, relay, take)
    try:
        carrier.begin()
        await done
    except BaseException:
        carrier.end("client_gone")
        raise
    return events
