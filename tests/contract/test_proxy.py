"""The proxy over real sockets: routes, refusals, in-band failures, flow control."""

import asyncio
import io
import json
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from streamweir.server.life import Server
from streamweir.simulator.app import RunningSimulator
from streamweir.simulator.replies import SCRIPTS, tokens_of
from streamweir.wire.sse import SseDecoder
from tests.conftest import started_proxy
from tests.contract.test_client import closed_within

pytestmark = pytest.mark.usefixtures("cleared")

HELLO = [{"role": "user", "content": "hello"}]
WHOLE = SCRIPTS["hello"]
FIRST = "".join(tokens_of(WHOLE)[:5])
MODELS = {
    "support": "sim:none?rate=200",
    **{
        f: f"sim:{f}?rate=200"
        for f in (
            "length",
            "filter",
            "cut",
            "cut-hard",
            "reset",
            "stall",
            "stall-comments",
            "error",
            "malformed",
            "oversized",
            "gaps",
        )
    },
    **{
        f: f"sim:{f}"
        for f in ("gzip", "json", "400", "401", "403", "404", "429-always", "500", "502-html", "503-twice")
    },
    "late": "sim:slow?wait=5",
    "slowly": "sim:none?rate=20",
    "silent": "sim:stall?at=3&rate=100",
    "long": "sim:none?rate=0&tokens=300000",
    "medium": "sim:none?rate=50&tokens=60",
}
# profile: (status, code)
IN_BAND = {
    "cut": ("interrupted", "stream_interrupted"),
    "cut-hard": ("interrupted", "stream_interrupted"),
    "reset": ("interrupted", "upstream_lost"),
    "stall": ("timed_out", "stream_stalled"),
    "stall-comments": ("timed_out", "stream_stalled"),
    "late": ("timed_out", "stream_timed_out"),
    "error": ("failed", "upstream_error"),
    "malformed": ("failed", "protocol_error"),
    "oversized": ("failed", "protocol_error"),
    "gaps": ("failed", "integrity_failed"),
}
REFUSED = {
    "gzip": (502, "protocol_error"),
    "json": (502, "protocol_error"),
    "400": (502, "upstream_refused"),
    "401": (502, "upstream_refused"),
    "403": (502, "upstream_refused"),
    "404": (502, "upstream_refused"),
    "429-always": (429, "rate_limited"),
    "500": (502, "upstream_refused"),
    "502-html": (502, "upstream_refused"),
}


@pytest.fixture
async def proxy(simulator: RunningSimulator) -> AsyncIterator[Server]:
    server = await started_proxy(simulator, MODELS)
    yield server
    await server.stop()


@pytest.fixture
async def http(proxy: Server) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(proxy.url) as session:
        yield session


async def browser(http: aiohttp.ClientSession, profile: str) -> list[tuple[str, dict]]:
    async with http.post("/api/llm/stream", json={"configurationId": profile, "messages": HELLO}) as answer:
        assert answer.status == 200
        frames = SseDecoder().feed(await answer.read())
    return [(frame.id, json.loads(frame.data)) for frame in frames]


async def chat(http: aiohttp.ClientSession, profile: str, **body: object) -> list[str]:
    sent = {"model": profile, "messages": HELLO, "stream": True, **body}
    async with http.post("/v1/chat/completions", json=sent) as answer:
        assert answer.status == 200
        return [frame.data for frame in SseDecoder().feed(await answer.read())]


async def test_browser_sse(http: aiohttp.ClientSession) -> None:
    events = await browser(http, "support")
    assert [id for id, _ in events] == [str(n) for n in range(len(events))]
    tokens = [event for _, event in events if event["type"] == "token"]
    assert "".join(event["content"] for event in tokens) == WHOLE
    assert [event["index"] for event in tokens] == list(range(len(tokens)))
    last = events[-1][1]
    assert last["type"] == "stop"
    assert last["report"]["status"] == "completed"
    assert last["report"]["profile"] == "support"
    assert "text" not in last["report"]


async def test_headers_of_a_stream(http: aiohttp.ClientSession) -> None:
    async with http.post(
        "/api/llm/stream", json={"configurationId": "support", "messages": HELLO}, headers={"X-Request-Id": "mine"}
    ) as answer:
        assert answer.content_type == "text/event-stream"
        assert answer.headers["Cache-Control"] == "no-cache, no-transform"
        assert answer.headers["X-Accel-Buffering"] == "no"
        assert answer.headers["X-Request-Id"] == "mine"
        assert answer.headers["ININ-Correlation-Id"].startswith("sim-correlation")
        assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize("profile", IN_BAND)
