"""A simulator and a proxy on free ports of this machine, in the test's own event loop."""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from streamweir import AsyncGateway
from streamweir.config import load_text
from streamweir.guard.engine import Scan
from streamweir.server.life import Server
from streamweir.simulator.app import RunningSimulator

# the same examples in every run, and new ones in `make soak`: a finding belongs to a change, not to the weather
hypothesis.settings.register_profile("same", derandomize=True, deadline=None)
hypothesis.settings.load_profile("default" if os.environ.get("STREAMWEIR_SOAK") else "same")

ROOT = Path(__file__).parents[1]

CONFIG = """
[upstreams.sim]
dialect = "{dialect}"
base_url = "{url}"
client_id = "sim-client"
client_secret = "sim-secret"
"""

SOON = 'idle_timeout = "400ms"\nfirst_token_timeout = "800ms"\n'
"""For models with a fault. A reply that must come whole has the usual limits: a busy machine stops for as long."""


ON_UVLOOP = {
    "test_disconnects.py",
    "test_gate.py",
    "test_proxy.py",
    "test_hostile_connections.py",
    "test_reply.py",
    "test_slow_clients.py",
    "test_time.py",
    "test_websocket.py",
}
"""Tests that run on the event loop that `serve` uses: its transports are stricter than asyncio's own."""


def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    if item.path.name not in ON_UVLOOP or sys.platform == "win32":
        return {"asyncio": asyncio.new_event_loop}
    import uvloop

    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def cleared(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Stops the servers and closes the connections that a red test leaves behind: on uvloop its loop would never end."""
    servers: list[Server] = []
    writers: list[asyncio.StreamWriter] = []
    start, connect = Server.start, asyncio.open_connection

    async def starting(server: Server) -> None:
        servers.append(server)
        await start(server)

    async def connecting(*where: Any, **how: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await connect(*where, **how)
        writers.append(writer)
        return reader, writer

    monkeypatch.setattr(Server, "start", starting)
    monkeypatch.setattr(asyncio, "open_connection", connecting)
    yield
    for writer in writers:
        writer.transport.abort()
    for server in servers:
        await server.stop()


@pytest.fixture
def failing_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    """A guard that has a mistake: it fails when a 6 comes."""
    push = Scan.push

    def broken(scan: Scan, text: str) -> str:
        if "6" in text:
            raise RuntimeError("a mistake")
        return push(scan, text)

    monkeypatch.setattr(Scan, "push", broken)


@pytest.fixture
async def simulator() -> AsyncIterator[RunningSimulator]:
    running = RunningSimulator()
    await running.start()
    yield running
    await running.stop()


def gateway_for(simulator: RunningSimulator, dialect: str = "sse-gateway", **options: object) -> AsyncGateway:
    base = simulator.url + ("/v1" if dialect == "openai" else "")
    keys = {"api_key": "k"} if dialect == "openai" else {"client_id": "sim-client", "client_secret": "sim-secret"}
    return AsyncGateway(dialect=dialect, base_url=base, **{**keys, **options})


def proxy_config(
    simulator: RunningSimulator, models: dict[str, str], dialect: str = "sse-gateway", guard: str = "redact"
) -> str:
    url = simulator.url + ("/v1" if dialect == "openai" else "")
    text = CONFIG.format(dialect=dialect, url=url)
    for name, model in models.items():
        text += f'[profiles."{name}"]\nupstream = "sim"\nmodel = "{model}"\nguard = "{guard}"\n'
        text += "" if model.startswith("sim:none") else SOON
    return text


async def started_proxy(
    simulator: RunningSimulator, models: dict[str, str], dialect: str = "sse-gateway", guard: str = "redact"
) -> Server:
    server = Server(load_text(proxy_config(simulator, models, dialect, guard)), {}, "127.0.0.1", 0)
    await server.start()
    return server


PLACES = {
    "clients/python": ROOT / ".peers" / "clients" / "bin" / "python",
    "litellm/python": ROOT / ".peers" / "litellm" / "bin" / "python",
    "litellm": ROOT / ".peers" / "litellm" / "bin" / "litellm",
    "standardwebhooks": ROOT / "node_modules" / "standardwebhooks",
    "node22": ROOT / "tests" / "stock_clients" / "node22" / "node_modules" / "node" / "bin" / "node",
}
"""Tools that `make deps` puts into the checkout, in environments of their own."""


def needs(*tools: str) -> dict[str, str]:
    """Where the tools are; a test that needs one that is missing skips, or fails where everything must run."""
    found: dict[str, str] = {}
    for tool in tools:
        local = PLACES.get(tool, ROOT / "node_modules" / ".bin" / tool)
        path = str(local) if local.exists() else None if tool in PLACES else shutil.which(tool)
        if path is None:
            message = f"{tool} is missing: run `make deps`"
            if os.environ.get("STREAMWEIR_REQUIRE_ALL"):
                pytest.fail(message)
            pytest.skip(message)
        found[tool] = path
    return found


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("GENESYS", "OPENAI_")) or (
            name.startswith("STREAMWEIR_")
            and name not in ("STREAMWEIR_REQUIRE_ALL", "STREAMWEIR_SOAK", "STREAMWEIR_SCREENSHOTS")
        ):
            monkeypatch.delenv(name)
    # a developer's own credentials are none of the tests' business
    monkeypatch.setenv("HOME", str(ROOT / "tests" / "no-home"))
