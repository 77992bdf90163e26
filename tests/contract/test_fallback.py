"""Other profiles are asked where one fails before its first token, and only there."""

import asyncio
import contextlib
import json
from typing import Any

import aiohttp
import pytest

from streamweir.config import load_text
from streamweir.errors import ConfigError
from streamweir.server.life import Server
from streamweir.simulator.app import RunningSimulator
from streamweir.simulator.replies import SCRIPTS
from streamweir.wire.sse import SseDecoder
from tests.contract.test_client import closed_within
from tests.proxies import Told, body_of, profile, proxy_with, upstream

WHOLE = SCRIPTS["hello"]

# what the first profile does, and whether another one is asked
CASES = {
    "sim:401": True,
    "sim:403": True,
    "sim:404": True,
    "sim:429-always": True,
    "sim:500": True,
    "sim:503": True,
    "sim:502-html": True,
    "sim:json": True,
    "sim:gzip": True,
    "sim:redirect": True,
    "sim:empty": True,
    "sim:cut?at=0": True,
    "sim:reset?at=0": True,
    "sim:slow?wait=5": True,
    "sim:error?at=0": True,
    "sim:malformed?at=0": True,
    "sim:400": False,
    "sim:cut?at=1": False,
    "sim:stall?at=1": False,
    "sim:error?at=1": False,
}


async def events(server: Server, name: str = "first") -> tuple[int, list[dict[str, Any]]]:
    async with (
        aiohttp.ClientSession(server.url) as http,
        http.post("/api/llm/stream", json=body_of("sse", name)) as answer,
    ):
        data = await answer.read()
    if answer.status != 200:
        return answer.status, [json.loads(data)]
    return 200, [json.loads(frame.data) for frame in SseDecoder().feed(data)]


def text_of(events: list[dict[str, Any]]) -> str:
    return "".join(event["content"] for event in events if event["type"] == "token")


@pytest.mark.parametrize("model", CASES)
async def test_what_falls_back(simulator: RunningSimulator, model: str) -> None:
    told = Told()
    limits = {"first_token_timeout": "500ms", "idle_timeout": "300ms", "max_tries": 1}
    text = upstream(simulator, **limits) + upstream(simulator, "sse-gateway", "other", **limits)
    text += profile("first", f"{model}{'&' if '?' in model else '?'}rate=0", fallback=["second"])
    text += profile("second", "sim:none?rate=0", "other")
    server = await proxy_with(text, told)
    status, seen = await events(server)
    report = await told.next(1)
    if CASES[model]:
        assert (status, text_of(seen), seen[-1]["type"]) == (200, WHOLE, "stop")
        assert (report.status, report.profile, report.dialect, report.model) == (
            "completed",
            "second",
            "sse-gateway",
            "sim:none?rate=0",
        )
        assert report.attempts == 2
        assert len(simulator.simulator.seen) == 2
    else:
        assert report.profile == "first"
        assert len(simulator.simulator.seen) == 1
        assert status == 502 or seen[-1]["type"] == "error"
    await server.stop()


async def test_one_behind_the_other_and_none_left(simulator: RunningSimulator) -> None:
    told = Told()
    text = upstream(simulator, max_tries=1)
    text += profile("first", "sim:503", fallback=["second", "third"]) + profile("second", "sim:cut?at=0")
    text += profile("third", "sim:none?rate=0") + profile("alone", "sim:503", fallback=["second"])
    server = await proxy_with(text, told)
    assert text_of((await events(server))[1]) == WHOLE
    report = await told.next(1)
    assert (report.profile, report.attempts) == ("third", 3)
    # the last one's failure is the answer
    status, seen = await events(server, "alone")
    assert (status, seen[-1]["code"]) == (200, "stream_interrupted")
    assert (await told.next(1)).attempts == 2
    await server.stop()


async def test_a_fallback_that_cannot_carry_the_request_is_passed_over(simulator: RunningSimulator) -> None:
    text = upstream(simulator, max_tries=1) + upstream(simulator, "sse-gateway", "other")
    text += profile("first", "sim:503", fallback=["gateway", "third"]) + profile("gateway", "sim:none", "other")
    text += profile("third", "sim:none?rate=0")
    server = await proxy_with(text)
    body = {**body_of("openai", "first"), "stream": False, "seed": 7}
    async with aiohttp.ClientSession(server.url) as http, http.post("/v1/chat/completions", json=body) as answer:
        assert (await answer.json())["choices"][0]["message"]["content"] == WHOLE
    assert [seen.path for seen in simulator.simulator.seen] == ["/v1/chat/completions"] * 2
    await server.stop()


async def test_a_client_that_leaves_during_a_fallback_closes_it(simulator: RunningSimulator) -> None:
    told = Told()
    text = upstream(simulator, max_tries=1) + profile("first", "sim:503", fallback=["second"])
    server = await proxy_with(text + profile("second", "sim:slow?wait=30"), told)
    async with aiohttp.ClientSession(server.url) as http:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.5), http.post("/api/llm/stream", json=body_of("sse", "first")) as answer:
                await answer.read()
    report = await told.next(1)
    assert (report.status, report.profile, report.attempts) == ("cancelled", "second", 2)
    await closed_within(simulator, 1.0)
    await server.stop()


def test_fallbacks_are_checked_when_the_configuration_is_read() -> None:
    base = '[upstreams.u]\nregion = "us-east-1"\n[profiles.support]\nupstream = "u"\nmodel = "m"\n'
    for names in ('["suport"]', '["support"]'):
        with pytest.raises(ConfigError, match="profiles.support.fallback names"):
            load_text(base + f"fallback = {names}\n")


async def test_what_follows_a_fallback_is_made_of_its_own_request(simulator: RunningSimulator) -> None:
    text = upstream(simulator, max_tries=1) + profile(
        "first", "sim:cut?at=0", fallback=["second"], system="of the first"
    )
    text += profile("second", "sim:cut-once?rate=0", on_cut="continue", system="of the second")
    server = await proxy_with(text)
    seen = (await events(server))[1]
    assert text_of(seen) == WHOLE
    assert [one.model for one in simulator.simulator.seen] == ["sim:cut?at=0", *["sim:cut-once?rate=0"] * 2]
    await server.stop()


async def test_what_a_fallback_cannot_carry_is_not_blamed_on_the_caller(simulator: RunningSimulator) -> None:
    text = upstream(simulator, max_tries=1) + upstream(simulator, "sse-gateway", "other")
    text += profile("first", "sim:503", fallback=["gateway"]) + profile("gateway", "sim:none", "other")
    server = await proxy_with(text)
    body = {**body_of("openai", "first"), "seed": 7}
    async with aiohttp.ClientSession(server.url) as http, http.post("/v1/chat/completions", json=body) as answer:
        assert (answer.status, (await answer.json())["error"]["code"]) == (502, "upstream_refused")
    await server.stop()
