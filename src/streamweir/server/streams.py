"""One stream through the proxy: the upstream's reads feed the relay and go to the client's transport."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aiohttp import web

from streamweir.client.aio.carrier import Carrier
from streamweir.client.aio.opening import open_first
from streamweir.client.aio.wheel import Wheel
from streamweir.client.opening import Opening
from streamweir.ending import Cause
from streamweir.errors import RequestError, StreamFailed
from streamweir.events import Released
from streamweir.faces import HEARTBEAT, STREAM_HEADERS
from streamweir.server.census import Live, withdrawn
from streamweir.server.patience import LOOK, Patience
from streamweir.server.reply import StreamReply
from streamweir.server.shared import FOUND, Asked, Serving, Shared, answer_headers, asked_of

log = logging.getLogger("streamweir.server")


class Downstream:
    """A client's side of one stream, from the moment it asked.

    The handler sleeps for the whole stream; it is woken at the end, and when the client reads too slowly. The wheel
    comes by when the answer must be committed though the upstream is silent, for each heartbeat after that, and to see
    whether the client reads: one that takes nothing for `slow_client` seconds is dropped.
    """

    __slots__ = (
        "_beat_at", "_carrier", "_every", "_held", "_patience", "_reply", "_request", "_slow", "_wake", "_wheel",
        "open",
    )  # fmt: skip

    def __init__(self, request: web.Request, reply: StreamReply, serving: Serving, wheel: Wheel, at: float) -> None:
        """`at`: when it was asked."""
        self._request = request
        self._wheel = wheel
        self._reply = reply
        self._beat_at = at + serving.commit_after
        self._every = serving.heartbeat
        self._patience = Patience(serving.slow_client)
        self.open = False
        """Whether the answer has begun."""
        self._held: bytes | None = None
        self._carrier: Carrier[bytes] | None = None
        self._wake: asyncio.Future[None] | None = None
        self._slow = False

    # -- for the wheel ---------------------------------------------------------------------------------

    def due(self, now: float) -> float:
        """The next beat, before there is an answer the moment at which it must begin; sooner where something waits."""
        return min(self._beat_at, now + LOOK) if self._slow or self._patience.watching else self._beat_at

    def tick(self, now: float) -> None:
        """Begin the answer though nothing is known, or say that we are still here; drop who does not read."""
        if self.open and self._patience.gone(*self._reply.taken, now):
            self._drop()
        if now < self._beat_at:
            return
        self._beat_at = now + self._every
        if not self.open:
            self._begin()
        elif not self._slow:
            self._reply.send(HEARTBEAT)

    def _drop(self) -> None:
        if self._carrier is not None and not self._carrier.relay.done:
            # in-band, behind what waits, so that a client that wakes up sees it
            self._carrier.end("slow_client")
        else:
            self._reply.abort()

    # -- for the handler -------------------------------------------------------------------------------

    async def run(self, carrier: Carrier[bytes], first: bytes) -> None:
        """Carry the stream to its end. Cancelled (the client left), the upstream is closed at once.

        What the upstream sent together with its head leaves together with ours.
        """
        self._carrier = carrier
        relay = carrier.relay
        self._held = first
        try:
            if not relay.done:
                carrier.begin()
            self._begin()
            while not relay.done:
                self._wake = wake = asyncio.get_running_loop().create_future()
                if not self._slow:
                    await wake
                elif await self._drained(wake):
                    self._slow = False
                    carrier.resume()
        except BaseException:
            carrier.end("client_gone")
            raise
        finally:
            # it holds this: without it what the stream had goes at once, and needs no collector
            self._carrier = None

    async def _drained(self, wake: asyncio.Future[None]) -> bool:
        """Wait until the client has read enough. False where the stream ended first."""
        drained = asyncio.get_running_loop().create_task(self._reply.drained())
        drained.add_done_callback(lambda task: task.cancelled() or task.exception())
        try:
            await asyncio.wait((drained, wake), return_when=asyncio.FIRST_COMPLETED)
        finally:
            drained.cancel()
        if not drained.done():
            return False
        drained.result()
        return True

    def take(self, out: bytes) -> None:
        """Bytes for the client."""
        carrier = self._carrier
        done = carrier is not None and carrier.relay.done
        if self._held is not None:
            self._held += out
        elif done:
            self._reply.finish(out)
        elif out and not self._reply.send(out) and carrier is not None:
            self._slow = True
            carrier.pause()
            self._wheel.add(self)
            self._awake()
        if done:
            self._awake()

    def _begin(self) -> None:
        held, self._held = self._held or b"", None
        done = self._carrier is not None and self._carrier.relay.done
        if not self.open:
            self._reply.begin(self._request, held, last=done)
            self.open = self._request[FOUND].begun = True
            beat_at = time.monotonic() + self._every
            if beat_at < self._beat_at:
                self._beat_at = beat_at
                self._wheel.add(self)
        elif done:
            self._reply.finish(held)
        else:
            self._reply.send(held)

    def _awake(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)
            self._wake = None


async def stream(
    request: web.Request,
    opening: Opening,
    encode: Callable[[Sequence[Released]], bytes],
    headers: Mapping[str, str] | None = None,
) -> web.StreamResponse:
    """Open the upstream, and stream its reply to the client. Raises StreamweirError where it is refused first.

    200 goes out at the upstream's own status, or after `commit_after`; a refusal behind that is in-band. Raises Problem
    where there is no slot for it.
    """
    found = request[FOUND]
    shared = found.shared
    place = await shared.slots.take(found.who)
    try:
        return await _stream(shared, request, opening, encode, headers or {})
    finally:
        shared.slots.leave(place)


async def _stream(
    shared: Shared,
    request: web.Request,
    opening: Opening,
    encode: Callable[[Sequence[Released]], bytes],
    headers: Mapping[str, str],
) -> web.StreamResponse:
    asked = asked_of(request)
    reply = StreamReply({**STREAM_HEADERS, **answer_headers(request), **headers})
    downstream = Downstream(request, reply, shared.serving, shared.wheel, opening.called_at)
    shared.wheel.add(downstream)
    carrier: Carrier[bytes] | None = None
    live = shared.census.enter()
    try:
        opened = await opened_or_told(shared, request, opening, live, asked)
        relay, first = opened.source.relay(opened, encode)
        carrier = Carrier(opened.source, shared.wheel, opened, relay, downstream.take)
        if not downstream.open:
            if opened.error is not None:
                raise opened.error
            reply.fields.update(id_headers(opened))
        live.carries(carrier)
        await downstream.run(carrier, first)
    except RequestError as error:
        if carrier is not None or not downstream.open:
            raise
        reply.finish(refused(opening, error, encode))
    finally:
        shared.wheel.remove(downstream)
        try:
            if carrier is not None:
                await carrier.over()
        finally:
            live.leave()
            shared.tell(carrier.relay.conclusion if carrier is not None else None, request, asked)
    return reply


async def opened_or_told(shared: Shared, request: web.Request, opening: Opening, live: Live, asked: Asked) -> Opening:
    """The handshake that ended it, accepted or refused. Cancelled on the way, its report is told."""
    live.opens()
    try:
        return await open_first(opening, opening.source)
    except asyncio.CancelledError:
        latest = opening.latest
        if live.withdrawn():
            latest.error = withdrawn()
            return latest
        carrier = ended(shared, latest, "client_gone")
        try:
            await carrier.over()
        finally:
            shared.tell(carrier.relay.conclusion, request, asked)
        raise
    except RequestError:
        raise
    except Exception as error:
        # a mistake of our own ends the stream, and its record with it
        log.exception("a stream failed before it began")
        latest = opening.latest
        latest.error = StreamFailed(f"an error inside streamweir ({type(error).__name__})", code="stream_failed")
        return latest
    finally:
        live.opened()


def ended(shared: Shared, opening: Opening, cause: Cause) -> Carrier[tuple[Released, ...]]:
    """What carries a stream that ended before the upstream accepted it, and is sent to nobody."""
    relay, _ = opening.source.relay(opening, tuple)
    carrier = Carrier(opening.source, shared.wheel, opening, relay, lambda _: None)
    carrier.end(cause)
    return carrier


def refused(opening: Opening, error: RequestError, encode: Callable[[Sequence[Released]], Any]) -> Any:
    """What a request that is wrong becomes where its answer has begun. Nothing was sent, and nothing is recorded."""
    opening.error, opening.entry = error, None
    _, out = opening.source.relay(opening, encode)
    return out


def id_headers(opening: Opening) -> dict[str, str]:
    """The upstream's own name for a stream, by which it is found in its logs."""
    return {"ININ-Correlation-Id": opening.correlation_id} if opening.correlation_id is not None else {}
