"""A reply that is not streamed to its client: all of it, once it is there."""

from __future__ import annotations

import asyncio

from aiohttp import web

from streamweir.client.aio.carrier import Carrier
from streamweir.client.opening import Opening
from streamweir.events import Released
from streamweir.server.census import Live
from streamweir.server.shared import FOUND, Asked, Shared, asked_of
from streamweir.server.streams import opened_or_told


async def gather(request: web.Request, opening: Opening) -> tuple[list[Released], Opening]:
    """All released events of a reply, the terminal one last. Raises StreamweirError or Problem where it is refused."""
    found = request[FOUND]
    shared, asked = found.shared, asked_of(request)
    place = await shared.slots.take(found.who)
    live = shared.census.enter()
    try:
        opened = await opened_or_told(shared, request, opening, live, asked)
        return await _gathered(shared, request, opened, live, asked), opened
    finally:
        live.leave()
        shared.slots.leave(place)


async def _gathered(shared: Shared, request: web.Request, opened: Opening, live: Live, asked: Asked) -> list[Released]:
    relay, first = opened.source.relay(opened, tuple)
    events: list[Released] = list(first)
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def take(more: tuple[Released, ...]) -> None:
        events.extend(more)
        if relay.done and not done.done():
            done.set_result(None)

    carrier = Carrier(opened.source, shared.wheel, opened, relay, take)
    try:
        if opened.error is not None:
            raise opened.error
        live.carries(carrier)
        try:
            carrier.begin()
            if not relay.done:
                await done
        except BaseException:
            carrier.end("client_gone")
            raise
    finally:
        try:
            await carrier.over()
        finally:
            shared.tell(relay.conclusion, request, asked)
    return events
