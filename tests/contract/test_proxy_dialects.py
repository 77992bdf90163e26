"""The proxy before every dialect: both faces, and what follows a reply that broke off."""

import json
from typing import Any

import aiohttp
import pytest

from streamweir.config import load_text
from streamweir.dialects import BUILTIN
from streamweir.server.life import Server
from streamweir.simulator.app import RunningSimulator
from streamweir.simulator.replies import SCRIPTS
from streamweir.wire.sse import SseDecoder

WHOLE = SCRIPTS["hello"]


async def proxy(simulator: RunningSimulator, dialect: str, model: str, **profile: Any) -> Server:
    url = simulator.url + ("/v1" if dialect == "openai" else "")
    keys = "".join(f"{key} = {json.dumps(value)}\n" for key, value in {"prompt_id": "p", **profile}.items())
    if dialect != "ws-gateway":
        keys = keys.replace('prompt_id = "p"\n', "")
    server = Server(
        load_text(
            f'[upstreams.u]\ndialect = "{dialect}"\nbase_url = "{url}"\nclient_id = "sim-client"\n'
            f'client_secret = "sim-secret"\n[profiles.p]\nupstream = "u"\nmodel = "{model}"\n{keys}'
        ),
        {},
        "127.0.0.1",
        0,
    )
    await server.start()
    return server


async def browser(server: Server) -> list[dict[str, Any]]:
    body = {"configurationId": "p", "messages": [{"role": "user", "content": "hello"}]}
    async with aiohttp.ClientSession() as session, session.post(f"{server.url}/api/llm/stream", json=body) as answer:
        assert answer.status == 200, await answer.text()
        return [json.loads(frame.data) for frame in SseDecoder().feed(await answer.read())]


async def openai(server: Server, *, stream: bool = True) -> tuple[int, list[Any]]:
    body = {"model": "p", "messages": [{"role": "user", "content": "hello"}], "stream": stream}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{server.url}/v1/chat/completions", json=body) as answer,
    ):
        data = await answer.read()
        if not stream:
            return answer.status, [json.loads(data)]
        return answer.status, [
            frame.data if frame.data == "[DONE]" else json.loads(frame.data) for frame in SseDecoder().feed(data)
        ]


def content(chunks: list[Any]) -> str:
    return "".join(
        choice["delta"].get("content", "") for c in chunks if isinstance(c, dict) for choice in c.get("choices", [])
    )


@pytest.mark.parametrize("dialect", BUILTIN)
async def test_a_reply_through_both_faces(simulator: RunningSimulator, dialect: str) -> None:
    server = await proxy(simulator, dialect, "sim:none?rate=0")
    events = await browser(server)
    assert "".join(event["content"] for event in events if event["type"] == "token") == WHOLE
    assert events[-1]["type"] == "stop"
    status, chunks = await openai(server)
    assert (status, content(chunks), chunks[-1]) == (200, WHOLE, "[DONE]")
    finish = [choice["finish_reason"] for c in chunks if isinstance(c, dict) for choice in c["choices"]]
    assert finish[-1] == "stop"
    await server.stop()


@pytest.mark.parametrize("dialect", BUILTIN)
async def test_a_cut_behind_every_dialect(simulator: RunningSimulator, dialect: str) -> None:
    server = await proxy(simulator, dialect, "sim:cut?rate=0")
    events = await browser(server)
    assert (events[-1]["type"], events[-1]["code"]) == ("error", "stream_interrupted")
    _, chunks = await openai(server)
    assert chunks[-1]["error"]["code"] == "stream_interrupted"
    await server.stop()


@pytest.mark.parametrize("dialect", ["sse-gateway", "ws-gateway"])
async def test_a_reply_goes_on_behind_a_cut(simulator: RunningSimulator, dialect: str) -> None:
    server = await proxy(simulator, dialect, "sim:cut-once?rate=0&overlap=2&key=a", on_cut="continue")
    events = await browser(server)
    kinds = [event["type"] for event in events]
    assert kinds.count("joint") == 1
    text = "".join(event["content"] for event in events if event["type"] == "token")
    assert text == WHOLE
    joint = next(event for event in events if event["type"] == "joint")
    before = "".join(e["content"] for e in events[: kinds.index("joint")] if e["type"] == "token")
    assert joint["at"] == len(before)
    assert events[-1]["report"]["joints"] == [len(before)]
    await server.stop()
    server = await proxy(simulator, dialect, "sim:cut-once?rate=0&overlap=2&key=b", on_cut="continue")
    _, chunks = await openai(server)
    assert (content(chunks), chunks[-1]) == (WHOLE, "[DONE]")
    await server.stop()


async def test_a_restart_where_text_can_be_withdrawn_and_where_not(simulator: RunningSimulator) -> None:
    server = await proxy(simulator, "sse-gateway", "sim:cut-once?rate=0&key=c", on_cut="restart")
    events = await browser(server)
    kinds = [event["type"] for event in events]
    again = kinds.index("restarted")
    assert "".join(e["content"] for e in events[again:] if e["type"] == "token") == WHOLE
    assert events[-1]["type"] == "stop"
    await server.stop()
    # an OpenAI client cannot take text back: there it is the error that it was
    server = await proxy(simulator, "sse-gateway", "sim:cut-once?rate=0&key=d", on_cut="restart")
    _, chunks = await openai(server)
    assert chunks[-1]["error"]["code"] == "stream_interrupted"
    # not streamed, nothing was sent yet
    await server.stop()
    server = await proxy(simulator, "sse-gateway", "sim:cut-once?rate=0&key=e", on_cut="restart")
    status, (completion,) = await openai(server, stream=False)
    assert (status, completion["choices"][0]["message"]["content"]) == (200, WHOLE)
    await server.stop()


async def test_a_prompt_beyond_the_window_is_a_422(simulator: RunningSimulator) -> None:
    server = await proxy(simulator, "sse-gateway", "sim:none?rate=0", context_window=1)
    status, (body,) = await openai(server, stream=False)
    assert (status, body["error"]["code"]) == (422, "context_window_exceeded")
    assert simulator.simulator.seen == []
    await server.stop()
