"""The page at /console in a real browser, and its SSE parser in Node."""

import asyncio
import json
import os
from pathlib import Path

import pytest

from streamweir.simulator.app import RunningSimulator
from streamweir.simulator.replies import SCRIPTS, tokens_of
from tests.conftest import needs, started_proxy

HERE = Path(__file__).parent
pytestmark = pytest.mark.check


async def run(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode() + out.decode()
    return out.decode()


@pytest.mark.parametrize(
    ("profile", "state", "label", "text"),
    [
        ("support", "complete", "complete", SCRIPTS["complaint"]),
        ("cut", "failed", "stream_interrupted", "".join(tokens_of(SCRIPTS["complaint"])[:8])),
        ("length", "truncated", "token limit", SCRIPTS["complaint"]),
    ],
)
async def test_a_reply_grows_and_ends_honestly(
    simulator: RunningSimulator, profile: str, state: str, label: str, text: str
) -> None:
    tools = needs("node", "chromium")
    needs("pyright")  # comes with playwright-core from the same `npm ci`
    proxy = await started_proxy(
        simulator, {"support": "sim:none?rate=40", "cut": "sim:cut?at=8&rate=20", "length": "sim:length?rate=100"}
    )
    url = f"{proxy.url}/console?profile={profile}&prompt=I+have+a+complaint&autostart=1"
    picture = [os.environ["SCREENSHOT"]] if "SCREENSHOT" in os.environ else []
    seen = json.loads(await run(tools["node"], str(HERE / "console.mjs"), tools["chromium"], url, *picture))
    await proxy.stop()
    assert seen["errors"] == []
    assert (seen["state"], seen["label"], seen["text"]) == (state, label, text)
    assert seen["cut"] == (1 if state == "failed" else 0)
    assert seen["lengths"] >= 5 or profile == "length"


async def test_the_pages_parser() -> None:
    await run(needs("node")["node"], "--test", str(HERE / "sse.test.mjs"))
