"""How a server stops: a real process, live streams in all faces, and what their clients, its operators and others see."""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from streamweir.simulator.app import RunningSimulator
from tests.proxies import FACES, Downstream, body_of, masked, profile, upstream
from tests.servers import Serve

pytestmark = pytest.mark.usefixtures("cleared")

SHORT = "sim:none?tokens=80&rate=20"
"""Four seconds, long after the last of a test's clients has asked."""

LONG = "sim:none?tokens=100000&rate=20"
WHOLE = {
    "sse": b'"type":"stop"',
    "openai": b"data: [DONE]",
    "openai whole": b'"finish_reason":"stop"',
    "responses": b'"response.completed"',
    "ai-sdk": b'"type":"finish"',
    "websocket": b'"type":"complete"',
}
STREAMED = [face for face in FACES if face not in ("websocket", "openai whole")]


@contextlib.asynccontextmanager
async def serving(folder: Path, text: str, drain: str) -> AsyncIterator[Serve]:
    config = folder / "streamweir.toml"
    config.write_text(f'{text}[server]\ndrain = "{drain}"\n')
    serve = await Serve.start(config)
    try:
        yield serve
    finally:
        await serve.kill()


async def all_of(client: Downstream) -> bytes:
    """What a client gets until the server closes."""
    return await client.reader.read(-1)


async def until_draining(http: aiohttp.ClientSession) -> dict[str, Any]:
    async with asyncio.timeout(10):
        while True:
            async with http.get("/readyz") as answer:
                if answer.status == 503:
                    return await answer.json()
            await asyncio.sleep(0.01)


async def asked(simulator: RunningSimulator, count: int) -> None:
    """Wait until the upstream has had so many requests."""
    async with asyncio.timeout(15):
        while len(simulator.simulator.seen) < count:
            await asyncio.sleep(0.01)


def ends_well(face: str, data: bytes) -> bool:
    """Whether the answer's own framing says that it is over; otherwise it was cut."""
    if face == "websocket":
        return data.rstrip().endswith(b"the server is shutting down")
    if face == "openai whole":
        head, _, body = data.partition(b"\r\n\r\n")
        return len(body) == int(re.search(rb"Content-Length: (\d+)", head)[1])
    return data.endswith(b"0\r\n\r\n")


async def test_what_fits_finishes_and_what_is_left_is_told(simulator: RunningSimulator, tmp_path: Path) -> None:
    text = upstream(simulator) + profile("short", SHORT) + profile("long", LONG, deadline="300s")
    async with serving(tmp_path, text, "10s") as serve, aiohttp.ClientSession(serve.url) as http:
        async with http.get("/readyz") as answer:
            assert (answer.status, await answer.json()) == (200, {"status": "ready"})
        names = [(face, name) for name in ("long", "short") for face in FACES]
        asking = [Downstream.ask(serve, face, name) for face, name in names]
        clients = dict(zip(names, await asyncio.gather(*asking), strict=True))
        await asked(simulator, len(clients))
        serve.terminate()
        said = await until_draining(http)
        assert (said["status"], len(said["reasons"])) == ("draining", 1)

        # reading goes on, on connections that are not kept; nothing new begins, whatever the face
        for path in ("/healthz", "/v1/models", "/version"):
            async with http.get(path) as answer:
                assert (answer.status, answer.headers["Connection"]) == (200, "close")
        async with http.get("/metrics") as answer:
            assert "streamweir_draining 1.0" in await answer.text()
        for face in (*STREAMED, "openai whole"):
            async with http.post(FACES[face][0], json=body_of(face, "short")) as answer:
                assert (answer.status, answer.headers["Connection"], answer.headers["Retry-After"]) == (
                    503,
                    "close",
                    "1",
                )
                body = await answer.json()
                assert (body if "code" in body else body["error"])["code"] == "server_draining"
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect("/ws", protocols=("streamweir.v1",))
        assert refused.value.status == 503
        socket = clients["websocket", "long"]
        socket.writer.write(masked(json.dumps({"type": "init", "payload": body_of("websocket", "short")}).encode()))

        async with asyncio.timeout(30):
            data = dict(zip(clients, await asyncio.gather(*map(all_of, clients.values())), strict=True))
        assert await serve.ended() == 0
        for (face, name), got in data.items():
            assert ends_well(face, got), (face, name, got[-300:])
            assert (WHOLE[face] in got) == (name == "short"), (face, name, got[-300:])
            assert (b"server_draining" in got) == (name == "long"), (face, name, got[-300:])
        assert data["openai whole", "long"].startswith(b"HTTP/1.1 503 ")
        # the second init was refused, and the stream went on
        assert data["websocket", "long"].count(b'"code":"server_draining"') == 3
        # the last frame of both: a close with 1001
        assert data["websocket", "short"][-31:] == b"\x88\x1d\x03\xe9the server is shutting down"
        assert data["websocket", "long"][-31:] == data["websocket", "short"][-31:]

        ends = sorted((line["report"]["profile"], line["report"]["status"]) for line in serve.told if "report" in line)
        assert ends == [("long", "cancelled")] * 6 + [("short", "completed")] * 6
        assert {line["code"] for line in serve.told if "report" not in line} == {"server_draining"}
        *told, last = [line for line in serve.lines if line.startswith("streamweir: draining")]
        counts = [re.fullmatch(r"streamweir: draining: (\d+) streams left, (\d+) s", line) for line in told]
        left = [(int(found[1]), int(found[2])) for found in counts if found]
        # one when it starts, one when the number has changed, at most one in three seconds
        assert left[0] == (12, 10), told
        assert left[-1][0] == 6, told
        assert len(left) == len(told) <= 4
        assert sorted(left, reverse=True) == left
        assert last == "streamweir: draining: the 10 s of server.drain are over: 6 streams of 12 end now"
        for client in clients.values():
            await client.close()


