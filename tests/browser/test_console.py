"""The page at /console in a real browser, and the module for pages in Node."""

import asyncio
import json
import os
from pathlib import Path

import aiohttp
import pytest

from streamweir.server.keys import digest_of
from streamweir.simulator.app import RunningSimulator
from streamweir.simulator.replies import SCRIPTS, tokens_of
from tests.conftest import needs, started_proxy
from tests.cutting import Cutter
from tests.proxies import profile, proxy_with, upstream

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
    ("name", "state", "label", "text"),
    [
        ("support", "complete", "complete", SCRIPTS["complaint"]),
        ("cut", "failed", "stream_interrupted", "".join(tokens_of(SCRIPTS["complaint"])[:8])),
        ("length", "truncated", "token limit", SCRIPTS["complaint"]),
    ],
)
@pytest.mark.parametrize("over", ["fetch", "websocket"])
async def test_a_reply_grows_and_ends_honestly(
    simulator: RunningSimulator, name: str, state: str, label: str, text: str, over: str
) -> None:
    tools = needs("node", "chromium")
    needs("pyright")  # comes with playwright-core from the same `npm ci`
    proxy = await started_proxy(
        simulator, {"support": "sim:none?rate=40", "cut": "sim:cut?at=8&rate=6", "length": "sim:length?rate=100"}
    )
    url = f"{proxy.url}/console?profile={name}&prompt=I+have+a+complaint&over={over}&autostart=1"
    folder = os.environ.get("STREAMWEIR_SCREENSHOTS")
    picture = [f"{folder}/console-{name}-{over}.png"] if folder else []
    seen = json.loads(await run(tools["node"], str(HERE / "console.mjs"), tools["chromium"], url, *picture))
    await proxy.stop()
    assert seen["errors"] == []
    assert (seen["state"], seen["label"], seen["text"]) == (state, label, text)
    assert seen["cut"] == (1 if state == "failed" else 0)
    assert seen["lengths"] >= 5 or name == "length"


@pytest.mark.parametrize("over", ["fetch", "websocket"])
async def test_the_console_is_reloaded_in_the_middle_and_cancels(simulator: RunningSimulator, over: str) -> None:
    tools = needs("node", "chromium")
    needs("pyright")
    proxy = await started_proxy(simulator, {"support": "sim:none?rate=12"})
    url = f"{proxy.url}/console/?profile=support&prompt=complaint&over={over}"
    seen = json.loads(await run(tools["node"], str(HERE / "console-reload.mjs"), tools["chromium"], url))
    assert seen["errors"] == []
    assert (seen["reloaded"]["label"], seen["reloaded"]["text"]) == ("complete", SCRIPTS["complaint"])
    assert seen["cancelled"]["label"] == "cancelled"
    assert [seen["reloaded"]["kept"], seen["cancelled"]["kept"]] == [None, None]
    asked = [one for one in simulator.simulator.seen if one.model]
    assert len(asked) == 2
    async with asyncio.timeout(5):
        while asked[1].outcome == "open":
            await asyncio.sleep(0.02)
    assert [one.outcome for one in asked] == ["finished", "client_closed"]
    await proxy.stop()


@pytest.mark.parametrize("over", ["fetch", "websocket"])
async def test_the_console_says_how_often_it_was_connected_anew(simulator: RunningSimulator, over: str) -> None:
    tools = needs("node", "chromium")
    needs("pyright")
    proxy = await started_proxy(simulator, {"support": "sim:none?rate=12"})
    cutter = Cutter(proxy.port, [])
    url = f"http://127.0.0.1:{await cutter.start()}/console/?profile=support&prompt=complaint&over={over}&autostart=1"
    seeing = asyncio.create_task(run(tools["node"], str(HERE / "console.mjs"), tools["chromium"], url))
    while not any(one.model for one in simulator.simulator.seen) and not seeing.done():
        await asyncio.sleep(0.02)
    for _ in range(2):
        await asyncio.sleep(0.7)
        cutter.lose()
    seen = json.loads(await seeing)
    assert (seen["label"], seen["text"], seen["cut"]) == ("complete", SCRIPTS["complaint"], 0)
    assert 1 <= seen["reconnects"] <= 2
    await cutter.stop()
    await proxy.stop()


async def test_a_page_that_was_opened_with_a_ticket(simulator: RunningSimulator) -> None:
    tools = needs("node", "chromium")
    needs("pyright")
    text = upstream(simulator) + profile("support", "sim:none?rate=60")
    proxy = await proxy_with(f'{text}[[server.keys]]\nname = "k"\nsha256 = "{digest_of("k")}"\n')
    for over in ("fetch", "websocket"):
        for ticket, state in ((await a_ticket(proxy.url), "complete"), ("made-up", "failed")):
            url = f"{proxy.url}/console?profile=support&over={over}&autostart=1#ticket={ticket}"
            seen = json.loads(await run(tools["node"], str(HERE / "console.mjs"), tools["chromium"], url))
            assert seen["state"] == state, (over, seen)
            assert seen["text"] == (SCRIPTS["order"] if state == "complete" else "")
    await proxy.stop()


