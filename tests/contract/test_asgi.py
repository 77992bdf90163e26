"""A reply as an ASGI response: under uvicorn, in FastAPI, and by hand."""

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from streamweir.asgi import EventStreamResponse
from streamweir.simulator.app import RunningSimulator
from streamweir.simulator.replies import SCRIPTS
from streamweir.wire.sse import SseDecoder
from tests.conftest import ROOT, gateway_for
from tests.contract.test_client import closed_within
from tests.networks import accepting, free_port

WHOLE = SCRIPTS["hello"]
FACES = ("sse", "openai", "responses", "ai-sdk")


@contextlib.asynccontextmanager
async def uvicorn(simulator: RunningSimulator) -> AsyncIterator[str]:
    """The example of the documents, as its reader runs it."""
    port = free_port()
    environ = {
        "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
        "STREAMWEIR_DIALECT": "openai",
        "STREAMWEIR_BASE_URL": f"{simulator.url}/v1",
        "STREAMWEIR_API_KEY": "k",
        "STREAMWEIR_MODEL": "sim:none?rate=0",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "uvicorn", "examples.fastapi_app:app", "--port", str(port), "--log-level", "warning",
        env=environ, cwd=ROOT,
    )  # fmt: skip
    try:
        await accepting(port, 20)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


def text_of(face: str, data: bytes) -> str:
    messages = [json.loads(f.data) for f in SseDecoder().feed(data) if f.data != "[DONE]"]
    if face == "sse":
        return "".join(m["content"] for m in messages if m["type"] == "token")
    if face == "openai":
        return "".join(c["delta"].get("content") or "" for m in messages for c in m.get("choices", []))
    kind = "response.output_text.delta" if face == "responses" else "text-delta"
    return "".join(m["delta"] for m in messages if m["type"] == kind)


async def test_the_example_under_uvicorn(simulator: RunningSimulator) -> None:
    async with uvicorn(simulator) as url, aiohttp.ClientSession(url) as http:
        for face in FACES:
            async with http.post(f"/ask?face={face}", json={"text": "hello"}) as answer:
                assert answer.status == 200
                assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
                assert answer.headers["X-Request-Id"]
                assert answer.headers.get("x-vercel-ai-ui-message-stream") == ("v1" if face == "ai-sdk" else None)
                assert text_of(face, await answer.read()) == WHOLE
            async with http.post(f"/ask?face={face}", json={"text": "hello", "model": "sim:cut?rate=0"}) as answer:
                assert answer.status == 200
                data = await answer.read()
                assert b"stream_interrupted" in data
                assert b"[DONE]" not in data
                assert text_of(face, data) == "Hello, and thank you"
            async with http.post(f"/ask?face={face}", json={"text": "hello", "model": "sim:403"}) as answer:
                body = await answer.json()
                assert answer.status == 502
                code = body["error"]["code"] if face in ("openai", "responses") else body["code"]
                assert code == "upstream_refused"
        # a client that leaves while the upstream is silent: before its first byte, and in the middle
        for model, read in (("sim:slow?wait=20", False), ("sim:stall?at=3&rate=0", True)):
            times = []
            for _ in range(5):
                reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
                body = json.dumps({"text": "hello", "model": model}).encode()
                writer.write(
                    b"POST /ask HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
                    % (len(body), body)
                )
                simulator.simulator.seen.clear()
                while not simulator.simulator.seen:
                    await asyncio.sleep(0.005)
                if read:
                    await reader.readuntil(b"\n\n")
                writer.transport.abort()
                began = time.monotonic()
                await closed_within(simulator, 1.0)
                times.append(time.monotonic() - began)
            print(f"\n{model}: under uvicorn the upstream is closed after at most {max(times) * 1000:.1f} ms")


