"""The async client against the simulator, over real sockets: every scenario ends with the truth about it."""

import asyncio
import time

import pytest

from streamweir import AsyncGateway, errors
from streamweir.events import Ended, RateLimit, Retrying, Started, Text
from streamweir.simulator.app import RunningSimulator
from tests.conftest import gateway_for

HELLO = [{"role": "user", "content": "hello"}]


async def test_events_in_order_with_headers_and_retries(simulator: RunningSimulator) -> None:
    async with gateway_for(simulator) as gateway, gateway.stream(model="sim:429?rate=0", messages=HELLO) as stream:
        events = [event async for event in stream]
    kinds = [type(event) for event in events]
    assert kinds[:4] == [RateLimit, Retrying, RateLimit, Started]
    assert kinds[-1] is Ended
    assert kinds.count(Ended) == 1
    assert [event.seq for event in events] == list(range(len(events)))
    retry = next(event for event in events if isinstance(event, Retrying))
    assert 1000 <= retry.wait_ms <= 2000
    assert stream.report.attempts == 2
    assert stream.report.integrity.verified is True
    assert stream.report.correlation_id == events[3].correlation_id


async def test_a_gap_below_the_limit_and_disorder_are_told(simulator: RunningSimulator) -> None:
    async with gateway_for(simulator) as gateway:
        gap = await gateway.complete(model="sim:gap?at=9&rate=0&tokens=60", messages=HELLO)
        disorder = await gateway.complete(model="sim:disorder?rate=0", messages=HELLO)
    assert (gap.integrity.gaps, gap.integrity.verified) == ([(9, 9)], False)
    assert (disorder.integrity.out_of_order, disorder.integrity.verified) == (1, False)


async def test_fifty_streams_fetch_one_token(simulator: RunningSimulator) -> None:
    async with gateway_for(simulator) as gateway:
        reports = await asyncio.gather(*(gateway.complete(model="sim:none?rate=0", messages=HELLO) for _ in range(50)))
    assert {report.status for report in reports} == {"completed"}
    assert simulator.simulator.token_requests == 1


async def test_one_stream_that_leaves_does_not_take_the_token_from_the_others(simulator: RunningSimulator) -> None:
    async with gateway_for(simulator) as gateway:
        tasks = [asyncio.create_task(gateway.complete(model="sim:none?rate=0", messages=HELLO)) for _ in range(5)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        reports = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(reports[0], asyncio.CancelledError)
    assert [report.status for report in reports[1:]] == ["completed"] * 4


async def test_wrong_credentials_name_the_region_as_a_suspect(simulator: RunningSimulator) -> None:
    async with gateway_for(simulator, client_secret="wrong") as gateway:
        with pytest.raises(errors.AuthenticationError, match="or they belong to another region") as caught:
            await gateway.complete(model="m", messages=HELLO)
    assert "wrong-secret" not in caught.value.message
    assert caught.value.report.status == "failed"


async def test_a_connection_is_used_again_and_a_cut_one_is_not(simulator: RunningSimulator) -> None:
    async with gateway_for(simulator) as gateway:
        for _ in range(3):
            await gateway.complete(model="sim:none?rate=0", messages=HELLO)
        assert len(gateway._client.pool._all) == 1
        for fault in ("cut", "reset", "error", "oversized"):
            with pytest.raises(errors.StreamError):
                await gateway.complete(model=f"sim:{fault}?rate=0", messages=HELLO)
        await asyncio.sleep(0.05)
        assert len(gateway._client.pool._all) <= 1


async def test_nobody_there() -> None:
    async with AsyncGateway(dialect="openai", base_url="http://127.0.0.1:9/v1", max_tries=1) as gateway:
        with pytest.raises(errors.APIConnectionError, match="no connection to 127.0.0.1:9"):
            await gateway.complete(model="m", messages=HELLO)


@pytest.mark.parametrize("wait", ["?wait=5", "?rate=5"])
async def test_cancel_closes_the_upstream_and_raises_to_whoever_reads(simulator: RunningSimulator, wait: str) -> None:
    async with gateway_for(simulator) as gateway:
        stream = gateway.stream(model=f"sim:none{wait}", messages=HELLO)
        asyncio.get_running_loop().call_later(0.3, stream.cancel)
        with pytest.raises(errors.StreamCancelled) as caught:
            async with stream:
                async for _ in stream:
                    pass
        stream.cancel()
        assert caught.value.report.status == "cancelled"
        assert caught.value.report.cancelled_by == "caller"
        await closed_within(simulator, 1.0)


async def test_cancel_during_the_wait_for_a_retry(simulator: RunningSimulator) -> None:
    async with gateway_for(simulator) as gateway:
        stream = gateway.stream(model="sim:429", messages=HELLO)
        asyncio.get_running_loop().call_later(0.1, stream.cancel)
        began = time.monotonic()
        with pytest.raises(errors.StreamCancelled):
            async with stream:
                pass
        assert time.monotonic() - began < 0.9
        assert stream.report.attempts == 1


async def test_leaving_the_block_early_closes_the_upstream(simulator: RunningSimulator) -> None:
    async with gateway_for(simulator) as gateway:
        async with gateway.stream(model="sim:none?rate=20", messages=HELLO) as stream:
            async for _ in stream.text:
                break
        assert stream.report.status == "cancelled"
        await closed_within(simulator, 1.0)


async def test_the_deadline_counts_retries(simulator: RunningSimulator) -> None:
    async with gateway_for(simulator) as gateway:
        with pytest.raises(errors.StreamTimedOut) as caught:
            await gateway.complete(model="sim:none?wait=3", messages=HELLO, deadline=0.5)
        assert caught.value.limit == "deadline"
        assert caught.value.report.status == "timed_out"


async def test_a_slow_reader_stops_the_upstream(simulator: RunningSimulator) -> None:
    async with (
        gateway_for(simulator, idle_timeout=0.3) as gateway,
        gateway.stream(model="sim:none?rate=0&tokens=40000", messages=HELLO) as stream,
    ):
        count = 0
        async for event in stream:
            if isinstance(event, Text):
                count += 1
                if count == 1:
                    # longer than idle_timeout: our own pause is no stall of the upstream
                    await asyncio.sleep(1.0)
                    held = simulator.simulator.seen[0].written
                    await asyncio.sleep(0.2)
                    assert simulator.simulator.seen[0].written == held
                    assert len(stream.unread) < 5000
        assert count == 40_000
    assert stream.report.integrity.verified


async def test_requests_that_cannot_be_sent(simulator: RunningSimulator) -> None:
    async with gateway_for(simulator) as gateway:
        with pytest.raises(errors.RequestError, match="stop cannot be carried by sse-gateway") as caught:
            await gateway.complete(model="m", messages=[{"content": "x"}], stop="x", temperature=3.0, tools=[])
        assert len(caught.value.problems) == 4
        with pytest.raises(errors.ConfigError, match="guard is"):
            gateway.stream(model="m", messages=HELLO, guard="nothing")
        with pytest.raises(errors.ConfigError, match="no model"):
            gateway.stream(messages=HELLO)
    assert simulator.simulator.seen == []


async def closed_within(simulator: RunningSimulator, seconds: float) -> float:
    """How long until the simulator saw its client leave. Raises AssertionError where it did not in time."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        if simulator.simulator.seen and simulator.simulator.seen[-1].outcome == "client_closed":
            return time.monotonic() - began
        await asyncio.sleep(0.002)
    raise AssertionError(f"the upstream request is still {simulator.simulator.seen[-1].outcome}")