async def test_a_failure_is_in_band_in_the_browser_face(http: aiohttp.ClientSession, profile: str) -> None:
    status, code = IN_BAND[profile]
    events = [event for _, event in await browser(http, profile)]
    last = events[-1]
    assert (last["type"], last["code"], last["report"]["status"]) == ("error", code, status)
    assert last["retryable"] == (status in ("interrupted", "timed_out"))
    assert last["correlation_id"]
    assert "overloaded" not in json.dumps(events)
    assert not any(event["type"] == "stop" for event in events)
    if profile not in ("late", "gaps"):
        assert "".join(event["content"] for event in events[:-1]) == FIRST


@pytest.mark.parametrize("profile", IN_BAND)
async def test_a_failure_is_in_band_in_the_openai_face(http: aiohttp.ClientSession, profile: str) -> None:
    frames = await chat(http, profile)
    error = json.loads(frames[-1])["error"]
    assert error["code"] == IN_BAND[profile][1]
    assert error["correlation_id"]
    assert "[DONE]" not in frames
    assert not any((json.loads(frame).get("choices") or [{}])[0].get("finish_reason") for frame in frames[:-1])


async def test_truncated_and_filtered(http: aiohttp.ClientSession) -> None:
    assert (await browser(http, "length"))[-1][1]["report"]["status"] == "truncated"
    blocked = (await browser(http, "filter"))[-1][1]
    assert (blocked["type"], blocked["reason"]) == ("blocked", "Safety guardrail violation")
    frames = await chat(http, "filter")
    assert json.loads(frames[-2])["choices"][0]["finish_reason"] == "content_filter"
    assert json.loads(frames[-1])["error"]["code"] == "stream_blocked"
    assert json.loads((await chat(http, "length"))[-2])["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize("profile", REFUSED)
async def test_a_refusal_before_the_first_byte_is_a_status(http: aiohttp.ClientSession, profile: str) -> None:
    status, code = REFUSED[profile]
    async with http.post("/api/llm/stream", json={"configurationId": profile, "messages": HELLO}) as answer:
        body = await answer.json()
        assert (answer.status, body["code"]) == (status, code)
        assert set(body) == {"error", "code", "correlation_id"}
        if status == 429:
            assert answer.headers["Retry-After"] == "3600"
    async with http.post("/v1/chat/completions", json={"model": profile, "messages": HELLO}) as answer:
        body = await answer.json()
        assert (answer.status, body["error"]["code"]) == (status, code)
        assert set(body["error"]) >= {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"{", 400, "not JSON"),
        (b"[]", 400, ""),
        (b"{}", 400, "configurationId and messages are required"),
        (b'{"configurationId":"support","messages":[]}', 400, "configurationId and messages are required"),
        (b'{"configurationId":"support","messages":"x"}', 400, "messages"),
        (b'{"configurationId":"suport","messages":[{"role":"user","content":"x"}]}', 404, "did you mean 'support'"),
        (
            b'{"configurationId":"support","messages":[{"role":"user","content":"x"}],"stop":"."}',
            400,
            "stop cannot be carried",
        ),
        (b'{"configurationId":"support","messages":[{"content":"x"}],"temperature":9}', 400, "messages[0] has no role"),
        (b'{"configurationId":"support","messages":' + b"[" * 100_000, 400, ""),
    ],
)
async def test_bad_requests(http: aiohttp.ClientSession, body: bytes, status: int, message: str) -> None:
    async with http.post("/api/llm/stream", data=body) as answer:
        assert answer.status == status
        assert message in (await answer.json())["error"]


async def test_bad_openai_requests(http: aiohttp.ClientSession) -> None:
    for body, status in (
        (b"{", 400),
        (b"{}", 400),
        (b'{"model":"x","messages":[{"role":"user","content":"x"}]}', 404),
        (io.BytesIO(b"x" * 5_000_000), 413),
    ):
        async with http.post("/v1/chat/completions", data=body) as answer:
            assert answer.status == status
            assert (await answer.json())["error"]["message"]
    async with http.get("/v1/chat/completions") as answer:
        assert answer.status == 405
        assert answer.headers["Allow"] == "POST"
    async with http.get("/nowhere") as answer:
        assert (await answer.json())["code"] == "not_found"


async def test_not_streamed(http: aiohttp.ClientSession) -> None:
    async with http.post("/v1/chat/completions", json={"model": "support", "messages": HELLO}) as answer:
        body = await answer.json()
    assert body["choices"][0]["message"] == {"role": "assistant", "content": WHOLE}
    assert body["usage"]["completion_tokens"] == len(tokens_of(WHOLE))
    for profile, status in (("cut", 502), ("stall", 504)):
        async with http.post("/v1/chat/completions", json={"model": profile, "messages": HELLO}) as answer:
            body = await answer.json()
            assert answer.status == status
            assert body["error"]["code"] == IN_BAND[profile][1]
            assert body["partial"] == FIRST
            assert "choices" not in body


