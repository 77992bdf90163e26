"""Budget and pause in both clients: the same decisions, with a loop and with threads."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from streamweir import Gateway, RateLimitError, StreamCancelled, StreamweirError
from streamweir.events import Retrying
from streamweir.flows.handshake import Failure
from streamweir.simulator.app import RunningSimulator
from tests.contract.both import HELLO, Driver
from tests.contract.test_budget import schedule
from tests.simulators import threaded_simulator

CREDENTIALS: dict[str, Any] = {"client_id": "sim-client", "client_secret": "sim-secret"}


@pytest.fixture
def simulated() -> Iterator[RunningSimulator]:
    with threaded_simulator() as running:
        yield running


def until(true: Callable[[], bool], idle: Callable[[float], None] = time.sleep) -> None:
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end
        idle(0.005)


def refuse(driver: Driver, seconds: int) -> None:
    """The upstream answers 429 once."""
    with pytest.raises(RateLimitError):
        driver.run(driver.gateway.complete, model=f"sim:429?retry_after={seconds}", messages=HELLO)


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_the_next_request_waits_for_the_pause_and_says_so(simulated: RunningSimulator, kind: str) -> None:
    driver = Driver(kind, simulated, max_tries=1)
    refuse(driver, 2)
    assert 0 < driver.gateway.budget.paused <= 2
    stream = driver.stream(model="sim:none?rate=0")
    driver.enter(stream)
    events = driver.read(stream)
    driver.leave(stream)
    first, second = simulated.simulator.seen
    assert second.opened >= first.opened + 2
    told = [event for event in events if isinstance(event, Retrying)]
    assert [event.attempt for event in told] == [1]
    assert told[0].wait_ms >= 250
    assert "waited for its turn: the upstream answered 429 and is paused for another" in told[0].reason
    assert [event.seq for event in events] == list(range(len(events)))
    assert stream.report.attempts == 1
    assert (driver.gateway.budget.paused, driver.gateway.budget.waiting) == (0.0, 0)
    driver.close()


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_a_pause_beyond_the_wait_is_an_error_at_once(simulated: RunningSimulator, kind: str) -> None:
    driver = Driver(kind, simulated, max_tries=1)
    refuse(driver, 90)
    with pytest.raises(RateLimitError, match="paused for another [89].*this request may not wait so long") as caught:
        driver.run(driver.gateway.complete, model="sim:none", messages=HELLO)
    error = caught.value
    assert (error.status, error.code) == (429, "upstream_paused")
    assert error.retry_after is not None
    assert 60 < error.retry_after <= 90
    assert error.report is not None
    assert (error.report.attempts, error.report.status) == (0, "failed")
    assert len(simulated.simulator.seen) == 1
    driver.close()


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_a_spent_budget_is_an_error_that_names_it(simulated: RunningSimulator, kind: str) -> None:
    driver = Driver(kind, simulated, requests_per_minute=2, first_token_timeout=1)
    for _ in range(2):
        driver.run(driver.gateway.complete, model="sim:none?rate=0", messages=HELLO)
    with pytest.raises(RateLimitError, match="the request budget of 2 a minute is spent") as caught:
        driver.run(driver.gateway.complete, model="sim:none?rate=0", messages=HELLO)
    assert caught.value.code == "budget_spent"
    assert (driver.gateway.budget.used, driver.gateway.budget.limit) == (2, 2)
    driver.close()


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_what_follows_a_cut_asks_for_its_turn_too(simulated: RunningSimulator, kind: str) -> None:
    driver = Driver(kind, simulated, requests_per_minute=1, first_token_timeout=1)
    stream = driver.stream(model="sim:cut?rate=0", on_cut="continue")
    driver.enter(stream)
    with pytest.raises(StreamweirError):
        driver.read(stream)
    driver.leave(stream)
    assert stream.report.status == "interrupted"
    assert len(simulated.simulator.seen) == 1
    driver.close()


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_a_wait_can_be_cancelled(simulated: RunningSimulator, kind: str) -> None:
    driver = Driver(kind, simulated, max_tries=1)
    refuse(driver, 15)
    stream = driver.stream(model="sim:none")
    timer = threading.Timer(0.2, stream.cancel)
    timer.start()
    with pytest.raises(StreamCancelled):
        driver.enter(stream)
    timer.join()
    assert driver.gateway.budget.waiting == 0
    # far from the pause's end
    assert driver.gateway.budget.paused > 1
    assert len(simulated.simulator.seen) == 1
    driver.close()


@pytest.mark.parametrize("kind", ["async", "sync"])
@pytest.mark.parametrize(
    "model",
    [
        "none?rate=0", "cut?rate=0", "cut-hard?rate=0", "reset?rate=0", "stall", "stall?at=0", "malformed?rate=0", "429", "404", "500", "502-html",
        "gzip", "json", "empty", "redirect", "401", "length?rate=0", "error?at=0", "503-twice",
    ],
)  # fmt: skip
@pytest.mark.parametrize("dialect", ["sse-gateway", "ws-gateway"])
def test_no_end_keeps_its_place(simulated: RunningSimulator, kind: str, model: str, dialect: str) -> None:
    keys: dict[str, Any] = {"path": f"/api/v2/ai/llm/gateway/completions/stream?model=sim:{model.replace('&', '%26')}"}
    driver = Driver(
        kind, simulated, dialect=dialect, concurrent=1, max_tries=1, first_token_timeout=0.3, idle_timeout=0.3,
        **(keys if dialect == "ws-gateway" else {}),
    )  # fmt: skip
    more = {"prompt_id": "p"} if dialect == "ws-gateway" else {}
    with contextlib.suppress(StreamweirError):
        driver.run(driver.gateway.complete, model=f"sim:{model}", messages=HELLO, **more)
    assert simulated.simulator.seen
    until(lambda: driver.gateway.budget.on_their_way == 0, driver.idle)
    driver.close()


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_one_that_is_left_in_the_middle_makes_room_for_the_next(simulated: RunningSimulator, kind: str) -> None:
    driver = Driver(kind, simulated, concurrent=1, first_token_timeout=0.3)
    stream = driver.stream(model="sim:none?rate=2", first_token_timeout=20, idle_timeout=20)
    driver.enter(stream)
    with pytest.raises(RateLimitError, match="1 requests are on their way, and no more are allowed at a time"):
        driver.run(driver.gateway.complete, model="sim:none?rate=0", messages=HELLO)
    assert len(simulated.simulator.seen) == 1
    driver.leave(stream)
    assert driver.run(driver.gateway.complete, model="sim:none?rate=0", messages=HELLO).complete
    driver.close()


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_many_wait_for_one_pause_and_leave_one_after_the_other(simulated: RunningSimulator, kind: str) -> None:
    # who is not woken waits for a minute, and longer than its thread is waited for
    driver = Driver(kind, simulated, max_tries=1, first_token_timeout=0)
    refuse(driver, 1)
    paused_until = simulated.simulator.seen[0].opened + 1
    if driver.loop is not None:

        async def many() -> list[Any]:
            return await asyncio.gather(
                *(driver.gateway.complete(model="sim:none?rate=0", messages=HELLO) for _ in range(20))
            )

        reports = driver.loop.run_until_complete(many())
    else:
        reports = from_threads(driver.gateway, 20)
    assert [report.status for report in reports] == ["completed"] * 20
    arrivals = sorted(one.opened for one in simulated.simulator.seen[1:])
    assert all(at >= paused_until + schedule(number) for number, at in enumerate(arrivals))
    assert len(arrivals) == 20
    driver.close()


def from_threads(gateway: Gateway, count: int) -> list[Any]:
    reports: list[Any] = []

    def one() -> None:
        reports.append(gateway.complete(model="sim:none?rate=0", messages=HELLO))

    threads = [threading.Thread(target=one, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return reports


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_who_has_no_connection_yet_when_the_pause_comes_is_held_back(
    simulated: RunningSimulator, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = Driver(kind, simulated, max_tries=1)
    client: Any = driver.gateway._client
    pool = client.pool if kind == "async" else client.lines
    take = pool.take
    refused: list[float] = []

    def paused() -> None:
        # while this one connects, another is answered with 429
        if not refused:
            refused.append(time.monotonic())
            turn = client.turns._budget.ask(time.monotonic(), 1e9)
            client.turns.sent(turn)
            client.turns.answered(turn, Failure("refused", RateLimitError("no"), 429, 1.0))

    def taking(*arguments: Any) -> Any:
        paused()
        return take(*arguments)

    driver.run(driver.gateway.token)
    monkeypatch.setattr(pool, "take", taking)
    report = driver.run(driver.gateway.complete, model="sim:none?rate=0", messages=HELLO)
    assert (report.status, report.attempts) == ("completed", 1)
    (seen,) = simulated.simulator.seen
    assert seen.opened >= refused[0] + 1
    until(lambda: driver.gateway.budget.on_their_way == 0, driver.idle)
    driver.close()
