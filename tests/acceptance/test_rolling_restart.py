"""Two proxies behind nginx, restarted one after the other under 200 live streams: no silent cut, no request that fails.

nginx runs what docs/deploy-nginx.md shows.
"""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from streamweir.simulator.app import RunningSimulator
from tests.conftest import ROOT, needs
from tests.docs.blocks import split
from tests.networks import accepting, free_port
from tests.proxies import body_of, profile, upstream
from tests.servers import Serve

LIVE = 200
DRAIN = 12.0
"""Seconds; the short streams generate for five, so that a busy machine has time to spare."""

ASKING = 3
"""Clients that ask for quick ones all the time, one behind the other."""

QUICK = "sim:none?tokens=5&rate=50"
SHORT = "sim:none?tokens=25&rate=5"
LONG = "sim:none?tokens=100000&rate=5"

NGINX = """
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 2048; }}
http {{
access_log off;
client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
{shown}
}}
"""


@dataclass
class Outcome:
    """What a client saw of one stream: `end` is "whole", a code, a refusal's status, or how it was cut."""

    kind: str
    name: str
    text: str = ""
    asked: int = 0
    end: str = "cut"


Ask = Callable[[aiohttp.ClientSession, Outcome, asyncio.Event], Awaitable[None]]


async def over_post(http: aiohttp.ClientSession, outcome: Outcome, begun: asyncio.Event) -> None:
    async with http.post("/api/llm/stream", json=body_of("sse", outcome.name)) as answer:
        if answer.status != 200:
            outcome.end = f"status {answer.status}"
            return
        async for line in answer.content:
            if line.startswith(b"data: "):
                said = json.loads(line[6:])
                if said["type"] == "token":
                    outcome.text += said["content"]
                    begun.set()
                else:
                    outcome.end = "whole" if said["type"] == "stop" else said["code"]


async def over_websocket(http: aiohttp.ClientSession, outcome: Outcome, begun: asyncio.Event) -> None:
    """A connection that was made just before the drain is closed with 1001 before it asked: it is made again."""
    while outcome.end == "again" or not outcome.asked:
        outcome.asked += 1
        async with http.ws_connect("/ws", protocols=("streamweir.v1",)) as socket:
            outcome.end = await conversation(socket, outcome, begun)


async def conversation(socket: aiohttp.ClientWebSocketResponse, outcome: Outcome, begun: asyncio.Event) -> str:
    acknowledged = False
    with contextlib.suppress(aiohttp.ClientConnectionResetError):
        await socket.send_json({"type": "init", "payload": body_of("websocket", outcome.name)})
    async for message in socket:
        said = message.json()
        if said["type"] == "chunk":
            outcome.text += "".join(choice["delta"].get("content") or "" for choice in said["data"]["choices"])
            begun.set()
        elif said["type"] == "handshake_ack":
            acknowledged = True
        elif said["type"] in ("complete", "error"):
            return "whole" if said["type"] == "complete" else said["code"]
    return "again" if socket.close_code == 1001 and not acknowledged else f"cut: {socket.close_code}"


async def created(http: aiohttp.ClientSession, outcome: Outcome, begun: asyncio.Event) -> None:
    """A stream that can be resumed, whose client loses its connection after every fifteenth event, and comes back."""
    async with http.post("/api/llm/streams", json=body_of("sse", outcome.name)) as answer:
        if answer.status != 201:
            outcome.end = f"status {answer.status}"
            return
        url = (await answer.json())["url"]
    last = -1
    while outcome.end == "cut":
        async with http.get(url, headers={"Last-Event-ID": str(last)}) as answer:
            if answer.status != 200:
                outcome.end = f"status {answer.status}"
                return
            async for line in answer.content:
                if line.startswith(b"id: "):
                    seq = int(line[4:])
                    assert seq == last + 1, "lost or repeated"
                    last = seq
                elif line.startswith(b"data: "):
                    said = json.loads(line[6:])
                    if said["type"] == "token":
                        outcome.text += said["content"]
                        begun.set()
                        if last % 15 == 14:
                            answer.close()
                            break
                    else:
                        outcome.end = "whole" if said["type"] == "stop" else said["code"]


KINDS: dict[str, Ask] = {"post": over_post, "websocket": over_websocket, "created": created}
"""How a stream is asked for and read to its end; another way needs a line here."""


