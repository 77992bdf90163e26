"""One request budget for an upstream, and one pause for all where it answers 429: through the proxy, real sockets.

Times are compared with the simulator's own record of what arrived, and as lower bounds only: what is late on a busy
machine is not wrong, what is early always is.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from streamweir.config import load_text
from streamweir.flows.budget import SPACING, BudgetState
from streamweir.server.life import Server
from streamweir.simulator.app import RunningSimulator
from streamweir.simulator.replies import SCRIPTS
from tests.proxies import Downstream, body_of, profile, proxy_with, upstream

WHOLE = SCRIPTS["hello"].split()[0]
PATIENT = {"first_token_timeout": "60s", "deadline": "120s", "max_tries": 3}


async def ask(http: aiohttp.ClientSession, name: str, face: str = "openai whole") -> tuple[int, dict[str, str], Any]:
    path = {"openai whole": "/v1/chat/completions", "sse": "/api/llm/stream"}[face]
    async with http.post(path, json=body_of(face, name)) as answer:
        data = await answer.read()
        return answer.status, dict(answer.headers), data


def state(server: Server, name: str = "sim") -> BudgetState:
    return server.shared.serving.profiles.clients[name].turns.state


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.005)


def schedule(number: int) -> float:
    """Seconds behind a pause before which the request of that number (from 0) cannot leave: the distance is SPACING in
    the first second, and half of it in each that follows.
    """
    at = 0.0
    for _ in range(number):
        at += SPACING / 2 ** int(at + 1e-9)
    return at


@pytest.mark.parametrize("seconds", [1, pytest.param(5, marks=pytest.mark.check)])
@pytest.mark.parametrize("dialect", ["openai", "ws-gateway"])
async def test_a_429_stops_all_50_that_wait_and_they_leave_without_a_stampede(
    simulator: RunningSimulator, dialect: str, seconds: int
) -> None:
    refused = f"sim:429?retry_after={seconds}&rate=0"
    keys: dict[str, Any] = dict(PATIENT)
    if dialect == "ws-gateway":
        # the model of a WebSocket comes behind the upgrade: the fault is in the path too
        keys["path"] = f"/api/v2/ai/llm/gateway/completions/stream?model={refused.replace('&', '%26')}"
    prompt = {"prompt_id": "p"} if dialect == "ws-gateway" else {}
    text = upstream(simulator, dialect, **keys) + profile("first", refused, **prompt)
    server = await proxy_with(text + profile("then", "sim:none?rate=0", **prompt))
    seen = simulator.simulator.seen
    async with aiohttp.ClientSession(server.url, connector=aiohttp.TCPConnector(limit=0)) as http:
        first = asyncio.create_task(ask(http, "first"))
        await until(lambda: state(server).paused > 0)
        assert [one.status for one in seen] == [429]
        paused_until = seen[0].opened + seconds
        others = [asyncio.create_task(ask(http, "then")) for _ in range(50)]
        await until(lambda: state(server).waiting == 50)
        answers = await asyncio.gather(first, *others)
    await server.stop()
    assert [status for status, _, _ in answers] == [200] * 51
    assert all(WHOLE in data.decode() for _, _, data in answers)
    arrivals = sorted(one.opened for one in seen[1:])
    assert len(arrivals) == 51
    early = [(at - paused_until, schedule(number)) for number, at in enumerate(arrivals)]
    assert not [(at, least) for at, least in early if at < least]
    assert state(server).waiting == state(server).on_their_way == 0


@pytest.mark.parametrize("face", ["openai whole", "sse"])
async def test_who_may_not_wait_so_long_gets_429_at_once_and_is_told_when(
    simulator: RunningSimulator, face: str
) -> None:
    text = upstream(simulator, first_token_timeout="5s", max_tries=1) + profile("first", "sim:429?retry_after=90")
    text += profile("then", "sim:none?rate=0") + profile("long", "sim:none?rate=0", first_token_timeout="200s")
    server = await proxy_with(text)
    async with aiohttp.ClientSession(server.url) as http:
        assert (await ask(http, "first"))[0] == 429
        began = time.monotonic()
        for _ in range(3):
            status, headers, data = await ask(http, "then", face)
            left = int(headers["Retry-After"])
            assert status == 429
            assert 90 - (time.monotonic() - began) - 5 <= left <= 90
            assert f"The model has asked for a pause; try again in {left} s." in data.decode()
            assert b"rate_limited" in data
        # who would wait longer for a first token still has a retry budget of 60 s
        assert (await ask(http, "long"))[0] == 429
    await server.stop()
    assert len(simulator.simulator.seen) == 1


async def test_who_waits_in_vain_is_told_as_soon_as_the_pause_comes(simulator: RunningSimulator) -> None:
    keys = {**PATIENT, "first_token_timeout": "50s", "concurrent": 2, "max_tries": 1}
    text = upstream(simulator, **keys) + profile("held", "sim:stall?at=1", idle_timeout=60)
    text += profile("slow", "sim:429?retry_after=90") + profile("then", "sim:none?rate=0")
    server = await proxy_with(text)
    async with aiohttp.ClientSession(server.url) as http:
        held = [await Downstream.ask(server, "openai", "held") for _ in range(2)]
        await until(lambda: state(server).on_their_way == 2)
        waits = [asyncio.create_task(ask(http, name)) for name in ("slow", "then", "then")]
        await until(lambda: state(server).waiting == 3)
        assert len(simulator.simulator.seen) == 2
        held[0].leave()
        # long before their 50 s are over
        async with asyncio.timeout(20):
            assert [status for status, _, _ in await asyncio.gather(*waits)] == [429] * 3
    assert [one.status for one in simulator.simulator.seen] == [200, 200, 429]
    held[1].leave()
    await until(lambda: state(server).on_their_way == 0)
    await server.stop()


async def test_a_paused_upstream_is_replaced_by_the_fallback(simulator: RunningSimulator) -> None:
    text = upstream(simulator, first_token_timeout="5s", max_tries=1) + upstream(simulator, "sse-gateway", "other")
    text += profile("first", "sim:429?retry_after=90") + profile("then", "sim:none?rate=0", fallback=["second"])
    text += profile("second", "sim:none?rate=0&key=second", "other")
    server = await proxy_with(text)
    async with aiohttp.ClientSession(server.url) as http:
        assert (await ask(http, "first"))[0] == 429
        assert (await ask(http, "then"))[0] == 200
    await server.stop()
    assert [one.model for one in simulator.simulator.seen] == ["sim:429?retry_after=90", "sim:none?rate=0&key=second"]


async def test_the_budget_is_kept_and_what_is_beyond_it_gets_429(simulator: RunningSimulator) -> None:
    simulator.simulator.allowance.allowed = 20
    text = upstream(simulator, requests_per_minute=20, first_token_timeout="5s")
    server = await proxy_with(text + profile("p", "sim:none?rate=0"))
    async with aiohttp.ClientSession(server.url) as http:
        answers = await asyncio.gather(*(ask(http, "p") for _ in range(30)))
    refused = [headers for status, headers, _ in answers if status == 429]
    assert len(refused) == 10
    assert all(45 <= int(headers["Retry-After"]) <= 60 for headers in refused)
    assert sum(status == 200 for status, _, _ in answers) == len(simulator.simulator.seen) == 20
    assert simulator.simulator.allowance.violations == 0
    assert state(server).used == state(server).limit == 20
    await server.stop()


async def test_what_others_use_of_the_budget_counts_and_is_waited_for_until_its_reset(
    simulator: RunningSimulator,
) -> None:
    allowance = simulator.simulator.allowance
    allowance.allowed = 10
    server = await proxy_with(upstream(simulator, requests_per_minute=300, **PATIENT) + profile("p", "sim:none?rate=0"))
    async with aiohttp.ClientSession(server.url) as http:
        assert (await ask(http, "p"))[0] == 200
        # somebody else took seven, and the minute is nearly over
        allowance.count += 7
        assert allowance.began is not None
        allowance.began -= 58
        renewed = allowance.began + 60
        answers = [await ask(http, "p") for _ in range(4)]
    assert [status for status, _, _ in answers] == [200] * 4
    assert allowance.violations == 0
    arrivals = [one.opened for one in simulator.simulator.seen]
    assert arrivals[2] < renewed <= arrivals[3]
    assert state(server).limit == 10
    await server.stop()


async def test_a_reload_keeps_budget_and_pause_for_whom_the_upstream_takes_for_the_same(
    simulator: RunningSimulator,
) -> None:
    def config(**keys: Any) -> str:
        text = upstream(simulator, "sse-gateway", **keys) + profile("first", "sim:429?retry_after=90")
        return text + profile("then", "sim:none?rate=0")

    server = await proxy_with(config(max_tries=1))
    async with aiohttp.ClientSession(server.url) as http:
        assert (await ask(http, "first"))[0] == 429
        server.reload(load_text(config(max_tries=2, idle_timeout="7s")), {})
        assert (await ask(http, "then"))[0] == 429
        assert state(server).paused > 60
        server.reload(load_text(config(requests_per_minute=7)), {})
        assert (state(server).paused, state(server).limit) == (0.0, 7)
        assert (await ask(http, "then"))[0] == 200
    await server.stop()


async def test_a_client_that_leaves_while_it_waits_leaves_the_queue(simulator: RunningSimulator) -> None:
    text = upstream(simulator, **PATIENT, concurrent=1) + profile("held", "sim:stall?at=1", idle_timeout=60)
    server = await proxy_with(text + profile("then", "sim:none?rate=0"))
    held = await Downstream.ask(server, "openai", "held")
    await until(lambda: state(server).on_their_way == 1)
    waiting = [await Downstream.ask(server, "sse", "then") for _ in range(5)]
    await until(lambda: state(server).waiting == 5)
    for client in waiting[:4]:
        client.leave()
    await until(lambda: state(server).waiting == 1)
    held.leave()
    assert b"data:" in await waiting[4].read(1000)
    waiting[4].leave()
    await until(lambda: state(server).on_their_way == 0)
    assert len(simulator.simulator.seen) == 2
    await server.stop()
