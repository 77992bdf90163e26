"""A client that is killed, in every phase of a stream and in every face: the upstream is closed, and the report told."""

import asyncio
import contextlib
import os
import socket
import statistics
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from streamweir.server.life import Server
from streamweir.simulator.app import RunningSimulator
from tests.proxies import FACES, Downstream, Told, profile, proxy_with, upstream

pytestmark = pytest.mark.usefixtures("cleared")

PHASES = ("token fetch", "connect", "answer", "first token", "middle", "backpressured")
TIMES: dict[str, list[float]] = {}
ROUNDS = 30 if os.environ.get("STREAMWEIR_SOAK") else 4


@pytest.fixture(scope="module", autouse=True)
def figures(pytestconfig: pytest.Config) -> Iterator[None]:
    """Prints what docs/proxy.md says of clients that are killed, once all of them were."""
    yield
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        for phase, times in TIMES.items():
            ordered = sorted(times)
            p99 = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
            print(
                f"\n{phase}: {len(ordered)} clients killed, upstream closed after median "
                f"{statistics.median(ordered) * 1000:.1f} ms, p99 {p99 * 1000:.1f} ms",
                end="",
            )


class Silent:
    """Takes connections and requests, answers nothing, and notices when its peer leaves."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.left = asyncio.Event()

    async def start(self) -> int:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self.server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while await reader.read(65536):
                self.asked.set()
        self.left.set()
        writer.close()


@contextlib.contextmanager
def full_backlog():
    """An address that takes no more connections: connecting to it waits."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect(listener.getsockname())
            fillers.append(filler)
        yield listener.getsockname()[1]
        for filler in fillers:
            filler.close()


@contextlib.asynccontextmanager
async def in_phase(phase: str, simulator: RunningSimulator, told: Told) -> AsyncIterator[tuple[Server, Silent]]:
    """A proxy whose streams stop in that phase."""
    silent = Silent()
    port = await silent.start()
    models = {
        "first token": "sim:slow?wait=30",
        "middle": "sim:stall?at=3&rate=0",
        "backpressured": "sim:none?rate=0&tokens=2000000",
    }
    long = {"first_token_timeout": "60s", "idle_timeout": "60s", "inactivity_timeout": "60s", "connect": "60s"}
    with full_backlog() as full:
        if phase == "token fetch":
            text = upstream(simulator, "sse-gateway", token_url=f"http://127.0.0.1:{port}/oauth/token", **long)
        else:
            text = upstream(simulator, **long)
        if phase in ("connect", "answer"):
            where = full if phase == "connect" else port
            text = text.replace(simulator.url, f"http://127.0.0.1:{where}")
        # without a window nothing outlives its client; what does is tests/contract/test_streams.py's
        window = '[server]\nresume_window = "0s"\n'
        server = await proxy_with(text + profile("p", models.get(phase, "sim:none")) + window, told)
        try:
            yield server, silent
        finally:
            await server.stop()
            silent.server.close()


async def reached(phase: str, client: Downstream, face: str, simulator: RunningSimulator, silent: Silent) -> None:
    if phase in ("token fetch", "answer"):
        await silent.asked.wait()
    elif phase == "connect":
        await asyncio.sleep(0.1)
    else:
        while not simulator.simulator.seen:
            await asyncio.sleep(0.002)
        seen = simulator.simulator.seen[-1]
        while phase == "middle" and seen.written < 300:
            await asyncio.sleep(0.002)
        if phase == "backpressured":
            # nothing is read any more: the upstream waits for us as we wait for our client
            held = [0, 0, 0, 0]
            while not held[0] or len(set(held)) > 1:
                await asyncio.sleep(0.1)
                held = [*held[1:], seen.written]
        elif phase == "middle" and face != "openai whole":
            await client.read(200)


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("phase", PHASES)
async def test_a_client_that_is_killed_closes_the_upstream(simulator: RunningSimulator, phase: str, face: str) -> None:
    if phase == "backpressured" and face == "openai whole":
        pytest.skip("nothing is written before its end, so nothing can be held back")
    told = Told()
    times: list[float] = []
    async with in_phase(phase, simulator, told) as (server, silent):
        for _ in range(ROUNDS):
            simulator.simulator.seen.clear()
            silent.asked.clear()
            silent.left.clear()
            client = await Downstream.ask(server, face, "p", limit=1024)
            async with asyncio.timeout(20):
                await reached(phase, client, face, simulator, silent)
            client.leave()
            began = time.monotonic()
            report = await told.next(1.0)
            if phase in ("token fetch", "answer"):
                async with asyncio.timeout(1.0):
                    await silent.left.wait()
            elif phase != "connect":
                while simulator.simulator.seen[-1].outcome != "client_closed":
                    assert time.monotonic() - began < 1.0, "the upstream is still open"
                    await asyncio.sleep(0.0005)
            times.append(time.monotonic() - began)
            assert (report.status, report.cancelled_by, report.error.code) == ("cancelled", "client", "cancelled")
            # what was generated by then is accounted for
            assert (report.usage.completion_tokens > 0) == (phase in ("middle", "backpressured"))
    assert max(times) < 1.0
    TIMES.setdefault(phase, []).extend(times)