class Clients:
    """Streams through one address, and what became of each."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self.http = http
        self.outcomes: list[Outcome] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def begin(self, name: str, count: int) -> list[Outcome]:
        """Start so many streams, of all kinds in turn, and wait until each has had its first token."""
        kinds = list(KINDS)
        some = [Outcome(kinds[n % len(kinds)], name) for n in range(count)]
        begun = [asyncio.Event() for _ in some]
        self.outcomes += some
        self.tasks += [asyncio.create_task(self._run(one, event)) for one, event in zip(some, begun, strict=True)]
        async with asyncio.timeout(60):
            await asyncio.gather(*(event.wait() for event in begun))
        return some

    async def end(self) -> None:
        async with asyncio.timeout(60):
            await asyncio.gather(*self.tasks)

    async def _run(self, outcome: Outcome, begun: asyncio.Event) -> None:
        try:
            await KINDS[outcome.kind](self.http, outcome, begun)
        except (aiohttp.ClientError, OSError) as error:
            outcome.end = f"cut: {type(error).__name__}"
        finally:
            begun.set()


async def go_on_asking(http: aiohttp.ClientSession, outcomes: list[Outcome], stop: asyncio.Event) -> None:
    """Short requests all the time, one after the other, of each kind in turn."""
    clients = Clients(http)
    while not stop.is_set():
        outcomes += await clients.begin("quick", len(KINDS))
        await clients.end()
        clients.tasks.clear()


@contextlib.asynccontextmanager
async def nginx(folder: Path, ports: list[int]) -> AsyncIterator[str]:
    program = needs("nginx")["nginx"]
    page = (ROOT / "docs" / "deploy-nginx.md").read_text(encoding="utf-8")
    shown = next(block.body for block in split(page)[0] if "upstream streamweir" in block.body)
    port = free_port()
    for before, after in zip((8787, 8786, 8080), (*ports, port), strict=True):
        assert shown.count(str(before)) == 1
        shown = shown.replace(str(before), str(after))
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, shown=shown))
    process = await asyncio.create_subprocess_exec(
        program, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")
    )
    try:
        await accepting(port, 10)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


@pytest.mark.check
async def test_a_rolling_restart_under_load(simulator: RunningSimulator, tmp_path: Path) -> None:
    models = {"quick": QUICK, "short": SHORT, "long": LONG}
    text = upstream(simulator) + "".join(profile(name, model, deadline="600s") for name, model in models.items())
    config = tmp_path / "streamweir.toml"
    config.write_text(f"{text}[server]\ndrain = {DRAIN}\n")
    ports = [free_port(), free_port()]
    serves = [await Serve.start(config, port) for port in ports]
    stop = asyncio.Event()
    quick: list[Outcome] = []
    drained: list[Serve] = []
    try:
        async with (
            nginx(tmp_path, ports) as url,
            aiohttp.ClientSession(url, connector=aiohttp.TCPConnector(limit=0)) as http,
        ):
            clients = Clients(http)
            asking = [asyncio.create_task(go_on_asking(http, quick, stop)) for _ in range(ASKING)]
            for number, port in enumerate(ports):
                long = sum(not task.done() for task in clients.tasks)
                await clients.begin("long", LIVE // 2 - long)
                await clients.begin("short", LIVE // 2)
                live = sum(not task.done() for task in clients.tasks)
                assert live == LIVE
                drained.append(serves[number])
                serves[number].terminate()
                assert await serves[number].ended() == 0
                serves[number] = await Serve.start(config, port)
            stop.set()
            await asyncio.gather(*asking)
            # what is left of the long ones is on the instance that was restarted first, and is told too
            for serve in serves:
                serve.terminate()
            await serves[0].says("draining:")
            serves[0].terminate()
            await clients.end()
            assert [await serve.ended() for serve in serves] == [0, 0]
    finally:
        stop.set()
        for serve in (*serves, *drained):
            await serve.kill()

    ends = Counter((one.name, one.kind, one.end) for one in (*clients.outcomes, *quick))
    for key, count in sorted(ends.items()):
        print(*key, count)
    print("connected again:", sum(one.asked > 1 for one in quick))
    for serve in drained:
        print(*(line for line in serve.lines if "draining:" in line), sep="\n")
    assert {(name, end) for name, _, end in ends} == {
        ("short", "whole"),
        ("long", "server_draining"),
        ("quick", "whole"),
    }
    assert {kind for _, kind, _ in ends} == set(KINDS)
    # nothing of them is missing, and nothing came twice
    texts = {one.text for one in clients.outcomes if one.name == "short"}
    assert len(texts) == 1
    assert len(texts.pop()) > 40
    # the restarts themselves ended some of them, behind the drain's time
    for serve in drained:
        told = [line["report"] for line in serve.told if "report" in line]
        assert Counter(report["status"] for report in told)["cancelled"] >= LIVE // 8