class Client:
    """An ASGI server's side: what is sent, and when the client leaves."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.left = asyncio.Event()

    async def receive(self) -> Any:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)


async def test_time(simulator: RunningSimulator) -> None:
    async with gateway_for(simulator, "openai", idle_timeout=0.7, first_token_timeout=0.7) as gateway:
        stream = gateway.stream(model="sim:stall?rate=0", messages=[{"role": "user", "content": "hello"}])
        client = Client()
        await EventStreamResponse(stream, heartbeat=0.2)({}, client.receive, client.send)
        assert 2 <= client.body.count(b": heartbeat") <= 4
        assert b"stream_stalled" in client.body
        assert client.sent[-1]["more_body"] is False
        assert [m["type"] for m in client.sent].count("http.response.start") == 1
        # committed before the upstream refused: the refusal is in-band
        stream = gateway.stream(model="sim:403", messages=[{"role": "user", "content": "hello"}])
        client = Client()
        await EventStreamResponse(stream, commit_after=0.0)({}, client.receive, client.send)
        assert client.sent[0]["status"] == 200
        assert b'"code":"upstream_error"' in client.body
        assert client.sent[-1]["more_body"] is False


async def test_a_client_that_leaves_cancels(simulator: RunningSimulator) -> None:
    async with gateway_for(simulator, "openai") as gateway:
        stream = gateway.stream(model="sim:slow?wait=20", messages=[{"role": "user", "content": "hello"}])
        client = Client()
        task = asyncio.create_task(EventStreamResponse(stream)({}, client.receive, client.send))
        while not simulator.simulator.seen:
            await asyncio.sleep(0.005)
        client.left.set()
        async with asyncio.timeout(1):
            await task
        await closed_within(simulator, 1.0)
        assert stream.report.status == "cancelled"


async def test_a_server_that_fails_and_a_task_that_is_cancelled_close_the_upstream(simulator: RunningSimulator) -> None:
    async with gateway_for(simulator, "openai") as gateway:

        async def broken(message: Any) -> None:
            raise ConnectionResetError("the socket is gone")

        stream = gateway.stream(model="sim:none?rate=20", messages=[{"role": "user", "content": "hello"}])
        with pytest.raises(ConnectionResetError):
            await EventStreamResponse(stream)({}, Client().receive, broken)
        await closed_within(simulator, 1.0)
        stream = gateway.stream(model="sim:none?rate=20", messages=[{"role": "user", "content": "hello"}])
        client = Client()
        task = asyncio.create_task(EventStreamResponse(stream)({}, client.receive, client.send))
        while len(client.sent) < 3:
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await closed_within(simulator, 1.0)


async def test_background_work_headers_and_a_face_of_ones_own(simulator: RunningSimulator) -> None:
    done = []

    async def later() -> None:
        done.append(stream.report.status)

    async with gateway_for(simulator, "openai") as gateway:
        stream = gateway.stream(model="sim:none?rate=0", messages=[{"role": "user", "content": "hello"}])
        client = Client()
        own = EventStreamResponse(
            stream,
            lambda events: b"".join(type(event).__name__.encode() + b"\n" for event in events),
            headers={"X-Mine": "1", "Content-Type": "text/plain"},
            background=later,
        )
        await own({}, client.receive, client.send)
        assert b"Started\nText\n" in client.body
        assert client.body.endswith(b"Ended\n")
        headers = dict(client.sent[0]["headers"])
        assert (headers[b"x-mine"], headers[b"content-type"]) == (b"1", b"text/plain")
        assert (headers[b"cache-control"], headers[b"x-accel-buffering"]) == (b"no-cache, no-transform", b"no")
        assert done == ["completed"]
        with pytest.raises(ValueError, match="face is 'xml': it must be one of sse, openai, responses, ai-sdk"):
            EventStreamResponse(gateway.stream(model="m", messages=[]), "xml")


@pytest.mark.parametrize("face", FACES)
async def test_text_that_cannot_be_withdrawn_is_not_said_twice(simulator: RunningSimulator, face: str) -> None:
    async with gateway_for(simulator, "openai") as gateway:
        model = f"sim:cut-once?rate=0&key={face}"
        stream = gateway.stream(model=model, messages=[{"role": "user", "content": "hello"}], on_cut="restart")
        client = Client()
        await EventStreamResponse(stream, face)({}, client.receive, client.send)
    if face == "sse":
        assert client.body.count(b'"restarted"') == 1
        assert b'"type":"stop"' in client.body
    else:
        assert text_of(face, client.body) == "Hello, and thank you"
        assert b"stream_interrupted" in client.body
