"""The simulator's WebSocket: the upgrade and the client's messages are aiohttp's, our own frames are written raw."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import msgspec
from aiohttp import WSMsgType, web

from streamweir.dialects import BUILTIN
from streamweir.simulator.faults import Action, Close, Head, Sleep, Write, actions, genesys_error, refusal
from streamweir.simulator.scenario import scenario_of
from streamweir.simulator.spellings import read_put
from streamweir.wire.websocket import encode_close, encode_message

if TYPE_CHECKING:
    from streamweir.simulator.app import Simulator
    from streamweir.simulator.seen import Seen

DIALECT: Final = BUILTIN["ws-gateway"]
HIGH_WATER: Final = 64 * 1024
CLOSING: Final = 0.5
"""Seconds in which the peer must answer a close frame."""


async def converse(simulator: Simulator, request: web.Request) -> web.StreamResponse:
    """Upgrade, wait for init_stream, answer it, read the request, and send the reply.

    A fault that refuses is asked for with `?model=sim:403` on the path: the model comes only behind the upgrade.
    """
    named = request.query.get("model")
    if named is not None:
        scenario = scenario_of(named, simulator.scenario)
        refused = refusal(scenario, simulator.asked(DIALECT, named, [], []))
        if refused is not None:
            simulator.saw(request, named, None, refused.status).outcome = "finished"
            if scenario.fault == "401-once":
                simulator.revoke(request)
            return simulator.refuse(refused)
    if (refused := simulator.over_budget()) is not None:
        simulator.saw(request, named or "", None, 429).outcome = "finished"
        return simulator.refuse(refused)
    # a peer that never answers a close must not hold the handler
    peer = web.WebSocketResponse(timeout=0.1, autoclose=False)
    peer.headers.update(simulator.headers())
    peer.force_close()
    await peer.prepare(request)
    first = await peer.receive()
    if first.type is not WSMsgType.TEXT:
        return peer
    if msgspec.json.decode(first.data) != {"action": "init_stream", "protocol_version": "v2"}:
        await _write(request, encode_close(1008, "init_stream expected"))
        return peer
    quirk = scenario_of(named, simulator.scenario).fault if named else ""
    if quirk == "never-ready":
        await peer.receive()
        return peer
    answer = b'{"status":"busy"}' if quirk == "not-ready" else b'{"status":"stream_ready","protocol_version":"v2"}'
    await _write(request, encode_message(answer))
    second = await peer.receive()
    if second.type is not WSMsgType.TEXT:
        return peer
    try:
        put = read_put(DIALECT, second.data.encode())
        scenario = scenario_of(put.model, simulator.scenario)
    except (msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
        bad = genesys_error(400, "bad.request", f"the request cannot be read: {error}")
        await _write(request, encode_message(b'{"error":%b}' % (bad.body or b"{}")))
        return peer
    seen = simulator.saw(request, put.model, put.request_id, 101)
    asked = simulator.asked(DIALECT, put.model, put.messages, put.tools)
    reading = asyncio.create_task(_read(peer, seen))
    try:
        await _carry_out(request, actions(scenario, asked), seen, simulator.speed, reading)
        if seen.outcome == "open":
            seen.outcome = "finished"
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(reading), 1.0)
    except ConnectionError:
        seen.outcome = "client_closed"
    except asyncio.CancelledError:
        seen.outcome = "client_closed"
        raise
    finally:
        reading.cancel()
        # what the peer still sends is no HTTP
        close(request, hard=False)
        simulator.closed(seen)
    return peer


async def _read(peer: web.WebSocketResponse, seen: Any) -> None:
    """Answer pings, and note a client that leaves in the middle."""
    async for _ in peer:
        pass
    if seen.outcome == "open":
        seen.outcome = "client_closed"


async def _carry_out(
    request: web.Request, todo: Iterator[Action], seen: Seen, speed: float, reading: asyncio.Task[None]
) -> None:
    for action in todo:
        match action:
            case Head():
                if action.body is not None:
                    # a body that is no stream has no place here: the nearest is a message that is none
                    await _write(request, encode_message(b"<html></html>"))
                    return
            case Sleep():
                await asyncio.sleep(action.seconds / speed if speed else 0)
            case Write():
                await _write(request, action.data)
                seen.written += len(action.data)
            case Close("closing"):
                seen.outcome = "finished"
                # an end of file while the peer's answer is on its way would be a reset, and eat the close frame
                await asyncio.wait([reading], timeout=CLOSING)
                close(request, hard=False)
                return
            case Close():
                seen.outcome = "finished"
                close(request, hard=action.how == "reset")
                return
        if seen.outcome == "client_closed":
            return


async def _write(request: web.Request, data: bytes) -> None:
    transport = request.transport
    if transport is None or transport.is_closing():
        raise ConnectionResetError
    transport.write(data)
    while transport.get_write_buffer_size() > HIGH_WATER:
        await asyncio.sleep(0.001)
        if transport.is_closing():
            raise ConnectionResetError
    await asyncio.sleep(0)


def close(request: web.Request, *, hard: bool) -> None:
    """End the connection in the middle of the body: with a reset, or with an end of file."""
    transport = request.transport
    if transport is None:
        return
    if hard:
        sock: socket.socket | None = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    else:
        transport.close()