@contextlib.asynccontextmanager
async def mute() -> AsyncIterator[str]:
    """An upstream that takes every request and never answers one."""
    writers = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        for writer in writers:
            writer.transport.abort()


@pytest.mark.parametrize("begun", [False, True])
async def test_what_waits_for_the_upstream_is_refused_or_told(tmp_path: Path, begun: bool) -> None:
    async with mute() as url:
        text = f'[upstreams.sim]\ndialect = "openai"\nbase_url = "{url}"\n' + profile("p", "m", deadline="300s")
        more = '1s"\ncommit_after = "' + ("100ms" if begun else "60s")
        async with serving(tmp_path, text, more) as serve, aiohttp.ClientSession(serve.url) as http:
            clients = {face: await Downstream.ask(serve, face, "p") for face in FACES}
            async with asyncio.timeout(15):
                while 'streamweir_live_streams{phase="opening"} 6.0' not in await (await http.get("/metrics")).text():
                    await asyncio.sleep(0.02)
            first = {face: await clients[face].reader.readexactly(12) for face in STREAMED if begun}
            serve.terminate()
            async with asyncio.timeout(30):
                data = {face: first.get(face, b"") + await all_of(client) for face, client in clients.items()}
            assert await serve.ended() == 0
            for face, got in data.items():
                assert b"server_draining" in got, (face, got)
                if face != "websocket":
                    in_band = begun and face != "openai whole"
                    assert got.startswith(b"HTTP/1.1 200 " if in_band else b"HTTP/1.1 503 "), (face, got)
                    assert in_band or b"Retry-After: 1\r\n" in got, (face, got)
                assert WHOLE[face] not in got
            assert {(line["report"]["status"], line["report"]["cancelled_by"]) for line in serve.told} == {
                ("cancelled", "server")
            }
            assert len(serve.told) == len(FACES)
            for client in clients.values():
                await client.close()


async def test_a_second_signal_ends_at_once_and_in_band(simulator: RunningSimulator, tmp_path: Path) -> None:
    text = upstream(simulator) + profile("long", LONG, deadline="3000s")
    async with serving(tmp_path, text, "1000s") as serve:
        clients = {face: await Downstream.ask(serve, face, "long") for face in FACES}
        await asked(simulator, len(clients))
        serve.terminate()
        await serve.says("draining: 6 streams left, 1000 s")
        serve.terminate()
        async with asyncio.timeout(30):
            data = {face: await all_of(client) for face, client in clients.items()}
        assert await serve.ended() == 0
        for face, got in data.items():
            assert b"server_draining" in got, (face, got[-300:])
            assert ends_well(face, got), (face, got[-300:])
        await serve.says("a second signal came: 6 streams of 6 end now")
        for client in clients.values():
            await client.close()


async def test_no_time_to_drain_is_an_end_at_once(simulator: RunningSimulator, tmp_path: Path) -> None:
    text = upstream(simulator) + profile("long", LONG, deadline="3000s")
    async with serving(tmp_path, text, "0s") as serve:
        client = await Downstream.ask(serve, "sse", "long")
        await client.reader.readuntil(b'"token"')
        serve.terminate()
        async with asyncio.timeout(30):
            assert b'"code":"server_draining","retryable":true' in (got := await all_of(client))
        assert ends_well("sse", got)
        assert await serve.ended() == 0
        await client.close()


async def test_where_nothing_is_live_it_stops_at_once(simulator: RunningSimulator, tmp_path: Path) -> None:
    text = upstream(simulator) + profile("short", "sim:none?rate=0")
    async with serving(tmp_path, text, "1000s") as serve, aiohttp.ClientSession(serve.url) as http:
        async with http.get("/healthz") as answer:
            # a connection that is kept, and idle
            assert answer.headers.get("Connection") != "close"
        idle = await http.ws_connect("/ws", protocols=("streamweir.v1",))
        used = await http.ws_connect("/ws", protocols=("streamweir.v1",))
        await used.send_json({"type": "init", "payload": body_of("websocket", "short")})
        while (await used.receive_json())["type"] != "complete":
            pass
        serve.terminate()
        async with asyncio.timeout(30):
            for socket in (idle, used):
                message = await socket.receive()
                assert (message.type, socket.close_code) == (aiohttp.WSMsgType.CLOSE, 1001)
            assert await serve.ended() == 0
        assert not [line for line in serve.lines if "draining" in line]


async def test_who_reads_late_gets_the_end_and_who_never_reads_holds_nothing_up(
    simulator: RunningSimulator, tmp_path: Path
) -> None:
    text = upstream(simulator) + profile("fast", "sim:none?tokens=120000&rate=0", deadline="3000s", guard="off")
    async with serving(tmp_path, text, "0s") as serve:
        late, never = [await Downstream.ask(serve, "sse", "fast", limit=1024) for _ in range(2)]
        async with asyncio.timeout(30):
            while True:
                # both are full: their upstreams are not read, and what is written waits
                before = [seen.written for seen in simulator.simulator.seen]
                await asyncio.sleep(0.5)
                if before and before == [seen.written for seen in simulator.simulator.seen]:
                    break
        serve.terminate()
        await serve.says("2 streams of 2 end now")
        async with asyncio.timeout(30):
            got = await all_of(late)
            assert await serve.ended() == 0
        assert ends_well("sse", got)
        assert b'"code":"server_draining"' in got[-3000:]
        await late.close()
        never.leave()
