"""How many streams may run, and whose: over real sockets, in every face."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest

from streamweir.config import load_text
from streamweir.server.keys import digest_of
from streamweir.server.life import Server
from streamweir.simulator.app import RunningSimulator
from tests.proxies import FACES, HELLO, Downstream, Told, body_of, profile, proxy_with, upstream

pytestmark = pytest.mark.usefixtures("cleared")

OVER_HTTP = [face for face in FACES if face != "websocket"]
MODELS = {"p": "sim:none?rate=0", "stall": "sim:stall?at=3&rate=0", "late": "sim:slow?wait=30", "403": "sim:403"}
LONG = {"first_token_timeout": "60s", "idle_timeout": "60s", "inactivity_timeout": "60s"}


def config(simulator: RunningSimulator, server: str = "", **key: Any) -> str:
    text = upstream(simulator, **LONG) + "".join(profile(name, model) for name, model in MODELS.items())
    # what can be resumed keeps its slot without its client: see test_streams.py
    text += f'[server]\nresume_window = "0s"\n{server}\n'
    if key:
        more = "".join(f"{name} = {json.dumps(value)}\n" for name, value in key.items())
        text += f'[[server.keys]]\nname = "web"\nsha256 = "{digest_of("key")}"\n{more}'
        text += f'[[server.keys]]\nname = "other"\nsha256 = "{digest_of("other")}"\n'
    return text


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():
            await asyncio.sleep(0.005)


async def emptied(server: Server) -> None:
    """Whatever was held is given back."""
    admission = server.shared.slots.admission
    await until(lambda: not admission.live and not admission.queued)
    assert admission.live_of == {}
    assert not admission._held
    assert not server.shared.slots._waiting


async def asked(
    http: aiohttp.ClientSession, face: str, profile: str = "p", key: str = "key"
) -> tuple[int, str | None, int | None]:
    async with http.post(FACES[face][0], json=body_of(face, profile), headers={"X-API-Key": key}) as answer:
        text = await answer.text()
        after = answer.headers.get("Retry-After")
        code = None
        if answer.status != 200:
            error = json.loads(text)
            code = error["error"]["code"] if face.startswith(("openai", "responses")) else error["code"]
        return answer.status, code, int(after) if after is not None else None


@contextlib.asynccontextmanager
async def on_websocket(server: Server, secret: str = "key.key") -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(f"{server.url}/ws", protocols=("streamweir.v1", f"streamweir.{secret}")) as socket,
    ):
        yield socket


async def say(socket: aiohttp.ClientWebSocketResponse, profile: str) -> dict[str, Any]:
    """The first answer to an init."""
    await socket.send_json({"type": "init", "payload": {"modelId": profile, "messages": HELLO}})
    return await heard(socket, "handshake_ack", "error")


async def heard(socket: aiohttp.ClientWebSocketResponse, *types: str) -> dict[str, Any]:
    async with asyncio.timeout(5):
        while (message := (await socket.receive()).json())["type"] not in types:
            pass
    return message


async def test_a_rate_counts_over_all_faces_tickets_and_sockets(simulator: RunningSimulator) -> None:
    server = await proxy_with(config(simulator, rate="6/h"))
    async with aiohttp.ClientSession(server.url) as http, on_websocket(server) as socket:
        for face in OVER_HTTP[:4]:
            assert await asked(http, face) == (200, None, None)
        assert (await say(socket, "p"))["type"] == "handshake_ack"
        await heard(socket, "complete")
        # a wrong request begins no stream
        assert (await asked(http, "sse", "none"))[0] == 404
        async with http.post("/api/llm/tickets", json={"profile": "p"}, headers={"X-API-Key": "key"}) as answer:
            tickets = [(await answer.json())["ticket"]]
        async with http.post("/api/llm/tickets", json={"profile": "p"}, headers={"X-API-Key": "key"}) as answer:
            tickets.append((await answer.json())["ticket"])
        async with on_websocket(server, f"ticket.{tickets[0]}") as page:
            assert (await say(page, "p"))["type"] == "handshake_ack"
            await heard(page, "complete")
        for face in OVER_HTTP:
            status, code, after = await asked(http, face)
            assert (status, code) == (429, "key_rate_limited")
            assert after is not None
            assert 3500 < after <= 3600
        refused = await say(socket, "p")
        assert refused["code"] == "key_rate_limited"
        assert 3500 < refused["retryAfter"] <= 3600
        headers = {"X-Streamweir-Ticket": tickets[1]}
        async with http.post("/api/llm/stream", json=body_of("sse", "p"), headers=headers) as answer:
            assert (answer.status, (await answer.json())["code"]) == (429, "key_rate_limited")
        assert (await asked(http, "sse", key="other"))[0] == 200
        await emptied(server)
        assert server.shared.slots.admission.refused == {"key_rate_limited": len(OVER_HTTP) + 2}
        # streams that were refused are asked of no upstream
        assert len(simulator.simulator.seen) == 7
        server.reload(load_text(config(simulator, rate="100/h")), {})
        assert (await asked(http, "sse"))[0] == 200
    await server.stop()


async def test_after_the_time_that_was_named_the_next_is_let_in(simulator: RunningSimulator) -> None:
    server = await proxy_with(config(simulator, rate="2/s"))
    async with aiohttp.ClientSession(server.url) as http:
        while (answer := await asked(http, "sse"))[0] == 200:
            pass
        assert answer == (429, "key_rate_limited", 1)
        await asyncio.sleep(1)
        assert (await asked(http, "sse"))[0] == 200
    await server.stop()


@pytest.mark.parametrize("face", FACES)
async def test_streams_at_a_time(simulator: RunningSimulator, face: str) -> None:
    server = await proxy_with(config(simulator, concurrent=1))
    admission = server.shared.slots.admission
    async with aiohttp.ClientSession(server.url) as http, on_websocket(server) as socket:
        for _ in range(2):
            if face == "websocket":
                assert (await say(socket, "stall"))["type"] == "handshake_ack"
            else:
                running = asyncio.create_task(asked(http, face, "stall"))
            await until(lambda: admission.live == 1)
            assert admission.live_of == {"web": 1}
            assert (await asked(http, "sse")) == (429, "too_many_streams", 5)
            async with on_websocket(server) as second:
                assert (await say(second, "p"))["code"] == "too_many_streams"
            assert (await asked(http, "sse", key="other"))[0] == 200
            if face == "websocket":
                await socket.send_json({"type": "cancel"})
                await heard(socket, "error")
            else:
                running.cancel()
                await asyncio.wait([running])
            await until(lambda: not admission.live)
        assert (await asked(http, "sse"))[0] == 200
        await emptied(server)
    await server.stop()


async def test_another_stream_right_behind_a_cancel_finds_its_slot(simulator: RunningSimulator) -> None:
    server = await proxy_with(config(simulator, concurrent=1))
    async with on_websocket(server) as socket:
        for _ in range(3):
            assert (await say(socket, "stall"))["type"] == "handshake_ack"
            await heard(socket, "chunk")
            # both in one write: nothing runs between them
            question = json.dumps({"type": "init", "payload": {"modelId": "p", "messages": HELLO}})
            await asyncio.gather(socket.send_json({"type": "cancel"}), socket.send_str(question))
            assert (await heard(socket, "error"))["code"] == "cancelled"
            assert (await heard(socket, "error", "complete"))["type"] == "complete"
    await emptied(server)
    await server.stop()


async def test_a_full_server_has_a_queue_first_in_first_out(simulator: RunningSimulator) -> None:
    server = await proxy_with(config(simulator, 'max_streams = 2\nqueue = 3\nqueue_wait = "20s"'))
    admission = server.shared.slots.admission
    async with aiohttp.ClientSession(server.url) as http, on_websocket(server) as socket:
        running = [await Downstream.ask(server, "sse", "stall") for _ in range(2)]
        await until(lambda: admission.live == 2)
        ended: list[int] = []

        async def wait(number: int) -> tuple[int, str | None, int | None]:
            answer = await asked(http, "sse")
            ended.append(number)
            return answer

        waiting = []
        for number in range(2):
            waiting.append(asyncio.create_task(wait(number)))
            await until(lambda: admission.queued == len(waiting))
        await socket.send_json({"type": "init", "payload": {"modelId": "p", "messages": HELLO}})
        await until(lambda: admission.queued == 3)
        for face in OVER_HTTP:
            assert await asked(http, face) == (503, "server_full", 5)
        async with on_websocket(server) as other:
            refused = await say(other, "p")
            assert (refused["code"], refused["retryAfter"]) == ("server_full", 5)
        # while it waits, the connection lives; another question is one too many
        await socket.send_json({"type": "ping"})
        await heard(socket, "pong")
        assert (await say(socket, "p"))["code"] == "busy"
        assert simulator.simulator.seen[2:] == []
        running[0].leave()
        assert {(await task)[0] for task in waiting} == {200}
        assert ended == [0, 1]
        await heard(socket, "handshake_ack")
        await heard(socket, "complete")
        running[1].leave()
        await emptied(server)
        assert admission.refused == {"server_full": len(OVER_HTTP) + 1}
    await server.stop()


async def test_who_waited_too_long_or_left_gives_the_place_back(simulator: RunningSimulator) -> None:
    server = await proxy_with(config(simulator, 'max_streams = 1\nqueue = 3\nqueue_wait = "300ms"'))
    admission = server.shared.slots.admission
    running = await Downstream.ask(server, "sse", "stall")
    await until(lambda: admission.live == 1)
    async with aiohttp.ClientSession(server.url) as http, on_websocket(server) as socket:
        began = time.monotonic()
        assert await asked(http, "openai") == (503, "server_full", 5)
        assert time.monotonic() - began >= 0.3
        assert (await say(socket, "p"))["code"] == "server_full"
        server.reload(load_text(config(simulator, 'max_streams = 1\nqueue = 3\nqueue_wait = "60s"')), {})
        await socket.send_json({"type": "init", "payload": {"modelId": "p", "messages": HELLO}})
        gone = [await Downstream.ask(server, face, "p") for face in ("sse", "openai whole")]
        await until(lambda: admission.queued == 3)
        for client in gone:
            client.leave()
        await until(lambda: admission.queued == 1)
        await socket.send_json({"type": "cancel"})
        assert (await heard(socket, "error"))["code"] == "cancelled"
        await until(lambda: admission.queued == 0)
        # and a connection that closes while its question waits
        await socket.send_json({"type": "init", "payload": {"modelId": "p", "messages": HELLO}})
        await until(lambda: admission.queued == 1)
    await until(lambda: admission.queued == 0)
    assert admission.live == 1
    running.leave()
    await emptied(server)
    await server.stop()


async def test_a_server_that_stops_sends_away_who_waits(simulator: RunningSimulator) -> None:
    server = await proxy_with(config(simulator, "max_streams = 1"))
    admission = server.shared.slots.admission
    running = await Downstream.ask(server, "sse", "stall")
    await until(lambda: admission.live == 1)
    waiting = await Downstream.ask(server, "sse", "p")
    await until(lambda: admission.queued == 1)
    stopping = asyncio.create_task(server.stop())
    answer = await waiting.read(1 << 20)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b'"server_draining"' in answer
    await stopping
    await emptied(server)
    await running.close()
    await waiting.close()


@pytest.mark.parametrize("face", FACES)
async def test_however_a_stream_ends_its_slot_comes_back(simulator: RunningSimulator, face: str) -> None:
    """Also where the client leaves at any moment: each is let go a little later than the one before."""
    told = Told()
    text = config(simulator, 'max_streams = 2\nqueue = 2\ncommit_after = "50ms"')
    models = ("sim:cut?rate=0", "sim:stall?at=1&rate=0", "sim:429-always", "sim:reset?rate=0", "sim:none?rate=200")
    text += "".join(profile(f"m{number}", model) for number, model in enumerate(models))
    server = await proxy_with(text, told)
    admission = server.shared.slots.admission
    names = [*MODELS, *(f"m{number}" for number in range(len(models)))]
    for round_ in range(24):
        clients = [await Downstream.ask(server, face, names[(round_ + n) % len(names)]) for n in range(5)]
        await asyncio.sleep(0.004 * round_)
        assert admission.live <= 2
        assert admission.queued <= 2
        for client in clients:
            client.leave()
        await emptied(server)
    await server.stop()
