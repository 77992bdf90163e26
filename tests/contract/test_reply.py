"""What a stream's answer writes, and what it does not, beside the proxy: a handler of its own over a real socket."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from email.utils import parsedate_to_datetime

import aiohttp
import pytest
from aiohttp import web

from streamweir.faces import HEARTBEAT
from streamweir.server.keys import digest_of
from streamweir.server.reply import StreamReply
from streamweir.simulator.app import RunningSimulator
from tests.contract.test_client import closed_within
from tests.proxies import Downstream, body_of, post, profile, proxy_with, upstream

pytestmark = pytest.mark.usefixtures("cleared")

ASKED = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
Write = Callable[[StreamReply, web.Request], Awaitable[None]]


@contextlib.asynccontextmanager
async def served(write: Write) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A client of a server whose every answer is written by `write`."""

    async def handler(request: web.Request) -> web.StreamResponse:
        reply = StreamReply({})
        await write(reply, request)
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


async def first_and_finish(reply: StreamReply, request: web.Request) -> None:
    reply.begin(request, b"one", last=False)
    reply.finish(b"two")
    assert reply.send(HEARTBEAT)


async def all_at_once(reply: StreamReply, request: web.Request) -> None:
    reply.begin(request, b"onetwo", last=True)
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

    async def write(reply: StreamReply, request: web.Request) -> None:
        reply.begin(request, b"one", last=False)
        assert request.transport is not None
        getattr(request.transport, leave)()
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


async def test_an_error_behind_the_head_cuts_the_answer() -> None:
    async def write(reply: StreamReply, request: web.Request) -> None:
        reply.begin(request, b"one", last=False)
        raise RuntimeError("planted")

    async with served(write) as (reader, writer):
        writer.write(ASKED)
        data = await reader.read()
    assert data.count(b"HTTP/1.1") == 1
    assert data.endswith(b"\r\n\r\n3\r\none\r\n")


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: b", "a\nb", "a\rb", "a\0b"])
async def test_a_header_cannot_inject_another(value: str) -> None:
    async def write(reply: StreamReply, request: web.Request) -> None:
        reply.fields["X-Request-Id"] = value
        reply.begin(request, b"one", last=False)

    async with served(write) as (reader, writer):
        writer.write(ASKED)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 500 ")


@pytest.mark.parametrize(
    ("asked", "status", "connection"),
    [
        (ASKED, b"HTTP/1.1 200 OK", None),
        (b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"HTTP/1.1 200 OK", b"close"),
        (b"GET / HTTP/1.0\r\nHost: x\r\n\r\n", b"HTTP/1.0 200 OK", None),
        (b"GET / HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n", b"HTTP/1.0 200 OK", None),
    ],
)
async def test_the_head_says_how_the_body_ends(asked: bytes, status: bytes, connection: bytes | None) -> None:
    async with served(all_at_once) as (reader, writer):
        writer.write(asked)
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).removesuffix(b"\r\n\r\n").split(b"\r\n")
        fields = {name.lower(): value for name, _, value in (line.partition(b": ") for line in lines)}
        assert first == status
        assert fields.get(b"connection") == connection
        assert fields.get(b"transfer-encoding") == (b"chunked" if b"1.1" in status else None)
        assert parsedate_to_datetime(fields[b"date"].decode()).tzinfo is not None
        assert fields[b"server"]
        if b"1.1" not in status:
            assert await reader.read() == b"onetwo"


async def test_an_answer_that_is_not_ended_does_not_look_ended() -> None:
    async def write(reply: StreamReply, request: web.Request) -> None:
        reply.begin(request, b"one", last=False)
        reply.send(b"two")

    async with served(write) as (reader, writer):
        writer.write(ASKED)
        data = b""
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(65536):
                data += piece
        assert not data.endswith(b"0\r\n\r\n")


async def test_an_answer_that_never_began_is_no_place_for_the_next_one() -> None:
    async def write(reply: StreamReply, request: web.Request) -> None:
        reply.finish(b"one")

    async with served(write) as (reader, writer):
        writer.write(ASKED + ASKED)
        assert await reader.read() == b""


@pytest.mark.parametrize("commit_after", ["50ms", "10s"])
async def test_a_head_that_cannot_be_written_is_an_error_of_this_request(
    simulator: RunningSimulator, monkeypatch: pytest.MonkeyPatch, commit_after: str
) -> None:
    def mistaken(*_: object) -> bytes:
        raise ValueError("planted")

    monkeypatch.setattr("streamweir.server.reply._head", mistaken)
    text = f'[server]\ncommit_after = "{commit_after}"\n'
    server = await proxy_with(text + upstream(simulator) + profile("p", "sim:slow?wait=0.3&rate=0"))
    async with (
        aiohttp.ClientSession(server.url) as http,
        http.post("/api/llm/stream", json=body_of("sse", "p")) as answer,
    ):
        assert (answer.status, (await answer.json())["code"]) == (500, "internal_error")
    assert not server.shared.census.streams
    await server.stop()


@pytest.mark.parametrize("commit_after", ["50ms", "10s"])
@pytest.mark.parametrize("host", [b"h\xc3\xa4x", b"h\xffx", b"h\tx"])
async def test_what_is_repeated_of_a_request_leaves_as_it_came(
    simulator: RunningSimulator, host: bytes, commit_after: str
) -> None:
    text = f'[server]\ncommit_after = "{commit_after}"\n[[server.keys]]\nname = "k"\nsha256 = "{digest_of("k")}"\n'
    server = await proxy_with(text + upstream(simulator) + profile("p", "sim:slow?wait=0.3&rate=0"))
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    asked = post("sse", "p", Authorization="Bearer k", Connection="close")
    writer.write(asked.replace(b"Host: x", b"Host: %b\r\nOrigin: http://%b" % (host, host)))
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"\r\nAccess-Control-Allow-Origin: http://" + host + b"\r\n" in head
    assert body.endswith(b"0\r\n\r\n")
    writer.close()
    await server.stop()


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
