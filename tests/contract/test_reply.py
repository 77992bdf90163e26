"""What a stream's answer writes, and what it does not, beside the proxy: a handler of its own over a real socket."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web

from streamweir.faces import HEARTBEAT
from streamweir.server.reply import StreamReply
from streamweir.simulator.app import RunningSimulator
from tests.contract.test_client import closed_within
from tests.proxies import Downstream, profile, proxy_with, upstream

pytestmark = pytest.mark.usefixtures("cleared")

ASKED = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
Write = Callable[[StreamReply, asyncio.Transport], Awaitable[None]]


@contextlib.asynccontextmanager
async def served(write: Write) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A client of a server whose every answer is written by `write`."""

    async def handler(request: web.Request) -> web.StreamResponse:
        reply = StreamReply({})
        await reply.begin(request)
        assert request.transport is not None
        await write(reply, request.transport)
        return reply

    app = web.Application()
    app.router.add_get("/", handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    reader, writer = await asyncio.open_connection("127.0.0.1", runner.addresses[0][1])
    try:
        async with asyncio.timeout(5):
            yield reader, writer
    finally:
        writer.transport.abort()
        await runner.cleanup()


async def first_and_finish(reply: StreamReply, transport: asyncio.Transport) -> None:
    await reply.first(b"one", last=False)
    reply.finish(b"two")
    assert reply.send(HEARTBEAT)


async def all_at_once(reply: StreamReply, transport: asyncio.Transport) -> None:
    await reply.first(b"onetwo", last=True)
    assert reply.send(HEARTBEAT)


@pytest.mark.parametrize("write", [first_and_finish, all_at_once])
async def test_a_heartbeat_behind_the_end_is_not_written(write: Write) -> None:
    """It would stand before the next answer on the same connection, whose head could then not be read."""
    async with served(write) as (reader, writer):
        for _ in range(2):
            writer.write(ASKED)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")
            body = b""
            while int(size := (await reader.readuntil(b"\r\n"))[:-2], 16):
                body += await reader.readexactly(int(size, 16))
                assert await reader.readexactly(2) == b"\r\n"
            assert await reader.readexactly(2) == b"\r\n"
            assert body == b"onetwo"


@pytest.mark.parametrize("leave", ["close", "abort"])
@pytest.mark.parametrize("last", [False, True])
async def test_nothing_is_written_to_a_client_that_has_left(leave: str, last: bool) -> None:
    """uvloop's transports raise for what is written once they are closed."""
    done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    async def write(reply: StreamReply, transport: asyncio.Transport) -> None:
        await reply.first(b"one", last=False)
        getattr(transport, leave)()
        await asyncio.sleep(0.02)
        try:
            if last:
                reply.finish(b"two")
            done.set_result(reply.send(HEARTBEAT))
        except Exception as error:
            done.set_exception(error)

    async with served(write) as (reader, writer):
        writer.write(ASKED)
        assert await done


async def test_an_answer_that_is_not_ended_does_not_look_ended() -> None:
    async def write(reply: StreamReply, transport: asyncio.Transport) -> None:
        await reply.first(b"one", last=False)
        reply.send(b"two")

    async with served(write) as (reader, writer):
        writer.write(ASKED)
        data = b""
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(65536):
                data += piece
        assert not data.endswith(b"0\r\n\r\n")


async def test_the_upstream_is_closed_though_its_last_words_cannot_be_written(
    simulator: RunningSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed: list[bytes] = []

    def finish(self: StreamReply, data: bytes) -> None:
        failed.append(data)
        raise RuntimeError("the handler is closed")

    monkeypatch.setattr(StreamReply, "finish", finish)
    long = {"idle_timeout": "60s", "inactivity_timeout": "60s"}
    server = await proxy_with(upstream(simulator, **long) + profile("p", "sim:stall?at=3&rate=0"))
    try:
        client = await Downstream.ask(server, "sse", "p")
        await client.read(200)
        client.leave()
        await closed_within(simulator, 1.0)
        assert failed
    finally:
        await server.stop()
