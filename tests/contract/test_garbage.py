"""An ended stream leaves nothing of ours in reference cycles: its memory is free at once, and no collector has to look."""

import asyncio
import gc
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from streamweir.server.life import Server
from streamweir.simulator.app import RunningSimulator
from tests.proxies import FACES, Downstream, profile, proxy_with, upstream
from tests.simulators import threaded_simulator

STREAMS = 20

ENDS = {
    "whole": "sim:none?rate=0&tokens=10",
    "cut": "sim:cut?rate=0",
    "refused": "sim:403",
    "client gone": "sim:stall?at=5&rate=0",
}


@pytest.fixture(scope="module")
def simulator() -> Iterator[RunningSimulator]:
    with threaded_simulator() as running:
        yield running


@pytest.fixture
async def proxy(simulator: RunningSimulator) -> AsyncIterator[Server]:
    text = upstream(simulator) + '[server]\nresume_window = "0s"\n'
    server = await proxy_with(text + "".join(profile(name, model) for name, model in ENDS.items()))
    yield server
    await server.stop()


async def streamed(proxy: Server, face: str, end: str) -> None:
    """One stream to its end, and its connection to its own."""
    client = await Downstream.ask(proxy, face, end)
    if end == "client gone":
        async with asyncio.timeout(10):
            while not proxy.shared.census.count("streaming"):
                await asyncio.sleep(0.002)
        client.leave()
    else:
        async with asyncio.timeout(10):
            data = b""
            while not data.endswith((b"0\r\n\r\n", b"}", b"\n\n")):
                data += await client.reader.read(65536)
        await client.close()
    async with asyncio.timeout(10):
        while proxy.shared.census.streams or proxy.connections:
            await asyncio.sleep(0.002)


def of_ours(garbage: list[Any]) -> Counter[str]:
    """How many objects of each class of ours there are; the simulator is no part of the proxy."""
    kinds = Counter(f"{type(one).__module__}.{type(one).__qualname__}" for one in garbage)
    return Counter(
        {kind: n for kind, n in kinds.items() if kind.startswith("streamweir.") and ".simulator." not in kind}
    )


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("end", ENDS)
async def test_an_ended_stream_leaves_no_cycle(proxy: Server, face: str, end: str) -> None:
    await streamed(proxy, face, end)
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        for _ in range(STREAMS):
            await streamed(proxy, face, end)
        gc.collect()
        left = of_ours(gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert not left
