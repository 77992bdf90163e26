"""The browsers' WebSocket over real sockets: the protocol, its refusals, and a client that does not read."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from streamweir.config import load_text
from streamweir.server.keys import digest_of
from streamweir.server.life import Server
from streamweir.simulator.app import RunningSimulator
from streamweir.simulator.replies import SCRIPTS, tokens_of
from tests.proxies import HELLO, Downstream, Told, masked, profile, proxy_with, upstream

pytestmark = pytest.mark.usefixtures("cleared")

WHOLE = SCRIPTS["hello"]
PROFILES = {
    "p": "sim:none?rate=0",
    "slowly": "sim:none?rate=30",
    "late": "sim:slow?wait=30",
    "cut": "sim:cut?rate=0",
    "length": "sim:length?rate=0",
    "stall": "sim:stall-comments?rate=0",
    "403": "sim:403",
    "429": "sim:429-always",
    "long": "sim:none?rate=0&tokens=200000",
    "tools": "sim:tools?rate=0",
    "joined": "sim:cut-once?rate=0&overlap=2",
    "again": "sim:cut-once?rate=0&key=again",
}
MORE: dict[str, dict[str, Any]] = {
    "small": {"context_window": 1},
    "joined": {"on_cut": "continue"},
    "again": {"on_cut": "restart"},
    # pieces are counted, and a guard holds some of them whole
    "long": {"guard": "off"},
}


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
async def server(simulator: RunningSimulator, told: Told) -> AsyncIterator[Server]:
    text = upstream(simulator, idle_timeout="300ms") + '[server]\nheartbeat = "300ms"\n'
    text += "".join(profile(n, m, **MORE.get(n, {})) for n, m in {**PROFILES, "small": "sim:none"}.items())
    server = await proxy_with(text, told)
    yield server
    await server.stop()


@pytest.fixture
async def socket(server: Server) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(f"{server.url}/ws", protocols=("streamweir.v1", "streamweir.key.any")) as socket,
    ):
        assert socket.protocol == "streamweir.v1"
        yield socket


def init(model: str, **more: Any) -> dict[str, Any]:
    return {"type": "init", "payload": {"modelId": model, "messages": HELLO, **more}}


async def next_of(socket: aiohttp.ClientWebSocketResponse) -> dict[str, Any]:
    async with asyncio.timeout(5):
        return (await socket.receive()).json()


async def to_the_end(socket: aiohttp.ClientWebSocketResponse) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    while not messages or messages[-1]["type"] not in ("complete", "blocked", "error"):
        message = await next_of(socket)
        if message["type"] != "ping":
            messages.append(message)
    return messages


async def ask(socket: aiohttp.ClientWebSocketResponse, model: str, **more: Any) -> list[dict[str, Any]]:
    await socket.send_json(init(model, **more))
    return await to_the_end(socket)


def content(messages: list[dict[str, Any]]) -> str:
    chunks = [m["data"]["choices"][0] for m in messages if m["type"] == "chunk" and m["data"]["choices"]]
    return "".join(choice["delta"].get("content") or "" for choice in chunks)


async def test_replies_one_behind_the_other(socket: aiohttp.ClientWebSocketResponse, told: Told) -> None:
    ids = set()
    for model, status, outcome in (
        ("p", "success", "completed"),
        ("length", "success", "truncated"),
        ("p", "success", "completed"),
    ):
        first, *rest = await ask(socket, model, unknown=1, temperature=0.5)
        assert (first["type"], first["modelId"]) == ("handshake_ack", model)
        assert first["tokenCount"] > 0
        ids.add(first["streamId"])
        assert [m["seq"] for m in rest] == list(range(len(rest)))
        assert content(rest) == WHOLE
        texts = [m["index"] for m in rest if m["type"] == "chunk" and m["data"]["choices"][0]["delta"].get("content")]
        assert texts == list(range(len(texts)))
        last = rest[-1]
        log = last["auditLog"]
        assert (last["type"], log["status"], log["outcome"]) == ("complete", status, outcome)
        assert (log["requestId"], log["modelId"]) == (first["streamId"], model)
        assert log["tokenCount"] > 0
        assert (log["ppiFiltered"], log["piiFiltered"], log["safetyPassed"]) == (False, False, True)
        assert "text" not in log["report"]
        assert rest[-2]["data"]["choices"][0]["finish_reason"] == ("length" if outcome == "truncated" else "stop")
    assert len(ids) == 3
    assert len(told.reports) == 3


@pytest.mark.parametrize(
    ("model", "code", "retryable", "text"),
    [
        ("cut", "stream_interrupted", True, "Hello, and thank you"),
        ("stall", "stream_stalled", True, "Hello, and thank you"),
        ("403", "upstream_unavailable", False, ""),
        ("429", "upstream_unavailable", False, ""),
    ],
)
async def test_failures_are_in_band(
    socket: aiohttp.ClientWebSocketResponse, model: str, code: str, retryable: bool, text: str
) -> None:
    messages = await ask(socket, model)
    last = messages[-1]
    assert (last["type"], last["code"], last["retryable"]) == ("error", code, retryable)
    assert content(messages) == text
    assert last["auditLog"]["status"] == "failed"
    assert last["correlation_id"].startswith("sim-correlation")
    if code == "upstream_unavailable":
        assert last["message"] == "Stream initiation failed after retries"
    # the connection is as good as before; after a 429 its upstream is paused, for every profile
    assert (await ask(socket, "p"))[-1]["type"] == ("error" if model == "429" else "complete")
    assert (await ask(socket, "no such profile"))[-1]["code"] == "profile_not_found"


@pytest.mark.parametrize(
    ("said", "code", "message"),
    [
        ("{", "invalid_handshake", "Invalid handshake type"),
        ("[]", "invalid_handshake", "Invalid handshake type"),
        ('{"type": "hello"}', "invalid_handshake", "Invalid handshake type"),
        ('{"type": "init", "payload": {}}', "invalid_request", "Schema validation failed"),
        ('{"type": "init", "payload": 3}', "invalid_request", "Schema validation failed"),
        (
            '{"type": "init", "payload": {"modelId": "p", "messages": []}}',
            "invalid_request",
            "Schema validation failed",
        ),
        (
            '{"type": "init", "payload": {"modelId": "p", "messages": [{"role": "user"}], "temperature": "x"}}',
            "invalid_request",
            "Schema validation failed",
        ),
        (json.dumps(init("none")), "profile_not_found", "profile 'none' is unknown"),
        (json.dumps(init("small")), "context_window_exceeded", "Context window exceeded: 3 > 1"),
        (json.dumps(init("p", temperature=9)), "invalid_request", "Schema validation failed"),
        ("[" * 100_000, "invalid_handshake", "Invalid handshake type"),
    ],
)
async def test_what_is_not_taken_is_said(
    socket: aiohttp.ClientWebSocketResponse, said: str, code: str, message: str, simulator: RunningSimulator
) -> None:
    await socket.send_str(said)
    answer = await next_of(socket)
    assert (answer["type"], answer["code"]) == ("error", code)
    assert answer["message"].startswith(message)
    assert simulator.simulator.seen == []
    assert (await ask(socket, "p"))[-1]["type"] == "complete"


async def test_one_stream_at_a_time_and_cancel(
    socket: aiohttp.ClientWebSocketResponse, told: Told, simulator: RunningSimulator
) -> None:
    for model in ("slowly", "late"):
        await socket.send_json(init(model))
        assert (await next_of(socket))["type"] == "handshake_ack"
        await socket.send_json(init("p"))
        busy = await next_of(socket)
        while busy["type"] != "error":
            busy = await next_of(socket)
        assert busy["code"] == "busy"
        assert "seq" not in busy
        await socket.send_json({"type": "cancel"})
        last = (await to_the_end(socket))[-1]
        assert (last["type"], last["code"], last["auditLog"]["outcome"]) == ("error", "cancelled", "cancelled")
        report = await told.next(1)
        assert report.cancelled_by == "client"
        async with asyncio.timeout(1):
            while simulator.simulator.seen[-1].outcome != "client_closed":
                await asyncio.sleep(0.005)
    # with nothing to cancel there is nothing to say
    await socket.send_json({"type": "cancel"})
    await socket.send_json({"type": "ping"})
    assert (await next_of(socket))["type"] == "pong"


async def test_heartbeats_go_both_ways(socket: aiohttp.ClientWebSocketResponse) -> None:
    beats = [await next_of(socket) for _ in range(3)]
    assert beats == [{"type": "ping"}] * 3
    await socket.send_json({"type": "pong"})
    assert (await ask(socket, "p"))[-1]["type"] == "complete"
    # and while an upstream is silent
    await socket.send_json(init("late"))
    assert {(await next_of(socket))["type"] for _ in range(4)} == {"handshake_ack", "chunk", "ping"}


async def test_a_joint_and_a_restart(socket: aiohttp.ClientWebSocketResponse) -> None:
    joined = await ask(socket, "joined")
    at = next(m["at"] for m in joined if m["type"] == "joint")
    assert content(joined) == WHOLE
    assert content(joined[: next(n for n, m in enumerate(joined) if m["type"] == "joint")]) == WHOLE[:at]
    again = await ask(socket, "again")
    number = next(n for n, m in enumerate(again) if m["type"] == "restarted")
    assert content(again[number:]) == WHOLE
    assert [m["seq"] for m in again[1:]] == list(range(len(again) - 1))


async def test_tool_calls_go_as_chunks(socket: aiohttp.ClientWebSocketResponse) -> None:
    messages = await ask(socket, "tools")
    calls = [m["data"]["choices"][0]["delta"].get("tool_calls") for m in messages if m["type"] == "chunk"]
    arguments = "".join(call[0]["function"].get("arguments") or "" for call in calls if call)
    assert json.loads(arguments)
    assert messages[-2]["data"]["choices"][0]["finish_reason"] == "tool_calls"


async def test_a_client_that_does_not_read_holds_the_upstream_and_loses_nothing(
    server: Server, simulator: RunningSimulator
) -> None:
    client = await Downstream.ask(server, "websocket", "long", limit=1024)
    async with asyncio.timeout(10):
        held = -1
        while not simulator.simulator.seen or simulator.simulator.seen[0].written != held:
            held = simulator.simulator.seen[0].written if simulator.simulator.seen else -1
            await asyncio.sleep(0.2)
    # its log, and what its connection may have waiting; of a burst that is far more upstream
    assert server.shared.kept.logs.size < 2_000_000
    assert simulator.simulator.seen[0].outcome == "open"
    data = b""
    async with asyncio.timeout(30):
        while b'"type":"complete"' not in data[-4000:]:
            data += await client.reader.read(1 << 20)
    assert simulator.simulator.seen[0].written > held + 1_000_000
    seqs = [int(part.partition(b",")[0]) for part in data.split(b'"type":"chunk","seq":')[1:]]
    assert seqs == list(range(len(seqs)))
    texts = [json.loads(one) for one in re.findall(rb'"delta":{"content":("(?:[^"\\]|\\.)*")', data)]
    assert "".join(texts) == "".join(tokens_of(WHOLE, 200_000))
    client.leave()


async def test_odd_frames(server: Server) -> None:
    async with aiohttp.ClientSession() as http:
        async with http.get(f"{server.url}/ws") as answer:
            assert (answer.status, (await answer.json())["code"]) == (426, "upgrade_required")
        async with http.ws_connect(f"{server.url}/ws") as socket:
            await socket.send_bytes(b"{}")
            assert (await next_of(socket))["code"] == "invalid_handshake"
    # closed in the middle of a stream, by a frame
    client = await Downstream.ask(server, "websocket", "slowly")
    await client.read(300)
    client.writer.write(masked(b"\x03\xe8", 8))
    rest = await client.read(1 << 20)
    assert rest.endswith(b"\x88\x02\x03\xe8")
    client.writer.close()
    await client.writer.wait_closed()


async def test_cancel_right_behind_init_and_init_right_behind_cancel(server: Server, told: Told) -> None:
    question, cancel = json.dumps(init("slowly")).encode(), b'{"type":"cancel"}'
    client = await Downstream.ask(server, "websocket", "slowly")

    async def until(words: bytes) -> bytes:
        data = b""
        async with asyncio.timeout(5):
            while words not in data:
                data += await client.reader.read(65536)
        return data

    await until(b'"type":"chunk"')
    # in one segment: the stream's cancel, another question, and its cancel before anything of it has run
    client.writer.write(masked(cancel) + masked(question) + masked(cancel))
    data = b""
    ended = b'{"type":"error","message":"The reply was cancelled."'
    while data.count(ended) < 2:
        data += await until(ended)
    assert b'"busy"' not in data
    assert data.count(b'"type":"handshake_ack"') == 1
    client.writer.write(masked(json.dumps(init("p")).encode()))
    await until(b'"type":"complete"')
    assert [report.status for report in told.reports] == ["cancelled", "cancelled", "completed"]
    await client.close()


async def test_a_client_that_asks_and_never_reads_is_cut(server: Server) -> None:
    client = await Downstream.ask(server, "websocket", "none", limit=1024)
    with pytest.raises((ConnectionError, OSError)):
        async with asyncio.timeout(20):
            while True:
                client.writer.write(masked(b"{}") * 10_000)
                await client.writer.drain()
                await asyncio.sleep(0)
    client.leave()


async def test_a_key_that_was_taken_away_starts_nothing_more(simulator: RunningSimulator) -> None:
    text = upstream(simulator) + profile("p", "sim:none?rate=0")
    key = '[[server.keys]]\nname = "{0}"\nsha256 = "{1}"\n'
    one, two = key.format("one", digest_of("one")), key.format("two", digest_of("two"))
    server = await proxy_with(text + one + two)
    async with aiohttp.ClientSession(server.url) as http:

        async def ticket() -> str:
            async with http.post("/api/llm/tickets", json={"profile": "p"}, headers={"X-API-Key": "one"}) as answer:
                return (await answer.json())["ticket"]

        unused = await ticket()
        by_key = await http.ws_connect("/ws", protocols=("streamweir.v1", "streamweir.key.one"))
        by_ticket = await http.ws_connect("/ws", protocols=("streamweir.v1", f"streamweir.ticket.{await ticket()}"))
        for socket in (by_key, by_ticket):
            assert (await ask(socket, "p"))[-1]["type"] == "complete"
        server.reload(load_text(text + two), {})
        for socket in (by_key, by_ticket):
            await socket.send_json(init("p"))
            assert (await next_of(socket))["code"] == "invalid_key"
            await socket.close()
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await http.ws_connect("/ws", protocols=("streamweir.v1", f"streamweir.ticket.{unused}"))
        with pytest.raises(aiohttp.WSServerHandshakeError, match="400"):
            await http.ws_connect("/ws", protocols=("streamweir.key.two",))
    await server.stop()
