"""Requests that are wrong in every way: each gets an answer of its route's shape that says so, and none an error of ours."""

import asyncio
import io
import json
from typing import Any

import aiohttp
import pytest

from streamweir.server.life import Server
from streamweir.simulator.app import RunningSimulator
from tests.proxies import FACES, Downstream, Told, body_of, profile, proxy_with, upstream

ODD: tuple[Any, ...] = ("x", 5, -1, [1], {"a": 1}, True, 1e400, "\ud800", [["x"] * 3])
KEYS = {
    "sse": ("messages", "temperature", "max_tokens", "stop", "metadata", "conversation_id", "configurationId"),
    "openai": (
        "messages",
        "temperature",
        "max_tokens",
        "stop",
        "stream",
        "stream_options",
        "n",
        "tools",
        "max_completion_tokens",
    ),
    "responses": (
        "input",
        "instructions",
        "tools",
        "tool_choice",
        "text",
        "reasoning",
        "max_output_tokens",
        "stream",
        "n",
    ),
    "ai-sdk": ("messages", "profile", "temperature", "stop", "tools", "n", "metadata"),
}
PARTS = [
    {"messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}]},
    {"messages": [{"role": ["user"], "content": "x"}]},
    {"messages": [{"role": "user", "parts": [{"type": "text", "text": 5}]}]},
    {"messages": [{"role": "assistant", "parts": [{"type": ["tool-x"], "state": {}}]}]},
    {"input": [{"role": "user", "content": [{"type": ["x"]}]}]},
    {"input": [{"role": "user", "content": [{"type": "input_text", "text": 5}]}]},
    {"messages": [3]},
    {"messages": [{}]},
]


@pytest.mark.parametrize("face", KEYS)
async def test_odd_values_everywhere(simulator: RunningSimulator, face: str) -> None:
    text = upstream(simulator) + profile("p", "sim:none?rate=0")
    text += profile("counted", "sim:none?rate=0", context_window=5, on_overflow="slide")
    server = await proxy_with(text)
    refused = 0
    async with aiohttp.ClientSession(server.url) as http:
        bodies = [{**body_of(face, "p"), key: value} for key in KEYS[face] for value in ODD]
        bodies += [{**body_of(face, name), **part} for part in PARTS for name in ("p", "counted")]
        for body in bodies:
            data = json.dumps(body).replace("Infinity", "1e400").encode()
            async with http.post(FACES[face][0], data=data) as answer:
                told = await answer.read()
                assert answer.status in (200, 400, 404, 422, 502), (body, answer.status, told)
                if answer.status != 200:
                    refused += 1
                    assert answer.content_type == "application/json"
                    error = json.loads(told)["error"]
                    assert error["message"] if isinstance(error, dict) else error, body
        for depth in (500, 990, 5_000, 200_000):
            data = (
                json.dumps(body_of(face, "p")).encode()[:-1]
                + b',"metadata":{"a":'
                + b"[" * depth
                + b"]" * depth
                + b"}}"
            )
            async with http.post(FACES[face][0], data=data) as answer:
                assert answer.status in (200, 400, 502), depth
                await answer.read()
    assert refused > len(bodies) / 3
    await server.stop()


async def test_odd_headers(simulator: RunningSimulator) -> None:
    told = Told()
    server = await proxy_with(
        upstream(simulator) + profile("p", "sim:none?rate=0") + '[server]\ntrusted_proxies = ["127.0.0.1"]\n', told
    )
    body = json.dumps(body_of("sse", "p")).encode()
    for headers, status in (
        (b"Origin: https://\xff.example\r\n", 403),
        (b"Host: [x\r\nOrigin: http://[x\r\n", 403),
        (b"X-Forwarded-Host: [x\r\nOrigin: http://[x\r\n", 403),
        (b"X-Forwarded-For: \xff, 1.2.3.4:99\r\n", 200),
        (b"X-Request-Id: \xff\xfe\r\n", 200),
        (b"X-API-Key: \xff\r\n", 200),
        (b"Content-Encoding: gzip\r\n", 400),
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        host = b"" if b"Host:" in headers and b"Forwarded" not in headers else b"Host: x\r\n"
        writer.write(
            b"POST /api/llm/stream HTTP/1.1\r\n%b%bContent-Length: %d\r\n\r\n%b" % (host, headers, len(body), body)
        )
        head = await reader.readuntil(b"\r\n\r\n")
        assert int(head.split()[1]) == status, headers
        writer.close()
        await writer.wait_closed()
    await server.stop()


async def test_prompts_of_any_length_are_counted(simulator: RunningSimulator) -> None:
    server = await proxy_with(upstream(simulator) + profile("p", "sim:none?rate=0", context_window=1000))
    async with aiohttp.ClientSession(server.url) as http:
        body = {**body_of("sse", "p"), "messages": [{"role": "user", "content": "12 " * 400_000}]}
        async with http.post("/api/llm/stream", data=io.BytesIO(json.dumps(body).encode())) as answer:
            assert (answer.status, (await answer.json())["code"]) == (422, "context_window_exceeded")
    await server.stop()


@pytest.mark.parametrize("face", [face for face in FACES if face != "openai whole"])
async def test_a_server_that_stops_says_so_in_every_face(simulator: RunningSimulator, face: str) -> None:
    told = Told()
    server: Server = await proxy_with(upstream(simulator) + profile("p", "sim:stall?rate=0"), told)
    client = await Downstream.ask(server, face, "p")
    await client.read(300)
    stopping = asyncio.create_task(server.stop())
    data = b""
    async with asyncio.timeout(5):
        while piece := await client.reader.read(65536):
            data += piece
    await stopping
    assert b"server_draining" in data
    report = told.reports[0]
    assert (report.status, report.cancelled_by, report.error.code) == ("cancelled", "server", "server_draining")
    await client.close()
