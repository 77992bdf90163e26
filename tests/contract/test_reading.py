"""The ways to read a stream, in both clients: text, sentences, batches, polling, callbacks; and slow callers."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from streamweir import errors
from streamweir.events import Ended, Text
from streamweir.simulator.app import RunningSimulator
from streamweir.simulator.replies import SCRIPTS, tokens_of
from tests.contract.both import HELLO, Driver
from tests.simulators import threaded_simulator

WHOLE = SCRIPTS["hello"]
TOKENS = tokens_of(WHOLE)


@pytest.fixture(scope="module")
def simulator() -> Iterator[RunningSimulator]:
    with threaded_simulator() as running:
        yield running


@pytest.fixture(params=["async", "sync"])
def driver(request: pytest.FixtureRequest, simulator: RunningSimulator) -> Iterator[Driver]:
    one = Driver(request.param, simulator)
    yield one
    one.close()


def test_text_sentences_and_batches(driver: Driver) -> None:
    for how, expected in (
        (lambda s: s.text, TOKENS),
        (
            lambda s: s.sentences,
            ["Hello, and thank you for calling. ", "My name is Robin. ", "How can I help you today?"],
        ),
        (lambda s: s.batches(4), ["".join(TOKENS[at : at + 4]) for at in range(0, len(TOKENS), 4)]),
    ):
        stream = driver.enter(driver.stream(model="sim:none?rate=0"))
        assert driver.read(how(stream)) == expected
        driver.leave(stream)
        assert stream.report.status == "completed"
        assert stream.done


@pytest.mark.parametrize("way", ["text", "sentences", "batches", "events"])
def test_a_cut_raises_behind_all_of_the_text(driver: Driver, way: str) -> None:
    stream, got = driver.enter(driver.stream(model="sim:cut?rate=0&at=9")), []
    iterator = {
        "text": lambda: stream.text,
        "sentences": lambda: stream.sentences,
        "batches": lambda: stream.batches(4),
    }
    with pytest.raises(errors.StreamInterrupted):
        driver.read(iterator.get(way, lambda: stream)(), got)
    text = "".join(e.content for e in got if isinstance(e, Text)) if way == "events" else "".join(got)
    assert text == "".join(TOKENS[:9]) == stream.report.text
    driver.leave(stream)


def test_polling_takes_what_is_there_and_ends_with_the_truth(driver: Driver) -> None:
    for model, kind in (("sim:none?rate=400", None), ("sim:cut?rate=400&at=9", errors.StreamInterrupted)):
        stream = driver.enter(driver.stream(model=model))
        taken: list[str] = []
        raised: Exception | None = None
        while not stream.done:
            try:
                some = stream.take(3)
            except errors.StreamError as error:
                raised = error
                break
            assert len(some) <= 3
            taken += some
            driver.idle(0.005)
        assert "".join(taken) == stream.report.text == stream.snapshot
        assert type(raised) is (kind or type(None))
        driver.leave(stream)


def polled(driver: Driver, **ask: Any) -> tuple[Any, list[str], Exception | None]:
    """Take a little, then nothing for longer than stall_timeout, then all."""
    stream = driver.enter(
        driver.stream(model="sim:none?rate=0&tokens=60000", buffer_high=200, buffer_low=100, stall_timeout=0.3, **ask)
    )
    taken = stream.take(5)
    while not stream.paused:
        driver.idle(0.01)
        taken += stream.take(1)
    assert stream.buffered > 100
    driver.idle(0.6)
    error: Exception | None = None
    until = time.monotonic() + 15
    while not stream.done and time.monotonic() < until:
        try:
            some = stream.take(10_000)
        except errors.StreamError as raised:
            error = raised
            break
        taken += some
        if not some:
            driver.idle(0.001)
    driver.leave(stream)
    return stream, taken, error


def test_a_caller_who_takes_nothing_is_slow(driver: Driver) -> None:
    stream, _, error = polled(driver)
    assert isinstance(error, errors.StreamCancelled)
    assert (stream.report.status, stream.report.cancelled_by) == ("cancelled", "slow_consumer")


def test_dropped_text_never_looks_complete(driver: Driver) -> None:
    stream, taken, error = polled(driver, on_stall="drop")
    assert isinstance(error, errors.StreamInterrupted)
    assert (stream.report.status, stream.report.error.code) == ("interrupted", "text_dropped")
    assert 0 < len("".join(taken)) < len(stream.report.text)
    assert stream.report.chunks == 60_000


def test_truncated_text_never_looks_complete(driver: Driver) -> None:
    stream, taken, error = polled(driver, on_stall="truncate")
    assert isinstance(error, errors.StreamInterrupted)
    assert (stream.report.status, stream.report.error.code) == ("interrupted", "text_dropped")
    assert "".join(taken) == stream.report.text
    assert stream.report.chunks < 60_000


def test_flushed_text_is_the_callbacks(driver: Driver) -> None:
    heard: list[str] = []
    stream, taken, error = polled(driver, on_stall="flush", on_text=lambda text, measures: heard.append(text))
    assert error is None
    assert stream.report.status == "completed"
    assert "".join(heard) == stream.report.text
    assert len("".join(taken)) < len(stream.report.text)


def test_callbacks_hear_everything_in_order_and_beside_the_stream(driver: Driver) -> None:
    heard: dict[str, list[Any]] = {}

    def hear(name: str) -> Any:
        return lambda *arguments: heard.setdefault(name, []).append(arguments)

    async def later(*arguments: Any) -> None:
        heard.setdefault("on_latency", []).append(arguments)

    names = ("on_text", "on_event", "on_token_rate", "on_audit", "on_dashboard_sync")
    report = driver.run(
        driver.gateway.complete,
        model="sim:none?rate=300",
        messages=HELLO,
        on_latency=later,
        **{n: hear(n) for n in names},
    )
    assert [text for text, _ in heard["on_text"]] == TOKENS
    measures = heard["on_text"][-1][1]
    assert measures["chunk_index"] == len(TOKENS) - 1
    assert set(measures) == {"chunk_index", "tokens_per_second", "elapsed"}
    assert 0 < measures["elapsed"] < 5
    assert isinstance(heard["on_event"][-1][0], Ended)
    assert heard["on_latency"] == [(report.timing.total_ms,)]
    assert heard["on_token_rate"] == [(report.timing.tokens_per_second,)]
    ((record,),) = heard["on_audit"]
    assert (record["status"], "text" in record) == ("completed", False)
    board = [payload for (payload,) in heard["on_dashboard_sync"]]
    assert [p["type"] for p in board] == ["chunk"] * len(TOKENS) + ["complete"]
    assert board[0]["data"] == {"content": TOKENS[0], "index": 0}
    assert all(p["timestamp"].endswith("Z") for p in board)


def test_a_callback_that_fails_or_hangs_breaks_nothing(driver: Driver, caplog: pytest.LogCaptureFixture) -> None:
    def broken(*arguments: Any) -> None:
        raise RuntimeError("my own " + WHOLE)

    report = driver.run(
        driver.gateway.complete, model="sim:none?rate=0", messages=HELLO, on_text=broken, on_audit=broken
    )
    assert report.status == "completed"
    said = [record.getMessage() for record in caplog.records if record.name == "streamweir"]
    assert said == [f"callback {name} failed (RuntimeError); the stream goes on" for name in ("on_text", "on_audit")]


def test_a_callback_that_is_slow_holds_the_upstream_and_then_counts_as_slow(driver: Driver) -> None:
    if driver.kind == "sync":
        never = threading.Event()

        def hang(text: str, measures: dict[str, Any]) -> None:
            never.wait(0.8)
    else:
        import asyncio

        async def hang(text: str, measures: dict[str, Any]) -> None:
            await asyncio.sleep(30)

    with pytest.raises(errors.StreamCancelled) as caught:
        driver.run(
            driver.gateway.complete,
            model="sim:none?rate=0&tokens=60000",
            messages=HELLO,
            on_text=hang,
            buffer_high=50,
            buffer_low=10,
            stall_timeout=0.3,
        )
    assert caught.value.report.cancelled_by == "slow_consumer"
    assert caught.value.report.chunks < 60_000


@pytest.mark.parametrize(
    ("how", "problem"),
    [
        ({"on_stall": "sulk"}, "on_stall is 'sulk'"),
        ({"on_stall": "flush"}, "give that callback"),
        ({"buffer_low": 9, "buffer_high": 9}, "buffer_low < buffer_high"),
    ],
)
def test_ways_to_read_that_make_no_sense(driver: Driver, how: dict[str, Any], problem: str) -> None:
    with pytest.raises(errors.RequestError, match=problem):
        driver.stream(model="m", **how)
    with pytest.raises(errors.RequestError, match="at least 1"):
        driver.stream(model="m").batches(0)


def test_a_stream_is_opened_once(driver: Driver) -> None:
    stream = driver.enter(driver.stream(model="sim:none?rate=0"))
    driver.leave(stream)
    with pytest.raises(errors.RequestError, match="opened before"):
        driver.enter(stream)
    with pytest.raises(errors.RequestError, match="not open"):
        driver.read(driver.stream(model="m"))


def test_options_of_a_gateway_and_its_limits(driver: Driver) -> None:
    other = driver.gateway.with_options(model="sim:none?rate=0", stop=None)
    assert driver.run(other.complete, messages=HELLO).status == "completed"
    assert driver.run(other.complete, messages=HELLO, model="sim:length?rate=0").status == "truncated"
    assert driver.gateway.limits.allowed == 300
    with pytest.raises(errors.ConfigError, match="no model"):
        driver.stream()