async def test_usage_comes_where_it_is_asked_for(http: aiohttp.ClientSession) -> None:
    assert "usage" not in json.loads((await chat(http, "support"))[-2])
    frames = await chat(http, "support", stream_options={"include_usage": True})
    assert json.loads(frames[-2])["usage"]["total_tokens"] > 0
    assert frames[-1] == "[DONE]"


async def test_unknown_keys_of_an_answer_go_through(simulator: RunningSimulator) -> None:
    server = await started_proxy(simulator, {"extra": "sim:extra?rate=0"}, "openai", guard="off")
    async with aiohttp.ClientSession(server.url) as http:
        frames = [json.loads(frame) for frame in (await chat(http, "extra"))[:-1]]
    await server.stop()
    assert any(frame.get("unknown_key") == "kept" for frame in frames)
    assert any(
        frame.get("system_fingerprint") == "sim" and frame["choices"][0]["delta"].get("odd") == 1 for frame in frames
    )


async def test_http_1_0_gets_an_unframed_body(proxy: Server) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    body = json.dumps({"configurationId": "support", "messages": HELLO}).encode()
    writer.write(
        b"POST /api/llm/stream HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
        % (len(body), body)
    )
    head, _, rest = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    assert b"chunked" not in head.lower()
    assert rest.startswith(b"id: 0\n")
    assert b'"type":"stop"' in rest


async def test_a_retry_is_not_seen_by_the_client(http: aiohttp.ClientSession) -> None:
    events = await browser(http, "503-twice")
    assert events[-1][1]["report"]["attempts"] == 3


async def leave(proxy: Server, simulator: RunningSimulator, path: str, profile: str, read: int) -> float:
    """Ask, read `read` bytes at least, close; seconds until the simulator saw its client leave."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    asked = {"configurationId": profile} if path.startswith("/api") else {"model": profile, "stream": True}
    asked["messages"] = HELLO
    body = json.dumps(asked).encode()
    writer.write(
        b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
        % (path.encode(), len(body), body)
    )
    seen = len(simulator.simulator.seen)
    async with asyncio.timeout(5):
        while len(simulator.simulator.seen) == seen:
            await asyncio.sleep(0.001)
        got = 0
        while got < read:
            got += len(await reader.read(4096))
    writer.close()
    await writer.wait_closed()
    return await closed_within(simulator, 1.0)


@pytest.mark.parametrize("path", ["/api/llm/stream", "/v1/chat/completions"])
@pytest.mark.parametrize(("profile", "read"), [("late", 0), ("slowly", 700), ("silent", 450)])
async def test_a_client_that_leaves_closes_the_upstream(
    proxy: Server, simulator: RunningSimulator, path: str, profile: str, read: int, capsys: pytest.CaptureFixture[str]
) -> None:
    times = sorted([await leave(proxy, simulator, path, profile, read) for _ in range(15)])
    with capsys.disabled():
        print(
            f"\n{path} {profile}: upstream closed after median {statistics.median(times) * 1000:.1f} ms, most {times[-1] * 1000:.1f} ms"
        )
    assert times[-1] < 1.0


@asynccontextmanager
async def slow_client(proxy: Server) -> AsyncIterator[None]:
    """A client that asks for a long reply and does not read it."""
    _, writer = await asyncio.open_connection("127.0.0.1", proxy.port, limit=1024)
    body = json.dumps({"configurationId": "long", "messages": HELLO}).encode()
    writer.write(
        b"POST /api/llm/stream HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
        % (len(body), body)
    )
    try:
        yield
    finally:
        writer.transport.abort()


async def test_two_hundred_streams_and_one_that_does_not_read(proxy: Server, simulator: RunningSimulator) -> None:
    connector = aiohttp.TCPConnector(limit=0)
    async with slow_client(proxy), aiohttp.ClientSession(proxy.url, connector=connector) as http:
        async with asyncio.timeout(10):
            while not simulator.simulator.seen or simulator.simulator.seen[0].written < 100_000:
                await asyncio.sleep(0.01)
        began = time.monotonic()
        ended = await asyncio.gather(*(browser(http, "medium") for _ in range(200)))
        took = time.monotonic() - began
        assert {events[-1][1]["report"]["status"] for events in ended} == {"completed"}
        # a guard holds a few characters, and a piece that it holds whole is no event
        assert {"".join(e["content"] for _, e in events[:-1]) for events in ended} == {"".join(tokens_of(WHOLE, 60))}
        held = simulator.simulator.seen[0].written
        await asyncio.sleep(0.5)
        assert simulator.simulator.seen[0].written == held, "the upstream of the slow client is still read"
        assert simulator.simulator.seen[0].outcome == "open"
        # what a stream may have waiting for its client: 64 KiB and a read of the upstream, at most 256 KiB
        (waiting,) = [size for one in proxy._transports() if (size := one.get_write_buffer_size())]
        assert waiting < 320 * 1024
        assert took < 30
