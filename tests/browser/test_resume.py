"""Replies in a real browser that lose their connection twenty times, in pages that are reloaded in the middle."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from streamweir.simulator.app import RunningSimulator
from streamweir.simulator.replies import SCRIPTS, tokens_of
from tests.browser.test_console import run
from tests.browser.test_pages import NODE22
from tests.conftest import needs
from tests.cutting import Cutter, plan
from tests.networks import free_port
from tests.proxies import profile, proxy_with, upstream

HERE = Path(__file__).parent
STATIC = HERE.parents[1] / "src" / "streamweir" / "server" / "static"
pytestmark = pytest.mark.check

TOKENS = 700
CUTS = 20
REPLY = "".join(tokens_of(SCRIPTS["complaint"], TOKENS))
RELOAD_AT = 350
"""UTF-16 units of text: some of the cuts lie before it, others behind."""

MODEL = f"sim:none?tokens={TOKENS}&rate=80"


@asynccontextmanager
async def cut_up(simulator: RunningSimulator, seed: int, most: int, hangs: int = 0) -> AsyncIterator[dict[str, Any]]:
    """A proxy behind a relay that cuts, for pages of one port. Every cut falls into the one reply."""
    port = free_port()
    text = upstream(simulator) + profile("support", MODEL)
    proxy = await proxy_with(f'{text}[server]\nheartbeat = "500ms"\norigins = ["http://127.0.0.1:{port}"]\n')
    cutter = Cutter(proxy.port, plan(seed, CUTS, most, hangs), unanswered=b"POST /api/llm/streams ")
    url = f"http://127.0.0.1:{await cutter.start()}"
    yield {"port": port, "url": url, "create": proxy.url, "cutter": cutter}
    await cutter.stop()
    await proxy.stop()


async def in_a_browser(page: str, served: dict[str, Any], modules: Path = STATIC, **more: Any) -> dict[str, Any]:
    tools = needs("node", "chromium")
    needs("pyright")  # comes with playwright-core from the same `npm ci`
    settings = {"page": page, "url": served["url"], "create": served["create"], "profile": "support", "limit": 60_000}
    command = [tools["node"], str(HERE / "resume.mjs"), tools["chromium"], str(served["port"]), str(modules)]
    return json.loads(await run(*command, json.dumps({**settings, **more})))


def asked(simulator: RunningSimulator) -> int:
    """How often the upstream was asked for a reply."""
    return len([one for one in simulator.simulator.seen if one.model == MODEL])


@pytest.mark.parametrize("keeps_text", [False, True])
@pytest.mark.parametrize("over", ["fetch", "websocket"])
async def test_nothing_is_lost_and_nothing_comes_twice(
    simulator: RunningSimulator, over: str, keeps_text: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    async with cut_up(simulator, seed=7, most=3000 if over == "fetch" else 9000, hangs=2) as served:
        seen = await in_a_browser("module", served, over=over, keepsText=keeps_text, reloadAt=RELOAD_AT)
        assert served["cutter"].made == CUTS
    assert seen["errors"] == []
    assert (seen["last"], seen["text"]) == ("completed", REPLY)
    first = seen["after"] + 1
    dense_behind(seen["seqs"], first, over)
    assert (first > 0) == keeps_text
    # the answer to the creation was lost too
    assert (served["cutter"].unanswered is None) == (over == "fetch")
    assert asked(simulator) == 1
    with capsys.disabled():
        before = seen["before"].get("reconnects", 0)
        print(f"\n{over}: {CUTS} cuts, {before} + {seen['reconnects']} reconnects, {len(seen['seqs'])} events", end=" ")


def dense_behind(seqs: list[int], first: int, over: str) -> None:
    """Positions are dense; of a WebSocket's messages two carry no event: the first names the role, one the end's reason."""
    silent = set(range(first, seqs[-1] + 1)) - set(seqs)
    assert seqs == sorted(set(seqs))
    assert len(silent) <= (2 if over == "websocket" else 0), silent


async def test_the_browsers_own_eventsource(simulator: RunningSimulator) -> None:
    async with cut_up(simulator, seed=11, most=3000) as served:
        seen = await in_a_browser("eventsource", served, reloadAt=RELOAD_AT)
        assert served["cutter"].made == CUTS
    assert seen["errors"] == []
    assert (seen["last"], seen["text"]) == ("completed", REPLY)
    assert seen["seqs"] == list(range(len(seen["seqs"])))
    # 204 was its last answer: a browser that is not told so asks again for ever
    assert seen["late"] == 0
    assert asked(simulator) == 1


async def test_the_ai_sdks_own_resume(simulator: RunningSimulator, tmp_path: Path) -> None:
    needs("node22")
    bundle = tmp_path / "chat.js"
    environment = {"NODE_PATH": str(NODE22 / "node_modules"), "PATH": "/usr/bin:/bin"}
    process = await asyncio.create_subprocess_exec(
        str(NODE22 / "node_modules" / ".bin" / "esbuild"), str(HERE / "pages" / "chat.js"), "--bundle", "--format=esm",
        "--charset=utf8", f"--outfile={bundle}", "--log-level=error", env=environment,
    )  # fmt: skip
    assert await process.wait() == 0
    async with cut_up(simulator, seed=13, most=20_000) as served:
        cutter = served["cutter"]
        # the request itself must come through once: a chat that is asked for again is asked for twice
        cutter.left.sort(key=lambda cut: cut.after < 1000)
        seen = await in_a_browser("bundle", served, modules=bundle, reloadAt=100)
        assert cutter.made == CUTS
    assert seen["errors"] == []
    assert (seen["last"], seen["text"]) == ("ready", REPLY)
    assert asked(simulator) == 1
