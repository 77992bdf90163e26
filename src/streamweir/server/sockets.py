"""`GET /ws`: the browsers' WebSocket. aiohttp reads frames; streams are written to the transport, once a read."""

from __future__ import annotations

import asyncio
import time
from hashlib import sha256
from typing import Final

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web

from streamweir.client.exchange import Exchange
from streamweir.client.opening import Opening
from streamweir.errors import ContextWindowExceeded, RequestError, StreamweirError
from streamweir.faces import browser_ws
from streamweir.faces.browser_ws import HEARTBEAT, PONG, SUBPROTOCOL, BrowserWs, Init, Resume
from streamweir.faces.problems import Problem, draining
from streamweir.resumption.directory import Made
from streamweir.resumption.log import Trimmed
from streamweir.server.gate import still, use_ticket
from streamweir.server.kept import new_capability
from streamweir.server.keys import NOBODY, Who
from streamweir.server.reply import HIGH_WATER
from streamweir.server.resumable import Resumable
from streamweir.server.shared import SHARED, answer_headers, opening_of, who_of
from streamweir.server.stream_routes import checked, idempotency_key, made_before, unknown

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
    session = Session(request, socket)
    shared.wheel.add(session)
    shared.census.sockets.add(session)
    try:
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await session.said(message.data)
            elif message.type is WSMsgType.BINARY:
                session.write(browser_ws.refusal("invalid_handshake", "", "messages are JSON texts, not binary"))
    finally:
        shared.wheel.remove(session)
        shared.census.sockets.discard(session)
        await session.close()
    return socket


class Session:
    """One connection: the stream that is sent over it, and what its client may do."""

    def __init__(self, request: web.Request, socket: web.WebSocketResponse) -> None:
        self._request = request
        self._socket = socket
        self._going: asyncio.Task[bool] | None = None
        self._shared = request.app[SHARED]
        self._who = who_of(request)
        self._serving = self._shared.serving
        self._streams = 0
        self._stream: Resumable | None = None
        self.after = -1
        self.stuck = False
        self._every = self._shared.serving.heartbeat
        self._beat_at = time.monotonic() + self._every

    # -- for the wheel ---------------------------------------------------------------------------------

    def due(self, now: float) -> float:
        """The next heartbeat; sooner where we wait for the client to read."""
        return now + LOOK if self.stuck else self._beat_at

    def tick(self, now: float) -> None:
        """Beat, or see whether the client has read enough."""
        transport = self._request.transport
        if self.stuck:
            if transport is None or transport.get_write_buffer_size() <= HIGH_WATER:
                self.stuck = False
                self.wake()
                if self._stream is not None:
                    self._stream.settle()
        elif now >= self._beat_at:
            self._beat_at = now + self._every
            self.write(HEARTBEAT)

    # -- what the client says --------------------------------------------------------------------------

    async def said(self, text: str) -> None:
        """One message."""
        try:
            message = browser_ws.read_message(text)
        except RequestError as error:
            self.write(browser_ws.refusal(error.code or "invalid_request", error.message, error.message))
            return
        if isinstance(message, Init | Resume):
            await self._begin(message)
        elif message == "ping":
            self.write(PONG)
        elif message == "cancel" and self._stream is not None:
            self._stream.end("client_gone")

    async def _begin(self, asked: Init | Resume) -> None:
        if self._stream is not None:
            self.write(browser_ws.refusal("busy", "a stream runs on this connection: cancel it, or wait for its end"))
            return
        try:
            if isinstance(asked, Resume):
                self._again(asked)
            else:
                await self._init(asked)
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

    async def _init(self, init: Init) -> None:
        shared = self._shared
        if shared.census.draining:
            raise draining()
        who = self._let_in(init.ticket)
        key = idempotency_key(init.key)
        digest = sha256(msgspec.json.encode(init.wanted)).digest()
        async with shared.kept.making(who.name, key):
            made = made_before(self._request, who.name, key, digest)
            if made is not None:
                self._acknowledge(self._found(made.id, who.name, made.capability))
                return
            opening = await opening_of(self._request, init.wanted, withdraw=True, who=who)
            shared.kept.check()
            self._name(opening)
            exchange: Exchange = opening.source.exchange
            count = exchange.prompt_tokens(opening)
            name, model, capability = opening.request.request_id, opening.profile or "", new_capability()
            if key is not None:
                shared.kept.streams.remember(who.name, key, Made(digest, name, capability, time.monotonic()))
            face = BrowserWs(stream=name, model=model, created=int(opening.started_at))
            stream = Resumable(
                self._request, opening, face.frames, id=name, owner=who.name, capability=capability, wire="ws"
            )
            stream.acknowledged = browser_ws.acknowledgement(
                tokens=count, model=model, stream_id=name, capability=capability
            )
        self._acknowledge(stream)

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
        self.write(stream.acknowledged)
        self._send(stream, -1)

    def _again(self, asked: Resume) -> None:
        """Go on with a stream that another connection began."""
        who = NOBODY if asked.cap is not None else self._let_in(asked.ticket)
        stream = self._found(asked.stream_id, who.name, asked.cap)
        after = checked(stream, asked.after)
        # behind the end: the last message once more, so that nobody waits for it
        self._send(stream, min(after, stream.log.next - 2) if stream.over else after)

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

    # -- what it gets ----------------------------------------------------------------------------------

    def _send(self, stream: Resumable, after: int) -> None:
        self._stream, self.after = stream, after
        stream.listen(self)

    def wake(self) -> None:
        """Send what is new in the stream's log, as far as the client reads."""
        while (stream := self._stream) is not None and not self.stuck:
            try:
                entries = stream.log.read(self.after, HIGH_WATER)
            except Trimmed:
                # it read so slowly that its place is gone: cut off, so that it does not look as if it went on
                self.leave()
                if self._request.transport is not None:
                    self._request.transport.abort()
                return
            if not entries:
                return
            self.after += len(entries)
            last = stream.over and self.after + 1 == stream.log.next
            self.write(b"".join(entries))
            if last:
                stream.delivered = True
                # from here on another may be asked for
                self.leave()

    def write(self, frames: bytes) -> None:
        """Write whole frames."""
        transport = self._request.transport
        if transport is None or transport.is_closing() or not frames or self._going is not None:
            return
        transport.write(frames)
        if transport.get_write_buffer_size() > TOO_MUCH:
            # a stream stops at HIGH_WATER: these are answers to messages of a client that reads none of them
            transport.abort()
        elif not self.stuck and transport.get_write_buffer_size() > HIGH_WATER and self._stream is not None:
            self.stuck = True
            # sooner than it was to come by
            self._shared.wheel.add(self)

    def leave(self) -> None:
        """The client is sent its stream no more: it has ended, or the connection is over."""
        stream, self._stream = self._stream, None
        self.stuck = False
        if stream is not None:
            stream.leave(self)
            if self._shared.census.draining:
                self.go_away()

    def go_away(self) -> None:
        """Close the connection with 1001 where no stream runs; one that does is told of its own end first."""
        if self._going is None and self._stream is None:
            self._going = asyncio.get_running_loop().create_task(
                self._socket.close(code=WSCloseCode.GOING_AWAY, message=b"the server is shutting down")
            )

    async def close(self) -> None:
        """The connection is over."""
        if self._going is not None:
            # the client's own close frame is waited for
            await self._going
        self.leave()
