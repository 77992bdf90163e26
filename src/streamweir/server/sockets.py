"""`GET /ws`: the browsers' WebSocket. aiohttp reads frames; streams are written to the transport, once a read."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from hashlib import sha256
from typing import Final

import msgspec
from aiohttp import WSMsgType, web

from streamweir.client.exchange import Exchange
from streamweir.client.opening import Opening
from streamweir.errors import ContextWindowExceeded, RequestError, StreamweirError
from streamweir.faces import SENTENCES, browser_ws
from streamweir.faces.browser_ws import PONG, SUBPROTOCOL, BrowserWs, Init, Resume
from streamweir.faces.problems import Problem
from streamweir.resumption.directory import Made
from streamweir.server.admission import Place
from streamweir.server.gate import inbound_of, still, use_ticket
from streamweir.server.kept import new_capability
from streamweir.server.keys import NOBODY, Who
from streamweir.server.outgoing import Outgoing
from streamweir.server.resumable import Resumable
from streamweir.server.shared import FOUND, SHARED, answer_headers, opening_of, who_of
from streamweir.server.stream_routes import checked, idempotency_key, made_before, unknown

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
    request[FOUND].begun = True
    await socket.prepare(request)
    inbound = inbound_of(request)
    if inbound is not None:
        inbound.upgraded()
    session = Session(request, socket)
    shared.wheel.add(session.out)
    shared.census.sockets.add(session)
    try:
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await session.said(message.data)
            elif message.type is WSMsgType.BINARY:
                session.out.write(browser_ws.refusal("invalid_handshake", "", "messages are JSON texts, not binary"))
    finally:
        shared.wheel.remove(session.out)
        shared.census.sockets.discard(session)
        await session.close()
    return socket


class Session:
    """What a client of one connection asks for, and may do."""

    __slots__ = ("_called_off", "_request", "_serving", "_shared", "_starting", "_streams", "_who", "out")

    def __init__(self, request: web.Request, socket: web.WebSocketResponse) -> None:
        self._request = request
        self._shared = request.app[SHARED]
        self._who = who_of(request)
        self._serving = self._shared.serving
        self._streams = 0
        self._starting: asyncio.Task[None] | None = None
        self._called_off = False
        self.out = Outgoing(request, socket)

    # -- what the client says --------------------------------------------------------------------------

    async def said(self, text: str) -> None:
        """One message."""
        try:
            message = browser_ws.read_message(text)
        except RequestError as error:
            self.out.write(browser_ws.refusal(error.code or "invalid_request", error.message, error.message))
            return
        if isinstance(message, Init | Resume):
            await self._begin(message)
        elif message == "ping":
            self.out.write(PONG)
        elif message == "cancel":
            if self.out.stream is not None:
                self.out.stream.end("client_gone")
            else:
                self._call_off()

    async def _begin(self, asked: Init | Resume) -> None:
        if isinstance(asked, Init) and self._shared.census.draining:
            self.out.write(browser_ws.refusal("server_draining", SENTENCES["server_draining"]))
            self.go_away()
            return
        if self.out.stream is not None or self._waiting:
            self.out.write(
                browser_ws.refusal("busy", "a stream runs on this connection: cancel it, or wait for its end")
            )
            return
        try:
            if isinstance(asked, Resume):
                self._again(asked)
            else:
                await self._init(asked)
        except ContextWindowExceeded as error:
            text = f"Context window exceeded: {error.tokens} > {error.limit}"
            self.out.write(browser_ws.refusal("context_window_exceeded", text, error.message))
        except RequestError as error:
            code = error.code if error.code == "prompt_blocked" else "invalid_request"
            self.out.write(browser_ws.refusal(code, error.message, error.message))
        except RecursionError:
            self.out.write(browser_ws.refusal("invalid_request", "", "the request is nested too deeply"))
        except Problem as problem:
            self.out.write(browser_ws.refusal(problem.code, problem.message, retry_after=problem.retry_after))
        except StreamweirError as error:
            self.out.write(browser_ws.refusal("handshake_failed", error.message))

    async def _init(self, init: Init) -> None:
        shared = self._shared
        who = self._let_in(init.ticket)
        key = idempotency_key(init.key)
        digest = sha256(msgspec.json.encode(init.wanted)).digest()
        async with AsyncExitStack() as held:
            await held.enter_async_context(shared.kept.making(who.name, key))
            made = made_before(self._request, who.name, key, digest)
            if made is not None:
                self._acknowledge(self._found(made.id, who.name, made.capability))
                return
            opening = await opening_of(self._request, init.wanted, withdraw=True, who=who)
            shared.kept.check()
            exchange: Exchange = opening.source.exchange
            count = exchange.prompt_tokens(opening)
            place = shared.slots.enter(who)
            if not place.live:
                self._called_off = False
                # others with the same key wait for what becomes of this one
                waits = self._in_turn(held.pop_all(), place, opening, who, key, digest, count)
                self._starting = asyncio.get_running_loop().create_task(waits)
            else:
                self._acknowledge(self._make(place, opening, who, key, digest, count))

    async def _in_turn(
        self, held: AsyncExitStack, place: Place, opening: Opening, who: Who, key: str | None, digest: bytes, count: int
    ) -> None:
        """The stream, once there is a slot for it; `held` keeps others with the same key away until then."""
        async with held:
            try:
                await self._shared.slots.turn(place)
                if self._called_off:
                    # the slot came at the very moment at which nobody wanted it any more
                    raise asyncio.CancelledError
            except Problem as problem:
                self._shared.slots.leave(place)
                self.out.write(browser_ws.refusal(problem.code, problem.message, retry_after=problem.retry_after))
                if self._shared.census.draining:
                    self.out.go_away()
            except asyncio.CancelledError:
                self._shared.slots.leave(place)
                self.out.write(browser_ws.refusal("cancelled", "it was cancelled before there was a slot for it"))
            else:
                self._starting = None
                self._acknowledge(self._make(place, opening, who, key, digest, count))

    def _call_off(self) -> None:
        """What waits for a slot is not wanted any more."""
        if self._starting is not None and self._waiting:
            self._called_off = True
            # behind its first step, before which nothing of it would run that gives its place back
            asyncio.get_running_loop().call_soon(self._starting.cancel)

    def _make(self, place: Place, opening: Opening, who: Who, key: str | None, digest: bytes, count: int) -> Resumable:
        # only now: while it waited for a slot, another may have taken the name
        self._name(opening)
        name, model, capability = opening.request.request_id, opening.profile or "", new_capability()
        if key is not None:
            made = Made(digest, name, capability, time.monotonic())
            self._shared.kept.streams.remember(who.name, key, made)
        face = BrowserWs(stream=name, model=model, created=int(opening.started_at))
        stream = Resumable(
            self._request,
            opening,
            face.frames,
            id=name,
            owner=who.name,
            capability=capability,
            wire="ws",
            place=place,
        )
        ids = {"model": model, "stream_id": name, "capability": capability}
        stream.acknowledged = browser_ws.acknowledgement(tokens=count, **ids)
        return stream

    def _name(self, opening: Opening) -> None:
        """Give a stream an id of its own: several run on one connection, and a client may name its requests alike."""
        self._streams += 1
        given = name = opening.request.request_id
        number = self._streams
        while number > 1 or name in self._shared.kept.streams:
            name = f"{given}-{number}"
            if name not in self._shared.kept.streams:
                break
            number += 1
        if name != given:
            for one in (opening, *opening.others):
                one.request = msgspec.structs.replace(one.request, request_id=name)

    def _acknowledge(self, stream: Resumable) -> None:
        self.out.write(stream.acknowledged)
        self.out.send(stream, -1)

    def _again(self, asked: Resume) -> None:
        """Go on with a stream that another connection began."""
        who = NOBODY if asked.cap is not None else self._let_in(asked.ticket)
        if who.ticket:
            # a page has what is its own, by its capability, and its key has all pages'
            raise unknown()
        stream = self._found(asked.stream_id, who.name, asked.cap)
        after = checked(stream, asked.after)
        # behind the end: the last message once more, so that nobody waits for it
        self.out.send(stream, min(after, stream.log.next - 2) if stream.over else after)

    @property
    def _waiting(self) -> bool:
        """Whether a stream of this connection waits for a slot."""
        return self._starting is not None and not self._starting.done()

    def _found(self, id: str, owner: str | None, capability: str | None) -> Resumable:
        stream = self._shared.kept.streams.find(id, owner, capability)
        if stream is None or stream.wire != "ws":
            raise unknown()
        return stream

    def _let_in(self, ticket: str | None) -> Who:
        serving = self._shared.serving
        if serving is not self._serving:
            # the configuration was reloaded: a key may have gone, or the first may have come
            self._serving = serving
            self._who = still(self._request, self._who, serving)
        if self._who is not NOBODY:
            return self._who
        if ticket is None:
            raise Problem(401, "key_missing", "an API key or a ticket is needed to ask here")
        self._who = use_ticket(self._request, ticket)
        return self._who

    # -- its end ---------------------------------------------------------------------------------------

    def go_away(self) -> None:
        """Close the connection where no stream runs; one that does is told of its own end first."""
        if not self._waiting:
            self.out.go_away()

    async def close(self) -> None:
        """The connection is over."""
        self._call_off()
        await self.out.close()
