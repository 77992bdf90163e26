"""`GET /ws`: the browsers' WebSocket. aiohttp reads frames; streams are written to the transport, once a read."""

from __future__ import annotations

import asyncio
import time
from typing import Final

import msgspec
from aiohttp import WSMsgType, web

from streamweir.client.aio.carrier import Carrier
from streamweir.client.aio.upstream import UpstreamClient
from streamweir.client.exchange import Exchange
from streamweir.client.opening import Opening
from streamweir.errors import ContextWindowExceeded, RequestError, StreamweirError
from streamweir.faces import browser_ws
from streamweir.faces.browser_ws import HEARTBEAT, PONG, SUBPROTOCOL, BrowserWs, Init
from streamweir.faces.problems import Problem
from streamweir.relay import Relay
from streamweir.server.gate import inbound_of, still, use_ticket
from streamweir.server.keys import NOBODY, Who
from streamweir.server.patience import Patience
from streamweir.server.reply import HIGH_WATER
from streamweir.server.shared import SHARED, answer_headers, opening_of, who_of
from streamweir.server.streams import opened_or_told, refused

LOOK: Final = 0.05
"""Seconds between looks at a client that reads too slowly."""

TOO_MUCH: Final = 16 * HIGH_WATER
"""Bytes that may wait for a client before its connection is cut."""

DEAD_AFTER: Final = 30.0
"""Seconds between protocol pings; a peer that answers none is gone, whatever its TCP says."""


async def websocket(request: web.Request) -> web.StreamResponse:
    """Serve one connection: one stream at a time, as many as its client likes."""
    shared = request.app[SHARED]
    if request.headers.get("Upgrade", "").lower() != "websocket":
        raise Problem(426, "upgrade_required", "this route speaks WebSocket: connect with ws:// or wss://")
    offered = request.headers.get("Sec-WebSocket-Protocol")
    if offered is not None and SUBPROTOCOL not in [one.strip() for one in offered.split(",")]:
        # a browser fails without a selection, and what is offered beside it is a secret
        raise Problem(400, "subprotocol_missing", f"offer the subprotocol {SUBPROTOCOL} beside the key or ticket")
    socket = web.WebSocketResponse(
        protocols=(SUBPROTOCOL,), compress=False, heartbeat=DEAD_AFTER, max_msg_size=shared.body_limit
    )
    socket.headers.update(answer_headers(request))
    await shared.count_tokens()
    await socket.prepare(request)
    inbound = inbound_of(request)
    if inbound is not None:
        inbound.upgraded()
    session = Session(request)
    shared.wheel.add(session)
    try:
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await session.said(message.data)
            elif message.type is WSMsgType.BINARY:
                session.write(browser_ws.refusal("invalid_handshake", "", "messages are JSON texts, not binary"))
    finally:
        shared.wheel.remove(session)
        await session.leave()
    return socket


