"""What hostile and unlucky clients found in streams that outlive their connections. Over real sockets."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from streamweir.faces.browser_ws import PONG
from streamweir.server import production
from streamweir.server.drain import drain
from streamweir.server.life import Server
from streamweir.server.reply import StreamReply
from streamweir.server.sockets import Session
from streamweir.simulator.app import RunningSimulator
from tests.contract.test_streams import KEYS, ask, config, create, messages, opened, resume, wanted
from tests.proxies import Downstream, Told, body_of, profile, proxy_with

pytestmark = pytest.mark.usefixtures("cleared")

ONE_SLOT = 'resume_window = "20s"\nmax_streams = 1\nqueue = 10\nqueue_wait = "10s"'


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
async def narrow(simulator: RunningSimulator, told: Told) -> AsyncIterator[Server]:
    """One stream at a time; others wait."""
    server = await proxy_with(config(simulator, ONE_SLOT, KEYS), told)
    yield server
    await server.stop()


async def init(socket: aiohttp.ClientWebSocketResponse, name: str, **payload: Any) -> None:
    await socket.send_json({"type": "init", "payload": {**body_of("websocket", name), **payload}})


async def until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


async def test_inits_with_one_key_that_wait_for_a_slot_begin_one_generation(
    narrow: Server, simulator: RunningSimulator
) -> None:
    async with aiohttp.ClientSession(narrow.url) as http:
        url = await create(http, "stall", **{"X-API-Key": "one"})
        sockets = [await opened(http, protocols=["streamweir.key.one"]) for _ in range(3)]
        for socket in sockets:
            await init(socket, "p", idempotencyKey="k")
        await until(lambda: narrow.shared.slots.admission.queued)
        await asyncio.sleep(0.2)
        async with http.delete(url) as answer:
            assert answer.status == 204
        acks = [await socket.receive_json(timeout=5) for socket in sockets]
        assert [ack["type"] for ack in acks] == ["handshake_ack"] * 3
        assert all(ack == acks[0] for ack in acks)
        for socket in sockets:
            assert (await messages(socket))[-1]["type"] == "complete"
    assert len(simulator.simulator.seen) == 2


async def test_an_init_that_waits_has_no_id_that_another_takes_meanwhile(narrow: Server) -> None:
    async with aiohttp.ClientSession(narrow.url) as http:
        url = await create(http, "stall", **{"X-API-Key": "one"})
        named = {"X-Request-Id": "mine"}
        first = await opened(http, protocols=["streamweir.key.one"], headers=named)
        second = await opened(http, protocols=["streamweir.key.two"], headers=named)
        await init(first, "p")
        await init(second, "p")
        await until(lambda: narrow.shared.slots.admission.queued == 2)
        async with http.delete(url) as answer:
            assert answer.status == 204
        acks = [await first.receive_json(timeout=5), await second.receive_json(timeout=5)]
        assert acks[0]["streamId"] != acks[1]["streamId"]
        await messages(first)
        await messages(second)
        for protocol, ack in zip(("one", "two"), acks, strict=True):
            socket = await opened(http, protocols=[f"streamweir.key.{protocol}"])
            await resume(socket, streamId=ack["streamId"])
            assert (await messages(socket))[-1]["auditLog"]["requestId"] == ack["streamId"]


async def test_a_page_that_closes_leaves_nothing_running(simulator: RunningSimulator, told: Told) -> None:
    server = await proxy_with(config(simulator, ONE_SLOT.replace("20s", "0s")), told)
    async with aiohttp.ClientSession(server.url) as http:
        runs, waits = await opened(http), await opened(http)
        assert (await ask(runs, "stall"))["type"] == "handshake_ack"
        await messages(runs, 2)
        await init(waits, "stall")
        await until(lambda: server.shared.slots.admission.queued)
        for socket in (runs, waits):
            socket._response.connection.transport.abort()
        await until(lambda: not server.shared.census.sockets)
        await until(lambda: not server.shared.slots.admission.live and not server.shared.census.streams)
    await server.stop()


async def test_a_refused_chat_that_two_asked_for_is_forgotten_once(simulator: RunningSimulator) -> None:
    server = await proxy_with(config(simulator, 'resume_window = "300ms"'))
    async with aiohttp.ClientSession(server.url) as http:

        async def post() -> int:
            async with http.post("/api/chat", json=body_of("ai-sdk", "refused")) as answer:
                await answer.read()
                return answer.status

        assert await asyncio.gather(*(post() for _ in range(5))) == [502] * 5
    await until(lambda: not len(server.shared.kept.streams))
    assert server.shared.kept.logs.size == 0
    await server.stop()


async def test_a_cancel_in_the_very_round_in_which_the_upstream_answers(
    simulator: RunningSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await proxy_with(config(simulator))
    open_first = production.open_first

    async def opening(asked: Any, source: Any) -> Any:
        opened = await open_first(asked, source)
        (stream,) = server.shared.kept.streams.all()
        stream.end("client_gone")
        return opened

    monkeypatch.setattr(production, "open_first", opening)
    async with aiohttp.ClientSession(server.url) as http:
        await create(http, "stall")
        await until(lambda: not server.shared.slots.admission.live)
    await server.stop()


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An upstream that answers nothing."""
    await reader.read()
    writer.close()


