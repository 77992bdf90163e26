"""A stream that is ended from here, at every moment between its beginning and its carrier."""

import asyncio
from typing import Any, cast

import pytest

from streamweir.client.aio.carrier import Carrier
from streamweir.faces.problems import Problem
from streamweir.server.census import Census
from streamweir.server.metrics import Metrics


class Carried:
    """Stands for a carrier: what it was ended with."""

    def __init__(self) -> None:
        self.ends: list[str] = []
        self.relay: Any = type("Relay", (), {"released_after": None, "report": None})

    def end(self, cause: str) -> None:
        self.ends.append(cause)


async def handshake(census: Census, entered: asyncio.Event, go: asyncio.Event | None = None) -> str:
    """What streams.py does: "opened", or "withdrawn" where the handshake was ended from here."""
    live = census.enter()
    entered.set()
    if go is not None:
        await go.wait()
    live.opens()
    try:
        await asyncio.sleep(30)
    except asyncio.CancelledError:
        if live.withdrawn():
            # the task goes on as if nothing had been
            await asyncio.sleep(0)
            return "withdrawn"
        raise
    finally:
        live.opened()
        live.leave()
    return "opened"


async def test_a_handshake_is_withdrawn_and_its_task_goes_on() -> None:
    census, entered = Census(Metrics()), asyncio.Event()
    task = asyncio.create_task(handshake(census, entered))
    await entered.wait()
    census.end("draining")
    assert await asyncio.wait_for(task, 5) == "withdrawn"
    assert task.cancelling() == 0
    await asyncio.wait_for(census.empty(), 5)


async def test_one_that_was_ended_before_its_handshake_is_withdrawn_too() -> None:
    census, entered, go = Census(Metrics()), asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(handshake(census, entered, go))
    await entered.wait()
    census.end("draining")
    go.set()
    assert await asyncio.wait_for(task, 5) == "withdrawn"


@pytest.mark.parametrize("first", ["client", "server"])
async def test_a_client_that_leaves_at_the_same_time_has_left(first: str) -> None:
    census, entered = Census(Metrics()), asyncio.Event()
    task = asyncio.create_task(handshake(census, entered))
    await entered.wait()
    if first == "client":
        task.cancel()
    census.end("draining")
    if first == "server":
        task.cancel()
    await asyncio.wait([task], timeout=5)
    assert task.cancelled()
    assert not census.streams


async def test_between_handshake_and_carrier_the_carrier_is_ended_once_it_has_begun() -> None:
    census, carried = Census(Metrics()), Carried()
    live = census.enter()
    live.opens()
    live.opened()
    census.end("draining")
    live.carries(cast("Carrier[Any]", carried))
    assert carried.ends == []
    await asyncio.sleep(0)
    assert carried.ends == ["draining"]


async def test_it_is_ended_once_and_leaves_once() -> None:
    census, carried = Census(Metrics()), Carried()
    live, other = census.enter(), census.enter()
    assert (census.count("opening"), census.count("streaming")) == (2, 0)
    live.carries(cast("Carrier[Any]", carried))
    assert (census.count("opening"), census.count("streaming")) == (1, 1)
    empty = asyncio.create_task(census.empty())
    await asyncio.sleep(0)
    census.end("draining")
    census.end("draining")
    assert carried.ends == ["draining"]
    live.leave()
    live.leave()
    await asyncio.sleep(0)
    assert not empty.done()
    other.leave()
    await asyncio.wait_for(empty, 5)


async def test_draining_refuses_what_is_new_and_sends_sockets_away() -> None:
    gone: list[str] = []
    census = Census(Metrics())
    census.sockets.add(type("Socket", (), {"go_away": lambda _: gone.append("away")})())
    census.check()
    census.drain()
    assert gone == ["away"]
    with pytest.raises(Problem) as refused:
        census.check()
    assert (refused.value.status, refused.value.code, refused.value.headers) == (
        503,
        "server_draining",
        {"Retry-After": "1"},
    )