class Session:
    """One connection: the stream that runs on it, and what its client may do."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self._shared = request.app[SHARED]
        self._who = who_of(request)
        self._serving = self._shared.serving
        self._streams = 0
        self._task: asyncio.Task[None] | None = None
        self._carrier: Carrier[bytes] | None = None
        self._slow = False
        self._dropped = False
        self._written = 0
        self._patience = Patience(self._serving.slow_client)
        self._over = False
        self._every = self._shared.serving.heartbeat
        self._beat_at = time.monotonic() + self._every

    # -- for the wheel ---------------------------------------------------------------------------------

    def due(self, now: float) -> float:
        """The next heartbeat; sooner where we wait for the client to read."""
        return now + LOOK if self._slow or self._dropped else self._beat_at

    def tick(self, now: float) -> None:
        """Beat, or see whether the client has read enough; drop one that reads nothing."""
        if self._slow or self._dropped:
            transport = self._request.transport
            waiting = transport.get_write_buffer_size() if transport is not None else 0
            if self._slow and waiting <= HIGH_WATER:
                self._slow = False
                if self._carrier is not None:
                    self._carrier.resume()
            self._dropped = self._dropped and waiting > 0
            if self._patience.gone(self._written, waiting, now):
                self._drop()
        elif now >= self._beat_at:
            self._beat_at = now + self._every
            self.write(HEARTBEAT)

    def _drop(self) -> None:
        if self._carrier is not None and not self._carrier.relay.done:
            # in-band, behind what waits, so that a client that wakes up sees it
            self._dropped = True
            self._carrier.end("slow_client")
        elif self._request.transport is not None:
            self._request.transport.abort()

    # -- what the client says --------------------------------------------------------------------------

    async def said(self, text: str) -> None:
        """One message."""
        try:
            message = browser_ws.read_message(text)
        except RequestError as error:
            self.write(browser_ws.refusal(error.code or "invalid_request", error.message, error.message))
            return
        if isinstance(message, Init):
            await self._begin(message)
        elif message == "ping":
            self.write(PONG)
        elif message == "cancel":
            self._cancel()

    async def _begin(self, init: Init) -> None:
        if self._task is not None and not self._task.done() and not self._over:
            self.write(browser_ws.refusal("busy", "a stream runs on this connection: cancel it, or wait for its end"))
            return
        try:
            who = self._let_in(init)
            opening = await opening_of(self._request, init.wanted, withdraw=True, who=who)
            self._streams += 1
            if self._streams > 1:
                name = f"{opening.request.request_id}-{self._streams}"
                rename(opening, name)
            exchange: Exchange = opening.source.exchange
            count = exchange.prompt_tokens(opening)
        except ContextWindowExceeded as error:
            text = f"Context window exceeded: {error.tokens} > {error.limit}"
            self.write(browser_ws.refusal("context_window_exceeded", text, error.message))
        except RequestError as error:
            code = error.code if error.code == "prompt_blocked" else "invalid_request"
            self.write(browser_ws.refusal(code, error.message, error.message))
        except RecursionError:
            self.write(browser_ws.refusal("invalid_request", "", "the request is nested too deeply"))
        except Problem as problem:
            self.write(browser_ws.refusal(problem.code, problem.message))
        except StreamweirError as error:
            self.write(browser_ws.refusal("handshake_failed", error.message))
        else:
            model, name = opening.profile or "", opening.request.request_id
            taken = browser_ws.acknowledgement(tokens=count, model=model, stream_id=name)
            self._over, self._carrier = False, None
            self._task = asyncio.get_running_loop().create_task(self._admitted(who, opening, model, taken))

    def _let_in(self, init: Init) -> Who:
        serving = self._shared.serving
        if serving is not self._serving:
            # the configuration was reloaded: a key may have gone, or the first may have come
            self._serving = serving
            self._who = still(self._request, self._who, serving)
        if self._who is not NOBODY:
            return self._who
        if init.ticket is None:
            raise Problem(401, "key_missing", "an API key or a ticket is needed to ask here")
        self._who = use_ticket(self._request, init.ticket)
        return self._who

    def _cancel(self) -> None:
        """The client wants no more. What ends the stream says so to it."""
        if self._carrier is not None:
            self._carrier.end("client_gone")
        elif self._task is not None:
            # behind its first step, before which nothing of it would run that says how it ended
            asyncio.get_running_loop().call_soon(self._task.cancel)

    # -- what it gets ----------------------------------------------------------------------------------

    def write(self, frames: bytes) -> None:
        """Write whole frames."""
        transport = self._request.transport
        if transport is None or transport.is_closing() or not frames:
            return
        self._written += len(frames)
        transport.write(frames)
        if transport.get_write_buffer_size() > TOO_MUCH:
            # a stream stops at HIGH_WATER: these are answers to messages of a client that reads none of them
            transport.abort()
        elif not self._slow and transport.get_write_buffer_size() > HIGH_WATER and self._carrier is not None:
            self._slow = True
            self._carrier.pause()
            # sooner than it was to come by
            self._shared.wheel.add(self)

    async def leave(self) -> None:
        """The connection is over."""
        if self._carrier is not None:
            self._carrier.end("client_gone")
        if self._task is not None and not self._task.done():
            # behind its first step; and whoever closed may leave now, which cancels the waiting here, not this
            asyncio.get_running_loop().call_soon(self._task.cancel)
            await asyncio.wait([self._task])

    async def _admitted(self, who: Who, opening: Opening, model: str, taken: bytes) -> None:
        """The stream, once there is a slot for it, which its client is told by `taken`."""
        begun = False
        try:
            async with self._shared.slots.slot(who):
                begun = True
                self.write(taken)
                await self._stream(opening, model)
        except Problem as problem:
            self.write(browser_ws.refusal(problem.code, problem.message, retry_after=problem.retry_after))
        except asyncio.CancelledError:
            if begun:
                raise
            self.write(browser_ws.refusal("cancelled", "it was cancelled before there was a slot for it"))

    async def _stream(self, opening: Opening, model: str) -> None:
        shared = self._shared
        encode = BrowserWs(id=f"chatcmpl-{opening.request.request_id}", model=model, created=int(opening.started_at))
        running: Relay[bytes] | None = None
        carrier: Carrier[bytes] | None = None
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            opened = await opened_or_told(shared, self._request, opening)
            source: UpstreamClient = opened.source
            relay, first = source.relay(opened, encode)
            running = relay
            self.write(first)
            if relay.done:
                return

            def take(out: bytes) -> None:
                self.write(out)
                if relay.done and not over.done():
                    # from here on another may be asked for, though this task has not woken yet
                    self._over = True
                    over.set_result(None)

            carrier = self._carrier = Carrier(source, shared.wheel, opened, relay, take)
            shared.live.add(carrier)
            carrier.begin()
            if not relay.done:
                await over
        except RequestError as error:
            self.write(refused(opening, error, encode))
        except asyncio.CancelledError:
            # cancelled before there was a stream: its end is the client's to see all the same
            if running is None:
                latest = opening.latest
                ended, _ = latest.source.relay(latest, encode)
                self.write(ended.end("client_gone", time.monotonic()))
        except BaseException:
            # a mistake of our own: a stream that has no end must not look as if it went on
            if self._request.transport is not None:
                self._request.transport.abort()
            raise
        finally:
            if carrier is not None:
                shared.live.discard(carrier)
                carrier.end("client_gone")
            shared.tell(running.report if running is not None else None, self._request)
            if self._carrier is carrier:
                self._carrier = None
                self._slow = False


def rename(opening: Opening, name: str) -> None:
    """Give a stream an id of its own: several run on one connection, one behind the other."""
    for one in (opening, *opening.others):
        one.request = msgspec.structs.replace(one.request, request_id=name)