async def test_who_reads_no_answers_while_the_upstream_is_silent_stops_nobody() -> None:
    async with await asyncio.start_server(silent, "127.0.0.1", 0) as behind:
        url = f"http://127.0.0.1:{behind.sockets[0].getsockname()[1]}/v1"
        text = f'[upstreams.sim]\ndialect = "openai"\nbase_url = "{url}"\n' + profile("p", "m")
        server = await proxy_with(f'{text}[server]\nresume_window = "0s"\nslow_client = "300ms"\n')
        mute = await Downstream.ask(server, "websocket", "p", limit=1024)
        await until(lambda: server.shared.census.streams)
        mute.writer.transport.pause_reading()
        (session,) = server.shared.census.sockets
        assert isinstance(session, Session)

        def dropped() -> bool:
            # what a flood of its own pings would bring about: its kernel takes more now and then, and is filled again
            if not session.out.stuck:
                session.out.write(PONG * 1000)
            return not server.shared.slots.admission.live

        await until(dropped)
        mute.leave()
        await server.stop()


@pytest.mark.parametrize("face", ["sse", "ai-sdk", "websocket"])
async def test_a_client_that_leaves_as_its_answer_begins_is_no_error_of_ours(
    simulator: RunningSimulator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, face: str
) -> None:
    def leaving(begin: Any) -> Any:
        def begun(answer: web.StreamResponse, request: web.Request, *rest: Any, **named: Any) -> Any:
            if request.transport is not None:
                request.transport.abort()
            return begin(answer, request, *rest, **named)

        return begun

    monkeypatch.setattr(StreamReply, "begin", leaving(StreamReply.begin))
    monkeypatch.setattr(web.WebSocketResponse, "prepare", leaving(web.WebSocketResponse.prepare))
    server = await proxy_with(config(simulator))
    async with aiohttp.ClientSession(server.url) as http:
        with pytest.raises(aiohttp.ClientError):
            if face == "websocket":
                await opened(http)
            elif face == "sse":
                await http.post("/api/llm/stream", json=wanted("p"))
            else:
                await http.post("/api/chat", json=body_of("ai-sdk", "p"))
    await server.stop()
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
    assert b"internal_error" not in server.shared.metrics.text()


async def test_a_chat_that_is_asked_for_twice_while_it_waits_is_one_reply(
    narrow: Server, simulator: RunningSimulator
) -> None:
    async with aiohttp.ClientSession(narrow.url, headers={"X-API-Key": "one"}) as http:
        url = await create(http, "stall")

        async def post() -> bytes:
            async with http.post("/api/chat", json=body_of("ai-sdk", "p")) as answer:
                return await answer.read()

        posts = [asyncio.create_task(post()) for _ in range(2)]
        await until(lambda: narrow.shared.slots.admission.queued)
        await asyncio.sleep(0.2)
        async with http.delete(url) as answer:
            assert answer.status == 204
        first, second = await asyncio.gather(*posts)
        assert first == second
    assert len(simulator.simulator.seen) == 2


async def test_an_end_that_a_leaving_client_was_not_sent_is_there_for_its_chat(simulator: RunningSimulator) -> None:
    server = await proxy_with(config(simulator))
    async with aiohttp.ClientSession(server.url) as http:
        leaving = await Downstream.ask(server, "ai-sdk", "stall")
        begun = await leaving.read(100)
        (stream,) = server.shared.kept.streams.all()
        assert server._listener is not None
        (inbound,) = server._listener.connections
        # it is closed already when the end comes, and its handler does not know yet
        inbound.leave()
        stream.end("client_gone")
        assert stream.over
        async with http.get("/api/chat/c/stream") as answer:
            assert answer.status == 200
            assert (await answer.read()).startswith(begun.partition(b"\r\n\r\n")[2].partition(b"\r\n")[2][:40])
        async with http.get("/api/chat/c/stream") as again:
            assert again.status == 204
    await server.stop()


async def test_a_stream_that_begins_as_the_last_one_ends_is_waited_for_in_peace(
    narrow: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    wait = asyncio.wait

    async def counted(*tasks: Any, **how: Any) -> Any:
        nonlocal looks
        looks += 1
        return await wait(*tasks, **how)

    async with aiohttp.ClientSession(narrow.url, headers={"X-API-Key": "one"}) as http:
        url = await create(http, "stall")
        waits = asyncio.create_task(http.post("/api/llm/stream", json=wanted("stall")))
        await until(lambda: narrow.shared.slots.admission.queued)
        draining = asyncio.create_task(drain(narrow.shared.census, 5.0, asyncio.Event(), lambda _: None))
        await asyncio.sleep(0.1)
        monkeypatch.setattr(asyncio, "wait", counted)
        # the one that waited has its slot in the same moment
        async with http.delete(url) as answer:
            assert answer.status == 204
        await asyncio.sleep(0.3)
        assert narrow.shared.census.streams
        assert looks < 10
        narrow.shared.census.end("draining")
        await draining
        async with await waits as answer:
            assert b"server_draining" in await answer.read()


async def test_a_new_message_has_the_slot_of_a_reply_that_never_began(told: Told) -> None:
    async with await asyncio.start_server(silent, "127.0.0.1", 0) as behind:
        url = f"http://127.0.0.1:{behind.sockets[0].getsockname()[1]}/v1"
        text = f'[upstreams.sim]\ndialect = "openai"\nbase_url = "{url}"\n' + profile("p", "m")
        key = KEYS.partition('[[server.keys]]\nname = "two"')[0] + "concurrent = 1\n"
        server = await proxy_with(f'{text}[server]\ncommit_after = "100ms"\n{key}', told)
        async with aiohttp.ClientSession(server.url, headers={"X-API-Key": "one"}) as http:
            for prompt in ("first", "second"):
                leaving = http.post("/api/chat", json=body_of("ai-sdk", "p", prompt))
                async with leaving as answer:
                    assert answer.status == 200, await answer.text()
                await until(lambda: all(one.abandoned for one in server.shared.kept.streams.all()))
        assert [report.cancelled_by for report in told.reports] == ["client"]
        await server.stop()
