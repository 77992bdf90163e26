"""Streams that outlive their connections: created, attached to, resumed, cancelled, forgotten. Over real sockets."""

import asyncio
import gc
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from streamweir.client.opening import Opening
from streamweir.config import load_text
from streamweir.faces.browser_ws import SUBPROTOCOL
from streamweir.server.keys import digest_of
from streamweir.server.life import Server
from streamweir.server.resumable import Resumable
from streamweir.simulator.app import RunningSimulator
from streamweir.simulator.replies import SCRIPTS, tokens_of
from streamweir.wire.sse import SseDecoder
from tests.proxies import HELLO, Downstream, Told, body_of, profile, proxy_with, upstream

pytestmark = pytest.mark.usefixtures("cleared")

MODELS = {
    "p": "sim:none?rate=0&tokens=40",
    "slow": "sim:none?rate=100&tokens=150",
    "stall": "sim:stall?at=5&rate=0",
    "silent": "sim:slow?wait=30",
    "cut": "sim:cut?at=5&rate=0",
    "refused": "sim:403",
    "huge": "sim:none?rate=0&tokens=400000",
    "endless": "sim:none?rate=0&tokens=1500000",
}
WHOLE = SCRIPTS["hello"]
LONG = {"first_token_timeout": "60s", "idle_timeout": "60s", "inactivity_timeout": "60s"}
KEYS = "".join(f'[[server.keys]]\nname = "{name}"\nsha256 = "{digest_of(name)}"\n' for name in ("one", "two"))


def config(simulator: RunningSimulator, server: str = 'resume_window = "20s"', more: str = "") -> str:
    profiles = "".join(profile(name, model) for name, model in MODELS.items())
    return upstream(simulator, max_tries=1, **LONG) + profiles + f"[server]\n{server}\n{more}"


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
async def server(simulator: RunningSimulator, told: Told) -> AsyncIterator[Server]:
    server = await proxy_with(config(simulator), told)
    yield server
    await server.stop()


@pytest.fixture
async def http(server: Server) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(server.url) as session:
        yield session


def wanted(name: str) -> dict[str, Any]:
    return {"configurationId": name, "messages": HELLO}


async def create(http: aiohttp.ClientSession, name: str, **headers: str) -> str:
    async with http.post("/api/llm/streams", json=wanted(name), headers=headers) as answer:
        assert answer.status == 201, await answer.text()
        return (await answer.json())["url"]


Event = tuple[int, dict[str, Any]]