async def test_the_module_when_pages_change_their_mind(simulator: RunningSimulator) -> None:
    node = needs("node22")["node22"]
    text = upstream(simulator) + profile("whole", "sim:none?rate=0") + profile("cut", "sim:cut?rate=0")
    proxy = await proxy_with(text + profile("slowly", "sim:none?rate=60"))
    writers: list[asyncio.StreamWriter] = []
    silent = await asyncio.start_server(lambda reader, writer: writers.append(writer), "127.0.0.1", 0)
    dead = f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}"
    seen = json.loads(await run(node, str(HERE / "module.mjs"), proxy.url, dead))
    whole, cut = ["completed", SCRIPTS["hello"], "whole"], ["stream_interrupted", "Hello, and thank you", None]
    assert seen["left"] == [whole if n % 3 else cut for n in range(20)]
    assert seen["early"] == [["cancelled", "", None], whole]
    assert seen["late"][0][0] == "cancelled"
    assert seen["late"][1] == whole
    assert seen["busy"] == [["busy", "", None], whole]
    assert seen["closed"][0] == "upstream_lost"
    assert [one[0] for one in seen["aborted"]] == ["cancelled", "upstream_lost"]
    assert seen["fetch"] == [whole, cut, whole, cut]
    assert [one[0] for one in seen["silent"]] == ["upstream_lost"] * 3
    silent.close()
    for writer in writers:
        writer.close()
    await asyncio.sleep(0)
    await proxy.stop()


async def a_ticket(url: str) -> str:
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{url}/api/llm/tickets", json={"profile": "support"}, headers={"X-API-Key": "k"}) as answer,
    ):
        return (await answer.json())["ticket"]


@pytest.mark.parametrize("file", ["sse.test.mjs", "resume.test.mjs", "receipt.test.mjs"])
async def test_the_module_alone(file: str) -> None:
    await run(needs("node")["node"], "--test", str(HERE / file))


COMPLETE = ("complete", "complete", 0)
ENDS: dict[str, tuple[tuple[str, str, int], str, str]] = {
    # case: (state, label, marks), text, ids
    "whole": (COMPLETE, "ab", "request r-1 · correlation c-1"),
    "whole, then held open": (COMPLETE, "a", "request r-1 · correlation c-1"),
    "whole, then reset": (COMPLETE, "a", "request r-1 · correlation c-1"),
    "whole, then more": (COMPLETE, "a", "request r-1 · correlation c-1"),
    "clean end without a terminal event": (("failed", "stream_interrupted", 1), "ab", "request r-0 · correlation c-0"),
    "end inside the terminal event": (("failed", "stream_interrupted", 1), "a", "request r-0 · correlation c-0"),
    "empty body": (("failed", "stream_interrupted", 1), "", "request r-0 · correlation c-0"),
    "reset": (("failed", "upstream_lost", 1), "a", "request r-0 · correlation c-0"),
    "blocked": (("failed", "stream_blocked", 1), "a", "request r-1 · correlation c-1"),
    "error": (("failed", "stream_stalled", 1), "a", "request r-1 · correlation c-1"),
    "stop that is no whole reply": (("failed", "protocol_error", 1), "a", "request r-1 · correlation c-1"),
    "stop without a report": (("failed", "protocol_error", 1), "a", "request r-0 · correlation c-0"),
    "not JSON": (("failed", "protocol_error", 1), "a", "request r-0 · correlation c-0"),
    "markup": (COMPLETE, "<img src=x onerror=alert(1)>", "request r-1 · correlation c-1"),
    "refused": (("failed", "rate_limited", 1), "", "request r-2 · correlation c-2"),
    "refused without JSON": (("failed", "HTTP 500", 1), "", "request r-2"),
    "cancelled": (("failed", "cancelled", 1), "a", "request r-0 · correlation c-0"),
    "sent again": (("streaming", "streaming", 0), "a", "request r-0 · correlation c-0"),
}


GONE = ("failed", "stream_not_found", 1)
RESUMED = ENDS | {
    # what is lost is asked for again, and the scripted server has it no more
    "clean end without a terminal event": (GONE, "ab", "request r-0 · correlation c-0"),
    "end inside the terminal event": (GONE, "a", "request r-0 · correlation c-0"),
    "empty body": (GONE, "", "request r-0 · correlation c-0"),
    "reset": (GONE, "a", "request r-0 · correlation c-0"),
}


async def test_every_end_of_an_answer_is_shown_as_what_it_is() -> None:
    tools = needs("node", "chromium")
    needs("pyright")
    seen = json.loads(await run(tools["node"], str(HERE / "ends.mjs"), tools["chromium"]))
    for over, expected in (("once", ENDS), ("fetch", RESUMED)):
        shown = {name: ((s["state"], s["label"], s["marks"]), s["text"], s["ids"]) for name, s in seen[over].items()}
        assert shown == expected
        assert [name for name, s in seen[over].items() if s["cancel"]] == ["sent again"]
        assert all(s["elements"] == 0 for s in seen[over].values())
    for name, s in seen["fetch"].items():
        # cancelled or replaced, the proxy is told; what is on its way is kept for a reload
        assert s["deleted"] == (name in ("cancelled", "sent again")), name
        assert s["kept"] == (name == "sent again"), name
        assert s["attached"] == (2 if RESUMED[name][0] == GONE else not name.startswith("refused"))
