"""Clients that do not read: they are dropped, whoever moves stays, and the others never notice."""

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import AsyncIterator

import pytest

from streamweir.server.life import Server
from streamweir.simulator.app import RunningSimulator
from streamweir.simulator.replies import SCRIPTS
from tests.proxies import FACES, Downstream, Told, profile, proxy_with, upstream

pytestmark = pytest.mark.usefixtures("cleared")

STREAMED = [face for face in FACES if face != "openai whole"]
LONG = {"first_token_timeout": "60s", "idle_timeout": "60s", "inactivity_timeout": "60s"}
AFTER = 1.0
WINDOW = 'resume_window = "0s"'
"""What can be resumed is cut off where its client does not read, and goes on: test_streams.py has that."""


@contextlib.asynccontextmanager
async def proxy(simulator: RunningSimulator, told: Told, more: str = "") -> AsyncIterator[Server]:
    text = upstream(simulator, **LONG) + f'[server]\nslow_client = "{AFTER}s"\n{more or WINDOW}\n'
    text += profile("much", "sim:none?rate=0&tokens=2000000", guard="off") + profile("p", "sim:none?rate=60")
    server = await proxy_with(text, told)
    yield server
    await server.stop()


async def not_reading(server: Server, face: str, name: str = "much") -> Downstream:
    """A client that takes nothing: its side of the connection holds little, and nothing is read from it."""
    connect = asyncio.open_connection

    async def small(host: str, port: int, limit: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        own = socket.socket()
        own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        own.setblocking(False)
        await asyncio.get_running_loop().sock_connect(own, (host, port))
        return await connect(sock=own, limit=limit)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio, "open_connection", small)
        client = await Downstream.ask(server, face, name, limit=1024)
    client.writer.transport.pause_reading()
    return client


async def all_of(client: Downstream) -> bytes:
    data = b""
    client.writer.transport.resume_reading()
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(20):
            while piece := await client.reader.read(1 << 20):
                data += piece
    return data


@pytest.mark.parametrize("face", STREAMED)
async def test_who_does_not_read_is_dropped_and_the_others_never_notice(simulator: RunningSimulator, face: str) -> None:
    told = Told()
    async with proxy(simulator, told) as server:
        client = await not_reading(server, face)
        beside = [asyncio.create_task(whole(server, "openai")) for _ in range(3)]
        while (report := await told.next(15)).status == "completed":
            pass
        assert (report.status, report.cancelled_by) == ("cancelled", "slow_client")
        assert report.error is not None
        assert report.error.code == "slow_client"
        assert report.timing.total_ms >= 1000 * AFTER
        # nothing more is generated
        async with asyncio.timeout(2):
            while simulator.simulator.seen[0].outcome != "client_closed":
                await asyncio.sleep(0.01)
        assert not server.shared.census.streams
        # who wakes up in time finds out why
        data = await all_of_until(client, b"slow_client")
        assert data.count(b"slow_client") >= 1
        for text in await asyncio.gather(*beside):
            assert text == SCRIPTS["hello"]
        assert server.shared.slots.admission.live == 0
        client.leave()


async def all_of_until(client: Downstream, words: bytes) -> bytes:
    data = b""
    client.writer.transport.resume_reading()
    async with asyncio.timeout(20):
        while words not in data[-8000:]:
            piece = await client.reader.read(1 << 20)
            assert piece, data[-200:]
            data += piece
    return data


async def whole(server: Server, face: str) -> str:
    """A whole reply, as it was read."""
    client = await Downstream.ask(server, face, "p")
    data = b""
    async with asyncio.timeout(30):
        while b"[DONE]" not in data:
            data += await client.reader.read(65536)
    await client.close()
    chunks = [json.loads(line[6:]) for line in data.splitlines() if line.startswith(b"data: {")]
    return "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks if chunk["choices"])


@pytest.mark.parametrize("face", ["sse", "websocket"])
async def test_who_never_wakes_up_is_left_after_the_same_time_again(simulator: RunningSimulator, face: str) -> None:
    told = Told()
    async with proxy(simulator, told) as server:
        client = await not_reading(server, face)
        assert (await told.next(15)).cancelled_by == "slow_client"
        began = time.monotonic()
        async with asyncio.timeout(15):
            while server.connections:
                await asyncio.sleep(0.02)
        assert time.monotonic() - began >= AFTER / 2
        data = await all_of(client)
        assert b"slow_client" not in data
        client.leave()


@pytest.mark.parametrize("face", ["sse", "websocket"])
async def test_who_reads_slowly_stays(simulator: RunningSimulator, face: str) -> None:
    told = Told()
    async with proxy(simulator, told) as server:
        client = await not_reading(server, face)
        own = client.writer.transport.get_extra_info("socket")
        began, data, held = time.monotonic(), b"", 0
        while time.monotonic() - began < 4 * AFTER:
            await asyncio.sleep(AFTER / 5)
            client.writer.transport.resume_reading()
            before = len(data)
            async with asyncio.timeout(5):
                while len(data) < before + 100_000:
                    data += await client.reader.read(65536)
            client.writer.transport.pause_reading()
            held = max(held, len(server.shared.census.streams))
        assert held == 1
        assert own is not None
        assert not told.reports
        assert b"slow_client" not in data
        client.leave()
        assert (await told.next(2)).cancelled_by == "client"


async def test_the_rest_of_an_answer_is_not_kept_for_ever(simulator: RunningSimulator) -> None:
    """A reply that is over and not read, and answers that are no streams, asked for and not read."""
    told = Told()
    text = upstream(simulator, **LONG) + f'[server]\nslow_client = "{AFTER}s"\n'
    text += profile("big", "sim:none?rate=0&tokens=100000", guard="off") + profile("small", "sim:none?rate=0")
    server = await proxy_with(text, told)
    for listening in server.sockets:
        # the kernel would keep all of it for its client, and that is the kernel's affair
        with socket.fromfd(listening.fileno(), socket.AF_INET, socket.SOCK_STREAM) as own:
            own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
    clients = [await not_reading(server, "openai whole", "big")]
    assert (await told.next(15)).status == "completed"
    lines = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 500
    asking = await not_reading(server, "openai whole", "small")
    asking.writer.write(lines)
    clients.append(asking)
    async with asyncio.timeout(20):
        while server.connections:
            await asyncio.sleep(0.02)
    for client in clients:
        client.leave()
    await server.stop()
