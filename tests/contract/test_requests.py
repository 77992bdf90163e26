"""What is checked before anything is sent, in both clients and every dialect."""

from collections.abc import Iterator
from typing import Any

import pytest

from streamweir import errors
from streamweir.dialects import BUILTIN
from streamweir.simulator.app import RunningSimulator
from tests.contract.both import HELLO, Driver
from tests.simulators import threaded_simulator

KINDS = pytest.mark.parametrize("kind", ["async", "sync"])
LONG = [
    m
    for n in range(9)
    for m in ({"role": "user", "content": f"question {n} " * 40}, {"role": "assistant", "content": "yes " * 40})
]


@pytest.fixture(scope="module")
def simulator() -> Iterator[RunningSimulator]:
    with threaded_simulator() as running:
        yield running


@pytest.fixture(autouse=True)
def anew(simulator: RunningSimulator) -> None:
    simulator.simulator.seen.clear()


def made(kind: str, simulator: RunningSimulator, dialect: str, **options: Any) -> Driver:
    if dialect == "openai":
        options |= {"base_url": simulator.url + "/v1", "api_key": "k"}
    return Driver(kind, simulator if dialect != "openai" else None, dialect=dialect, **options)


PROBLEMS = [
    ("sse-gateway", {"stop": "x", "prompt_id": "p", "tools": []}, 3),
    ("ndjson-chat", {"temperature": 0.1, "max_tokens": 5, "stop": ["x"], "prompt_id": "p", "metadata": {"a": 1}}, 5),
    ("sse-chat", {"messages": [{"role": "tool", "content": "x"}, {"role": "user", "content": "y" * 4097}]}, 2),
    ("sse-chat", {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]}, 1),
    ("sse-chat", {"prompt_id": "p", "metadata": {"a": 1}}, 2),
    ("sse-generative", {"temperature": [0.1], "prompt_id": "p"}, 2),
    ("sse-generative", {"options": {"stream_config": 5}}, 1),
    ("ws-gateway", {}, 1),
    ("ws-gateway", {"prompt_id": "p", "temperature": [], "max_tokens": 4097}, 2),
    ("ws-gateway", {"prompt_id": "p", "temperature": [0.1, 2.1, -1.0]}, 2),
    ("openai", {"temperature": [0.1, 0.2]}, 1),
]
EVERYWHERE = [
    ({"messages": []}, "messages is empty"),
    ({"messages": [{"content": "x"}]}, "messages[0] has no role"),
    ({"max_tokens": 0}, "max_tokens is 0"),
    ({"temperature": 2.01}, "temperature is 2.01"),
    ({"temperature": float("nan")}, "temperature is nan"),
]


@KINDS
@pytest.mark.parametrize(("dialect", "ask", "count"), PROBLEMS)
def test_every_problem_in_one_error_and_nothing_sent(
    kind: str, simulator: RunningSimulator, dialect: str, ask: dict[str, Any], count: int
) -> None:
    driver = made(kind, simulator, dialect)
    with pytest.raises(errors.RequestError) as caught:
        driver.run(driver.gateway.complete, **{"model": "m", "messages": HELLO, **ask})
    assert isinstance(caught.value, ValueError)
    assert len(caught.value.problems) == count, caught.value.problems
    assert not simulator.simulator.seen
    driver.close()


@pytest.mark.parametrize(("ask", "problem"), EVERYWHERE)
@pytest.mark.parametrize("dialect", BUILTIN)
def test_what_no_dialect_takes(simulator: RunningSimulator, dialect: str, ask: dict[str, Any], problem: str) -> None:
    driver = made("sync", simulator, dialect)
    prompt = {"prompt_id": "p"} if dialect == "ws-gateway" else {}
    with pytest.raises(errors.RequestError) as caught:
        driver.gateway.complete(**{"model": "m", "messages": HELLO, **prompt, **ask})
    assert any(one.startswith(problem) for one in caught.value.problems) or dialect == "ndjson-chat"
    assert not simulator.simulator.seen
    driver.close()


@KINDS
@pytest.mark.parametrize(
    ("ask", "message"),
    [
        ({"max_tokens": "many"}, "max_tokens: Expected `int"),
        ({"metadata": "x"}, "metadata: Expected `object`"),
        ({"on_cut": "pray"}, "on_cut: Invalid enum value 'pray'"),
        ({"deadline": "soon"}, "deadline: Expected `float`"),
        ({"options": {"x": object()}}, "cannot be written as JSON"),
        ({"request_id": "a\r\nX-Evil: 1"}, "holds a line end"),
    ],
)
def test_values_of_the_wrong_kind(kind: str, simulator: RunningSimulator, ask: dict[str, Any], message: str) -> None:
    dialect = "sse-generative" if "request_id" in ask else "sse-gateway"
    driver = made(kind, simulator, dialect)
    with pytest.raises(errors.RequestError, match=message):
        driver.run(driver.gateway.complete, **{"model": "m", "messages": HELLO, **ask})
    assert not simulator.simulator.seen
    driver.close()


@KINDS
def test_the_size_of_a_message_is_configurable(kind: str, simulator: RunningSimulator) -> None:
    for limit, size in ((0, 9000), (5000, 4500)):
        driver = made(kind, simulator, "sse-chat", max_message_chars=limit)
        messages = [{"role": "user", "content": "y" * size}]
        assert driver.run(driver.gateway.complete, model="sim:none?rate=0", messages=messages).status == "completed"
        driver.close()


@KINDS
def test_a_prompt_beyond_the_window_is_rejected_with_exact_numbers(kind: str, simulator: RunningSimulator) -> None:
    driver = made(kind, simulator, "sse-chat")
    with pytest.raises(errors.ContextWindowExceeded) as caught:
        driver.run(driver.gateway.complete, model="m", messages=LONG, context_window=500)
    assert caught.value.tokens > 500 == caught.value.limit
    assert caught.value.source == "bpe-openai"
    assert not simulator.simulator.seen
    # 8,192 where nothing else is known
    with pytest.raises(errors.ContextWindowExceeded, match="the context window 8192"):
        driver.run(driver.gateway.complete, model="m", messages=[{"role": "user", "content": "word " * 700}] * 15)
    driver.close()


@KINDS
def test_or_the_oldest_turns_slide_out(kind: str, simulator: RunningSimulator) -> None:
    driver = made(kind, simulator, "sse-gateway")
    system, last = {"role": "system", "content": "Be kind."}, {"role": "user", "content": "hello"}
    report = driver.run(
        driver.gateway.complete,
        model="sim:none?rate=0",
        messages=[system, *LONG, last],
        context_window=500,
        on_overflow="slide",
    )
    assert report.status == "completed"
    # the simulator counts words: far fewer came than were given
    assert report.usage.prompt_tokens < 500
    driver.close()


@KINDS
def test_no_window_is_checked_where_none_is_known(kind: str, simulator: RunningSimulator) -> None:
    driver = made(kind, simulator, "openai")
    messages = [{"role": "user", "content": "word " * 20_000}]
    assert driver.run(driver.gateway.complete, model="sim:none?rate=0", messages=messages).status == "completed"
    driver.close()
