"""Tokens in both clients: kept in a file, given by a function, renewed early."""

from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamweir import errors
from streamweir.simulator.app import RunningSimulator
from tests.contract.both import HELLO, Driver
from tests.simulators import threaded_simulator

KINDS = pytest.mark.parametrize("kind", ["async", "sync"])
ASK = {"model": "sim:none?rate=0", "messages": HELLO}


@pytest.fixture
def simulator() -> Iterator[RunningSimulator]:
    with threaded_simulator() as running:
        yield running


@KINDS
def test_a_token_outlives_its_process(
    kind: str, simulator: RunningSimulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMWEIR_TOKEN_KEY", b64encode(bytes(32)).decode())
    for _ in range(3):
        driver = Driver(kind, simulator, token_store=f"file:{tmp_path / 'tokens'}")
        driver.run(driver.gateway.complete, **ASK)
        driver.close()
    assert simulator.simulator.token_requests == 1
    # one that died early is asked for anew, and the new one is kept
    simulator.simulator.revoke_all()
    for _ in range(2):
        driver = Driver(kind, simulator, token_store=f"file:{tmp_path / 'tokens'}")
        driver.run(driver.gateway.complete, **ASK)
        driver.close()
    assert simulator.simulator.token_requests == 2


@KINDS
def test_a_function_gives_the_token(kind: str, simulator: RunningSimulator) -> None:
    given: list[str] = []

    def give() -> str:
        given.append(f"tok-{len(given)}")
        return given[-1]

    async def give_later() -> str:
        return give()

    simulator.simulator._tokens.add("tok-1")
    driver = Driver(kind, None, base_url=simulator.url, access_token=give_later if kind == "async" else give)
    report = driver.run(driver.gateway.complete, **ASK)
    assert (report.status, report.attempts, given) == ("completed", 2, ["tok-0", "tok-1"])
    assert simulator.simulator.token_requests == 0
    assert driver.run(driver.gateway.token) == "tok-2"
    driver.close()


@KINDS
def test_a_token_given_by_hand_that_is_refused(kind: str, simulator: RunningSimulator) -> None:
    driver = Driver(kind, None, base_url=simulator.url, access_token="stale")
    with pytest.raises(errors.AuthenticationError):
        driver.run(driver.gateway.complete, **ASK)
    assert len(simulator.simulator.seen) == 0
    driver.close()


@KINDS
def test_an_ageing_token_is_renewed_and_a_failing_renewal_fails_nobody(kind: str, simulator: RunningSimulator) -> None:
    driver = Driver(kind, simulator)
    driver.run(driver.gateway.complete, **ASK)
    tokens = driver.gateway._client._tokens
    good = tokens._cached
    ageing = type(good)(good.value, renew_at=0.0, expires_at=good.expires_at)
    tokens._cached = ageing
    driver.run(driver.gateway.complete, **ASK)
    driver.idle(0.1)
    assert simulator.simulator.token_requests == 2
    assert tokens.current != good.value
    tokens._cached = ageing

    def fails(*arguments: object) -> None:
        from streamweir.client.grants import TokenFailed, no_token_in_time

        raise TokenFailed(no_token_in_time())

    async def fails_later() -> None:
        fails()

    tokens._fetch = fails_later if kind == "async" else fails
    assert driver.run(driver.gateway.complete, **ASK).status == "completed"
    driver.idle(0.05)
    driver.close()