async def read(http: aiohttp.ClientSession, url: str, after: int | None = None, most: int = 1 << 30) -> list[Event]:
    """The events of a stream behind a position, at most so many; then the client leaves without a word."""
    headers = {} if after is None else {"Last-Event-ID": str(after)}
    events: list[Event] = []
    async with http.get(url, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        assert answer.content_type == "text/event-stream"
        decoder = SseDecoder()
        ids = IdReader()
        async for piece in answer.content.iter_any():
            events += zip(ids(piece), (json.loads(frame.data) for frame in decoder.feed(piece)), strict=True)
            if len(events) >= most:
                answer.close()
                return events[:most]
    return events


class IdReader:
    """The ids of the events that a piece of a stream completes."""

    def __init__(self) -> None:
        self._rest = b""

    def __call__(self, piece: bytes) -> list[int]:
        whole, _, self._rest = (self._rest + piece).rpartition(b"\n\n")
        return [int(line[4:]) for line in whole.split(b"\n") if line.startswith(b"id: ")]


def text_of(events: list[Event]) -> str:
    return "".join(event["content"] for _, event in events if event["type"] == "token")


def dense(events: list[Event]) -> bool:
    return [seq for seq, _ in events] == list(range(len(events)))


async def test_a_created_stream_is_read_from_any_position_and_ends_with_204(
    http: aiohttp.ClientSession, simulator: RunningSimulator
) -> None:
    url = await create(http, "p")
    whole = await read(http, url)
    assert dense(whole)
    assert whole[-1][1]["type"] == "stop"
    assert text_of(whole) == "".join(tokens_of(WHOLE, 40))
    for after in range(-1, len(whole) - 1):
        assert await read(http, url, after) == whole[after + 1 :]
        async with http.get(f"{url}&after={after}") as answer:
            assert (await answer.read()).count(b"\nid: ") == len(whole) - after - 1
    for after in (len(whole) - 1, len(whole) + 5):
        async with http.get(url, headers={"Last-Event-ID": str(after)}) as answer:
            assert answer.status == 204
    assert len(simulator.simulator.seen) == 1


async def test_twenty_cuts_in_one_reply_lose_nothing(http: aiohttp.ClientSession, simulator: RunningSimulator) -> None:
    url = await create(http, "slow")
    events: list[Event] = []
    for _ in range(20):
        events += await read(http, url, events[-1][0] if events else None, most=2)
    events += await read(http, url, events[-1][0])
    assert dense(events)
    assert text_of(events) == "".join(tokens_of(WHOLE, 150))
    assert len(simulator.simulator.seen) == 1


async def test_several_readers_at_once_see_the_same(http: aiohttp.ClientSession, told: Told) -> None:
    url = await create(http, "slow")
    early = [asyncio.create_task(read(http, url)) for _ in range(3)]
    await asyncio.sleep(0.3)
    late = [asyncio.create_task(read(http, url, after)) for after in (-1, 2)]
    first, *others = await asyncio.gather(*early)
    assert dense(first)
    assert all(one == first for one in others)
    assert [await task for task in late] == [first, first[3:]]
    assert len(told.reports) == 1


async def test_a_retry_hint_and_heartbeats_come_first(simulator: RunningSimulator) -> None:
    server = await proxy_with(config(simulator, 'heartbeat = "100ms"'))
    async with aiohttp.ClientSession(server.url) as http, http.get(await create(http, "silent")) as answer:
        assert await answer.content.readexactly(12) == b"retry: 200\n\n"
        assert await answer.content.readexactly(26) == b": heartbeat\n\n: heartbeat\n\n"
    await server.stop()


@pytest.mark.parametrize(
    ("name", "code", "status"), [("cut", "stream_interrupted", "interrupted"), ("refused", "upstream_error", "failed")]
)
async def test_an_end_is_part_of_the_log(
    http: aiohttp.ClientSession, told: Told, name: str, code: str, status: str
) -> None:
    url = await create(http, name)
    await told.next(5)
    events = await read(http, url)
    assert dense(events)
    assert (events[-1][1]["type"], events[-1][1]["code"], events[-1][1]["report"]["status"]) == ("error", code, status)
    assert await read(http, url, events[-1][0] - 1) == events[-1:]


async def test_delete_cancels_for_everybody(
    http: aiohttp.ClientSession, simulator: RunningSimulator, told: Told
) -> None:
    url = await create(http, "stall")
    readers = [asyncio.create_task(read(http, url)) for _ in range(2)]
    await asyncio.sleep(0.2)
    async with http.delete(url) as answer:
        assert answer.status == 204
    for events in await asyncio.gather(*readers):
        assert dense(events)
        assert (events[-1][1]["code"], events[-1][1]["report"]["cancelled_by"]) == ("cancelled", "client")
    assert (await told.next(1)).status == "cancelled"
    async with asyncio.timeout(2):
        while simulator.simulator.seen[0].outcome != "client_closed":
            await asyncio.sleep(0.01)
    async with http.delete(url) as again:
        assert again.status == 204


@pytest.mark.parametrize("name", ["silent", "stall"])
async def test_nobody_came_back_within_the_window(simulator: RunningSimulator, told: Told, name: str) -> None:
    server = await proxy_with(config(simulator, 'resume_window = "400ms"'), told)
    async with aiohttp.ClientSession(server.url) as http:
        url = await create(http, name)
        reading = asyncio.create_task(read(http, url))
        # attended it goes on, however long that takes
        await asyncio.sleep(1.0)
        assert not told.reports
        reading.cancel()
        report = await told.next(2)
        assert (report.status, report.cancelled_by) == ("cancelled", "client")
        async with asyncio.timeout(2):
            while len(server.shared.kept.streams):
                await asyncio.sleep(0.02)
        async with http.get(url) as answer:
            assert (answer.status, (await answer.json())["code"]) == (404, "stream_not_found")
    assert server.shared.kept.logs.size == 0
    await server.stop()


async def test_the_first_reader_has_time_to_come_without_a_window(simulator: RunningSimulator, told: Told) -> None:
    server = await proxy_with(config(simulator, 'resume_window = "0s"'), told)
    async with aiohttp.ClientSession(server.url) as http:
        url = await create(http, "p")
        await told.next(5)
        # more than a round of the wheel
        await asyncio.sleep(0.5)
        assert text_of(await read(http, url)) == "".join(tokens_of(WHOLE, 40))
        async with asyncio.timeout(5):
            while len(server.shared.kept.streams):
                await asyncio.sleep(0.01)
    await server.stop()


async def test_one_request_that_is_sent_ten_times_begins_one_generation(
    http: aiohttp.ClientSession, simulator: RunningSimulator
) -> None:
    key = {"Idempotency-Key": "7e7b"}
    urls = await asyncio.gather(*(create(http, "p", **key) for _ in range(10)))
    assert len(set(urls)) == 1
    assert dense(await read(http, urls[0]))
    assert await create(http, "p", **key) == urls[0]
    assert len(simulator.simulator.seen) == 1
    async with http.post("/api/llm/streams", json=wanted("p") | {"max_tokens": 7}, headers=key) as answer:
        assert (answer.status, (await answer.json())["code"]) == (422, "idempotency_key_reused")
    # what was refused made nothing: the same key may bear the mended request
    wrong = {"Idempotency-Key": "wrong"}
    async with http.post("/api/llm/streams", json={"configurationId": "p"}, headers=wrong) as answer:
        assert answer.status == 400
    assert await create(http, "p", **wrong) != urls[0]
    for bad in ("", "x" * 256, "caf\xe9"):
        async with http.post("/api/llm/streams", json=wanted("p"), headers={"Idempotency-Key": bad}) as answer:
            assert answer.status == 400


async def test_streams_belong_to_the_key_that_made_them(simulator: RunningSimulator) -> None:
    server = await proxy_with(config(simulator, more=KEYS))
    one, two = {"X-API-Key": "one"}, {"X-API-Key": "two"}
    async with aiohttp.ClientSession(server.url) as http:
        url = await create(http, "p", **one, **{"Idempotency-Key": "k"})
        bare = url.partition("?")[0]
        assert dense(await read(http, url)), "the capability stands for a key"
        for where, headers, status in [
            (bare, one, 200),
            (bare, two, 404),
            (bare, {}, 401),
            (url, two, 200),
            (url[:-1] + ("A" if url[-1] != "A" else "B"), one, 404),
            (f"{bare}?cap=", {}, 404),
            ("/api/llm/streams/unknown", one, 404),
            ("/api/llm/streams/unknown?cap=x", {}, 404),
        ]:
            async with http.get(where, headers=headers) as answer:
                assert answer.status == status, (where, headers)
            if status == 404:
                async with http.delete(where, headers=headers) as answer:
                    assert answer.status == 404
        # another's idempotency key is another key, and says nothing of ours
        theirs = await create(http, "p", **two, **{"Idempotency-Key": "k"})
        assert theirs != url
        assert dense(await read(http, theirs))
        assert len(simulator.simulator.seen) == 2
    await server.stop()


@pytest.mark.parametrize("position", ["x", "1.5", "99999999999999999", "-2", "12 "])
async def test_a_position_is_a_number(http: aiohttp.ClientSession, position: str) -> None:
    url = await create(http, "p")
    async with http.get(url, params={"after": position.strip() + "y"}) as answer:
        assert answer.status == 400
    if position == position.strip():
        async with http.get(url, headers={"Last-Event-ID": position}) as answer:
            assert answer.status == 400


async def test_a_position_that_nobody_was_sent_is_refused_while_the_stream_runs(http: aiohttp.ClientSession) -> None:
    url = await create(http, "stall")
    await read(http, url, most=1)
    async with http.get(f"{url}&after=4000") as answer:
        assert (answer.status, (await answer.json())["code"]) == (400, "invalid_request")


async def test_nobody_listens_and_the_log_is_full(simulator: RunningSimulator) -> None:
    server = await proxy_with(config(simulator, more="[live]\nlimit = 1048576\n"))
    async with aiohttp.ClientSession(server.url) as http:
        # a burst of one text over and over, joined and packed, is a fraction of what it was upstream
        server.shared.kept.logs.limit = 131_072
        url = await create(http, "endless")
        async with asyncio.timeout(60):
            while not server.shared.kept.logs.full:
                await asyncio.sleep(0.02)
        seen = simulator.simulator.seen[0]
        held = [-1, -2]
        async with asyncio.timeout(20):
            while held[0] != held[1]:
                held = [held[1], seen.written]
                await asyncio.sleep(0.3)
        assert seen.outcome == "open", "it is held back, and not ended"
        assert server.shared.kept.logs.size < 2 * 131_072
        async with http.post("/api/llm/streams", json=wanted("p")) as answer:
            assert (answer.status, (await answer.json())["code"]) == (503, "logs_full")
            assert int(answer.headers["Retry-After"]) > 0
        # whoever comes gets all of it, though no more of it is kept than that
        events = await read(http, url)
        assert dense(events)
        assert text_of(events) == "".join(tokens_of(WHOLE, 1500000))
        async with http.get(f"{url}&after=3") as answer:
            assert (answer.status, (await answer.json())["code"]) == (404, "position_gone")
        assert server.shared.kept.logs.size < 2 * 131_072
        await create(http, "p")
    await server.stop()


@pytest.mark.parametrize("name", ["p", "refused", "cut"])
async def test_of_a_stream_that_has_ended_only_the_log_is_kept(
    http: aiohttp.ClientSession, server: Server, name: str
) -> None:
    question = f"as long as a prompt may be, of {name}"
    async with http.post("/api/llm/streams", json=body_of("sse", name, question)) as answer:
        await read(http, (await answer.json())["url"])
    async with http.post("/api/chat", json=body_of("ai-sdk", name, question) | {"id": "c"}) as answer:
        await answer.read()
    kept = {stream.wire for stream in server.shared.kept.streams.all()}
    assert kept == ({"sse"} if name == "refused" else {"sse", "ai-sdk"})

    def held() -> int:
        gc.collect()
        openings = [one for one in gc.get_objects() if isinstance(one, Opening)]
        return sum(question in str(one.request.messages) for one in openings)

    async with asyncio.timeout(10):
        while held():
            await asyncio.sleep(0.1)


async def test_a_reload_changes_what_the_logs_may_take(simulator: RunningSimulator) -> None:
    server = await proxy_with(config(simulator))
    async with aiohttp.ClientSession(server.url) as http:
        url = await create(http, "slow")
        await read(http, url, most=40)
        logs = server.shared.kept.logs
        assert logs.size > 0
        server.reload(load_text(config(simulator, more="[live]\nlimit = 1048576\n")), {})
        assert (logs.limit, logs.each) == (1048576, 1048576)
        assert dense(await read(http, url))
    await server.stop()


# -- over the WebSocket --------------------------------------------------------------------------------


async def opened(http: aiohttp.ClientSession, **options: Any) -> aiohttp.ClientWebSocketResponse:
    return await http.ws_connect("/ws", protocols=[SUBPROTOCOL, *options.pop("protocols", ())], **options)


async def ask(socket: aiohttp.ClientWebSocketResponse, name: str, **payload: Any) -> dict[str, Any]:
    await socket.send_json({"type": "init", "payload": {**body_of("websocket", name), **payload}})
    return await socket.receive_json(timeout=5)


async def resume(socket: aiohttp.ClientWebSocketResponse, **payload: Any) -> None:
    await socket.send_json({"type": "resume", "payload": payload})


async def messages(socket: aiohttp.ClientWebSocketResponse, most: int = 1 << 30) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    while len(out) < most and (not out or out[-1]["type"] in ("chunk", "joint", "restarted")):
        out.append(await socket.receive_json(timeout=5))
    return out


def said(got: list[dict[str, Any]]) -> str:
    return "".join(one["data"]["choices"][0]["delta"].get("content") or "" for one in got if one["type"] == "chunk")


async def test_a_websocket_goes_on_over_another(http: aiohttp.ClientSession, simulator: RunningSimulator) -> None:
    socket = await opened(http)
    ack = await ask(socket, "slow")
    got = await messages(socket, 3)
    for _ in range(20):
        socket._response.connection.transport.abort()
        socket = await opened(http)
        await resume(socket, streamId=ack["streamId"], after=got[-1]["seq"])
        got += await messages(socket, 2)
        if got[-1]["type"] == "complete":
            break
    got += [] if got[-1]["type"] == "complete" else await messages(socket)
    assert [one["seq"] for one in got] == list(range(len(got)))
    assert said(got) == "".join(tokens_of(WHOLE, 150))
    assert len(simulator.simulator.seen) == 1
    # all was delivered: the last message once more, and the connection takes another
    await resume(socket, streamId=ack["streamId"], after=got[-1]["seq"])
    assert await socket.receive_json(timeout=5) == got[-1]
    assert (await ask(socket, "p"))["type"] == "handshake_ack"


async def test_a_cancel_reaches_a_resumed_stream(http: aiohttp.ClientSession, told: Told) -> None:
    first = await opened(http)
    ack = await ask(first, "stall")
    await messages(first, 3)
    await first.close()
    assert not told.reports, "leaving is no cancelling"
    second = await opened(http)
    await resume(second, streamId=ack["streamId"], after=2)
    await resume(second, streamId=ack["streamId"], after=2)
    await second.send_json({"type": "cancel"})
    got = [await second.receive_json(timeout=5)]
    while got[-1].get("code") != "cancelled":
        got.append(await second.receive_json(timeout=5))
    assert [one["code"] for one in got if one["type"] == "error"] == ["busy", "cancelled"]
    assert (await told.next(1)).cancelled_by == "client"


async def test_an_init_that_is_sent_twice_begins_one_generation(
    http: aiohttp.ClientSession, simulator: RunningSimulator
) -> None:
    first, second = await opened(http), await opened(http)
    ack = await ask(first, "slow", idempotencyKey="k")
    await messages(first, 2)
    assert await ask(second, "slow", idempotencyKey="k") == ack
    got = await messages(second)
    assert [one["seq"] for one in got] == list(range(len(got)))
    refused = await ask(second, "p", idempotencyKey="k")
    assert refused["code"] == "idempotency_key_reused"
    assert len(simulator.simulator.seen) == 1


@pytest.mark.parametrize("key", ["k", None])
async def test_the_same_init_twice_in_the_queue(simulator: RunningSimulator, key: str | None) -> None:
    server = await proxy_with(config(simulator, "max_streams = 1"))
    payload = {"modelId": "p", "messages": HELLO, **({"idempotencyKey": key} if key is not None else {})}
    async with aiohttp.ClientSession(server.url, headers={"X-Request-Id": "r"}) as http:
        running = await create(http, "stall")
        sockets = [await opened(http), await opened(http)]
        for count, socket in enumerate(sockets, 1):
            await socket.send_json({"type": "init", "payload": payload})
            # with a key the second waits for what becomes of the first
            async with asyncio.timeout(5):
                while server.shared.slots.admission.queued < (1 if key is not None else count):
                    await asyncio.sleep(0.01)
        assert (await http.delete(running)).status == 204
        acks = [await socket.receive_json(timeout=5) for socket in sockets]
        # with a key it is one stream; without one, each has a name of its own
        assert len({ack["streamId"] for ack in acks}) == (2 if key is None else 1)
        for socket in sockets:
            assert [one["seq"] for one in await messages(socket)][:3] == [0, 1, 2]
        assert len(simulator.simulator.seen) == (3 if key is None else 2)
        assert server.shared.slots.admission.live == 0
    await server.stop()


async def test_a_stream_of_the_websocket_belongs_to_its_key(simulator: RunningSimulator) -> None:
    server = await proxy_with(config(simulator, more=KEYS))
    async with aiohttp.ClientSession(server.url) as http:
        mine = await opened(http, protocols=["streamweir.key.one"])
        ack = await ask(mine, "p")
        await messages(mine)
        for protocols, payload, code in [
            (["streamweir.key.one"], {}, None),
            (["streamweir.key.two"], {}, "stream_not_found"),
            ([], {}, "key_missing"),
            ([], {"cap": ack["cap"]}, None),
            ([], {"cap": "wrong"}, "stream_not_found"),
        ]:
            socket = await opened(http, protocols=protocols)
            await resume(socket, streamId=ack["streamId"], after=2, **payload)
            answer = await socket.receive_json(timeout=5)
            assert (answer.get("code"), answer.get("seq")) == ((None, 3) if code is None else (code, None))
            if protocols == [] and code is None:
                await messages(socket)
                # what opened one stream opens no other
                assert (await ask(socket, "p"))["code"] == "key_missing"
        # of another wire
        url = await create(http, "p", **{"X-API-Key": "one"})
        await resume(mine, streamId=url.partition("?")[0].rpartition("/")[2])
        assert (await mine.receive_json(timeout=5))["code"] == "stream_not_found"
    await server.stop()


@pytest.mark.parametrize(
    "payload", [{}, {"streamId": 7}, {"streamId": "x", "after": "y"}, {"streamId": "x", "after": 1.5}]
)
async def test_a_resume_that_is_wrong_is_said(http: aiohttp.ClientSession, payload: dict[str, Any]) -> None:
    socket = await opened(http)
    await resume(socket, **payload)
    assert (await socket.receive_json(timeout=5))["code"] == "invalid_request"


# -- the AI SDK's chats --------------------------------------------------------------------------------


def parts_of(body: bytes) -> list[bytes]:
    return [block for block in body.split(b"\n\n") if block]


async def test_a_chat_finds_its_reply_again(http: aiohttp.ClientSession, simulator: RunningSimulator) -> None:
    async with http.get("/api/chat/c/stream") as none:
        assert none.status == 204
    async with http.post("/api/chat", json=body_of("ai-sdk", "slow")) as answer:
        begun = await answer.content.readany()
        assert answer.headers["x-vercel-ai-ui-message-stream"] == "v1"
    async with http.get("/api/chat/c/stream") as answer:
        whole = await answer.read()
        assert answer.headers["x-vercel-ai-ui-message-stream"] == "v1"
    assert whole.startswith(begun)
    assert whole.endswith(b"data: [DONE]\n\n")
    assert [int(part.split(b"\n")[0][4:]) for part in parts_of(whole)] == list(range(len(parts_of(whole))))
    async with http.get("/api/chat/c/stream") as delivered:
        assert delivered.status == 204
    # a position is an answer to what was delivered
    async with http.get("/api/chat/c/stream?after=-1") as again:
        assert await again.read() == whole
    async with http.get("/api/chat/c/stream?after=4") as behind:
        assert parts_of(await behind.read()) == parts_of(whole)[5:]
    async with http.get(f"/api/chat/c/stream?after={len(parts_of(whole)) - 1}") as nothing:
        assert nothing.status == 204
    assert len(simulator.simulator.seen) == 1


async def test_a_chat_is_cancelled_by_its_id(http: aiohttp.ClientSession, told: Told) -> None:
    async with http.post("/api/chat", json=body_of("ai-sdk", "stall")) as answer:
        await answer.content.readany()
    async with http.delete("/api/chat/c/stream") as answer:
        assert answer.status == 204
    assert (await told.next(1)).cancelled_by == "client"
    async with http.delete("/api/chat/other/stream") as answer:
        assert answer.status == 204


async def test_a_chat_that_is_asked_twice_before_it_answers_is_generated_once(told: Told) -> None:
    asked = 0

    async def late(request: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        await asyncio.sleep(1.5)
        chunk = {"choices": [{"index": 0, "delta": {"content": "Hello"}, "finish_reason": None}]}
        return web.Response(text=f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n", content_type="text/event-stream")

    app = web.Application()
    app.router.add_post("/v1/chat/completions", late)
    async with TestServer(app) as behind:
        text = f'[upstreams.sim]\ndialect = "openai"\nbase_url = "http://127.0.0.1:{behind.port}/v1"\n'
        server = await proxy_with(text + profile("late", "m"), told)
        async with aiohttp.ClientSession(server.url) as http:
            for _ in range(2):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.3), http.post("/api/chat", json=body_of("ai-sdk", "late")):
                        pass
            for count in (1, 2):
                # behind its end it is another question
                async with http.post("/api/chat", json=body_of("ai-sdk", "late")) as answer:
                    assert (await answer.read()).endswith(b"data: [DONE]\n\n")
                assert asked == count
        assert [report.status for report in told.reports] == ["completed", "completed"]
        await server.stop()


async def test_a_new_message_cancels_a_reply_that_nobody_reads(http: aiohttp.ClientSession, told: Told) -> None:
    async with http.post("/api/chat", json=body_of("ai-sdk", "stall")) as answer:
        await answer.content.readany()
    await asyncio.sleep(0.1)
    async with http.post("/api/chat", json=body_of("ai-sdk", "p")) as answer:
        assert (await told.next(1)).cancelled_by == "client"
        assert (await answer.read()).endswith(b"data: [DONE]\n\n")
    assert (await told.next(1)).status == "completed"


async def test_a_chat_that_asks_for_it_ends_with_its_client(http: aiohttp.ClientSession, told: Told) -> None:
    async with http.post("/api/chat", json=body_of("ai-sdk", "stall") | {"resumable": False}) as answer:
        await answer.content.readany()
    assert (await told.next(1)).cancelled_by == "client"
    async with http.get("/api/chat/c/stream") as answer:
        assert answer.status == 204


async def test_a_chat_that_is_refused_is_a_status(http: aiohttp.ClientSession, told: Told) -> None:
    async with http.post("/api/chat", json=body_of("ai-sdk", "refused")) as answer:
        assert answer.status == 502
    assert (await told.next(1)).status == "failed"
    async with http.get("/api/chat/c/stream") as answer:
        assert answer.status == 204


# -- while the server stops ----------------------------------------------------------------------------


async def test_a_drain_lets_clients_come_back_and_says_what_they_need(
    http: aiohttp.ClientSession, server: Server
) -> None:
    url = await create(http, "stall")
    socket = await opened(http)
    ack = await ask(socket, "stall")
    first = await messages(socket, 3)
    events = await read(http, url, most=3)
    server.shared.census.drain()
    async with http.post("/api/llm/streams", json=wanted("p")) as refused:
        assert (refused.status, (await refused.json())["code"]) == (503, "server_draining")
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await opened(http)
    socket._response.connection.transport.abort()
    async with asyncio.timeout(5):
        while not server.shared.kept.awaited("ws"):
            await asyncio.sleep(0.01)
    socket, other = await opened(http), await opened(http)
    await resume(socket, streamId=ack["streamId"], after=first[-1]["seq"])
    assert (await ask(other, "p"))["code"] == "server_draining"
    assert (await other.receive(timeout=5)).data == 1001
    more = asyncio.create_task(read(http, url, events[-1][0]))
    await asyncio.sleep(0.1)
    server.shared.census.end("draining")
    events += await more
    assert dense(events)
    last = events[-1][1]
    assert (last["code"], last["retryable"]) == ("server_draining", True)
    assert last["resume"] == {"streamId": url.partition("?")[0].rpartition("/")[2], "after": events[-1][0]}
    got = first + await messages(socket)
    assert [one["seq"] for one in got] == list(range(len(got)))
    assert got[-1]["resume"] == {"streamId": ack["streamId"], "after": got[-1]["seq"]}
    assert (await socket.receive(timeout=5)).data == 1001


# -- admission, and clients that do not read -----------------------------------------------------------


@pytest.mark.parametrize("wire", ["sse", "ws", "ai-sdk"])
async def test_a_stream_keeps_its_slot_until_its_end_whoever_reads_it(simulator: RunningSimulator, wire: str) -> None:
    limits = 'resume_window = "500ms"\nmax_streams = 1\nqueue = 1\nqueue_wait = "5s"'
    server = await proxy_with(config(simulator, limits))
    async with aiohttp.ClientSession(server.url) as http:
        if wire == "ws":
            socket = await opened(http)
            await ask(socket, "stall")
            waiting = await opened(http)
            await waiting.send_json({"type": "init", "payload": body_of("websocket", "p")})
            await asyncio.sleep(0.1)
            assert (server.shared.slots.admission.live, server.shared.slots.admission.queued) == (1, 1)
            await socket.close()
            # the window of the first runs out, and the second gets its slot
            assert (await waiting.receive_json(timeout=5))["type"] == "handshake_ack"
            assert (await messages(waiting))[-1]["type"] == "complete"
        else:
            path = "/api/chat" if wire == "ai-sdk" else "/api/llm/streams"
            body = body_of("ai-sdk", "stall") if wire == "ai-sdk" else wanted("stall")
            async with http.post(path, json=body) as answer:
                if wire == "sse":
                    url = (await answer.json())["url"]
                    await read(http, url, most=2)
                else:
                    await answer.content.readany()
            async with http.post("/api/llm/stream", json=wanted("p")) as answer:
                assert b'"type":"stop"' in await answer.read()
        async with asyncio.timeout(5):
            while server.shared.slots.admission.live:
                await asyncio.sleep(0.01)
    await server.stop()


@pytest.mark.parametrize("wire", ["sse", "ws"])
async def test_who_does_not_read_is_cut_off_and_may_come_back(
    simulator: RunningSimulator, told: Told, wire: str
) -> None:
    text = config(simulator, 'resume_window = "20s"\nslow_client = "500ms"')
    server = await proxy_with(
        text.replace(
            'model = "sim:none?rate=0&tokens=400000"\n', 'model = "sim:none?rate=0&tokens=400000"\nguard = "off"\n'
        ),
        told,
    )
    async with aiohttp.ClientSession(server.url, read_bufsize=1024) as http:
        if wire == "ws":
            mute = await Downstream.ask(server, "websocket", "huge", limit=1024)
            mute.writer.transport.pause_reading()
            stream = await until_made(server)
        else:
            url = await create(http, "huge")
            stream = await until_made(server)
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
            mute = Downstream(reader, writer)
            writer.transport.pause_reading()
            writer.write(f"GET {url} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        async with asyncio.timeout(20):
            while not stream.abandoned:
                await asyncio.sleep(0.02)
        assert not told.reports, "the stream goes on"
        if wire == "sse":
            first = stream.log.first - 1
            events = await read(http, url, first)
            assert [seq for seq, _ in events] == list(range(first + 1, first + 1 + len(events)))
            assert events[-1][1]["type"] == "stop"
            # a reader that moves is never dropped, nor told
            assert (await told.next(5)).status == "completed"
        else:
            mute.writer.transport.resume_reading()
            data = b""
            async with asyncio.timeout(20):
                while b'"code":"slow_client"' not in data:
                    data = data[-100:] + await mute.reader.read(65536)
        mute.leave()
    await server.stop()


async def until_made(server: Server) -> Resumable:
    async with asyncio.timeout(5):
        while not len(server.shared.kept.streams):
            await asyncio.sleep(0.01)
    return server.shared.kept.streams.all()[0]


async def test_a_stream_that_is_held_back_goes_on_when_the_logs_have_room(
    simulator: RunningSimulator, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await proxy_with(config(simulator), told)
    async with aiohttp.ClientSession(server.url) as http:
        logs = server.shared.kept.logs
        with monkeypatch.context() as patch:
            patch.setattr(logs, "limit", 1)
            patch.setattr(logs, "_tight", 0)
            await create(http, "slow")
            async with asyncio.timeout(5):
                while not simulator.simulator.seen:
                    await asyncio.sleep(0.01)
            await asyncio.sleep(2)
            assert not told.reports, "nobody reads it, and there is no room"
            patch.undo()
            assert (await told.next(10)).status == "completed"
    await server.stop()


async def test_a_ticket_opens_what_is_its_own_and_nothing_else_of_its_key(simulator: RunningSimulator) -> None:
    server = await proxy_with(config(simulator, more=KEYS))
    one = {"X-API-Key": "one"}
    async with aiohttp.ClientSession(server.url) as http:

        async def ticket() -> dict[str, str]:
            async with http.post("/api/llm/tickets", json={"profile": "p"}, headers=one) as answer:
                return {"X-Streamweir-Ticket": (await answer.json())["ticket"]}

        url = await create(http, "slow", **one)
        async with http.post("/api/chat", json=body_of("ai-sdk", "slow"), headers=one) as answer:
            await answer.content.readany()
        bare = url.partition("?")[0]
        for method in ("GET", "DELETE"):
            async with http.request(method, bare, headers=await ticket()) as answer:
                assert answer.status == 404
            async with http.request(method, "/api/chat/c/stream", headers=await ticket()) as answer:
                assert answer.status == 204
        # a chat that is asked for with a ticket takes no other's place
        async with http.post("/api/chat", json=body_of("ai-sdk", "p"), headers=await ticket()) as answer:
            assert (await answer.read()).endswith(b"data: [DONE]\n\n")
        async with http.get("/api/chat/c/stream", headers=one) as answer:
            assert (await answer.read()).count(b"text-delta") > 100
        # what it creates is its own by the capability
        mine = await create(http, "p", **await ticket())
        assert dense(await read(http, mine))
        socket = await opened(http, protocols=["streamweir.key.one"])
        ack = await ask(socket, "p")
        await messages(socket)
        other = await opened(http, protocols=[f"streamweir.ticket.{(await ticket())['X-Streamweir-Ticket']}"])
        await resume(other, streamId=ack["streamId"])
        assert (await other.receive_json(timeout=5))["code"] == "stream_not_found"
    await server.stop()
