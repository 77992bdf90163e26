"""Ten thousand connections that say nothing or half a word, beside streams that must not notice. In a process of its own.

It prints the memory of the proxy's process: docs/proxy.md has those figures.
"""

import asyncio
import contextlib
import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from streamweir.server.descriptors import raise_limit
from streamweir.simulator.app import RunningSimulator
from streamweir.simulator.replies import SCRIPTS
from tests.proxies import post, profile, upstream

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")

SOCKETS = 10_000
STREAMS = 40
MB = 1024 * 1024
CLOSED = b"HTTP/1.1 408 "


def descriptors() -> int:
    import resource

    raise_limit()
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


class Child:
    """`streamweir serve` as it is started by people."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process = process
        self.port = port

    @property
    def memory(self) -> int:
        """Resident bytes."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+) kB", text)[0]) * 1024

    @property
    def sockets(self) -> int:
        return sum(1 for _ in Path(f"/proc/{self.process.pid}/fd").iterdir())


@contextlib.asynccontextmanager
async def serving(text: str, path: Path) -> AsyncIterator[Child]:
    config = path / "streamweir.toml"
    config.write_text(f'{text}\n[records]\nurl = "sqlite:///{path}/records.db"\n')
    command = [sys.executable, "-m", "streamweir", "serve", "-c", str(config), "--port", "0", "--quiet"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        line = await asyncio.to_thread(process.stderr.readline)
        while "listening on" not in line:
            assert line, "it ended"
            line = await asyncio.to_thread(process.stderr.readline)
        said = asyncio.create_task(asyncio.to_thread(process.stderr.read))
        try:
            yield Child(process, int(line.rsplit(":", 1)[1]))
        finally:
            process.terminate()
            rest = await said
            process.wait(20)
    assert "Traceback" not in rest
    assert process.returncode == 0


async def connected(port: int, count: int, say: bytes = b"") -> list[socket.socket]:
    """Sockets without a task, buffer or protocol on this side. In steps, as a backlog has a size."""
    found: list[socket.socket] = []
    loop = asyncio.get_running_loop()
    for _ in range(count):
        one = socket.socket()
        one.setblocking(False)
        await loop.sock_connect(one, ("127.0.0.1", port))
        if say:
            one.send(say)
        found.append(one)
    return found


async def reply(port: int) -> float:
    """A whole reply, byte-equal; the longest silence in it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(post("openai", "p"))
    data, longest, at = b"", 0.0, time.monotonic()
    async with asyncio.timeout(120):
        while b"data: [DONE]" not in data:
            piece = await reader.read(65536)
            assert piece
            data += piece
            longest, at = max(longest, time.monotonic() - at), time.monotonic()
    writer.close()
    chunks = [json.loads(line[6:]) for line in data.splitlines() if line.startswith(b"data: {")]
    text = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks if chunk["choices"])
    assert text == SCRIPTS["hello"]
    return longest


@pytest.mark.slow
async def test_ten_thousand_sockets_that_say_nothing(
    simulator: RunningSimulator, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    count = min(SOCKETS, descriptors() - 1_000)
    if count < 1_000:
        pytest.skip(f"only {count} descriptors are allowed here: raise `ulimit -n`")
    text = upstream(simulator) + profile("p", "sim:none?rate=5")
    lines = [f"{count} sockets" + (f" ({SOCKETS} need more descriptors)" if count < SOCKETS else "")]
    async with serving(text, tmp_path) as child:
        await asyncio.gather(*(reply(child.port) for _ in range(STREAMS)))
        before, most = child.memory, 0
        streams = [asyncio.create_task(reply(child.port)) for _ in range(STREAMS)]
        began = time.monotonic()
        idle = await connected(child.port, count - 1_000)
        # each of these holds half a head
        halves = await connected(child.port, 1_000, b"POST /api/llm/stream HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 4_000)
        while child.sockets < count:
            await asyncio.sleep(0.05)
        most = child.memory
        lines.append(f"opened in {time.monotonic() - began:.1f} s, {(most - before) / count / 1024:.1f} KiB each")
        lines.append(f"{before / MB:.0f} MB before, {most / MB:.0f} MB with them")
        longest = await asyncio.gather(*streams, *(reply(child.port) for _ in range(STREAMS)))
        lines.append(f"{len(longest)} streams beside them whole; their longest silence {max(longest):.2f} s")
        # half a head is cut after ten seconds, nothing said is only idle
        async with asyncio.timeout(60):
            while child.sockets > count - 900:
                await asyncio.sleep(0.1)
        answers = [one.recv(100) for one in halves[:50]]
        assert all(answer.startswith(CLOSED) for answer in answers)
        assert child.sockets >= count - 1_000
        for one in (*idle, *halves):
            one.close()
        while child.sockets > 200:
            await asyncio.sleep(0.1)
        lines.append(f"{child.memory / MB:.0f} MB after them")
        assert (most - before) / count < 32 * 1024
        assert child.memory <= most * 1.1
    with pytestconfig.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print("\n" + "; ".join(lines), end="")


MUCH = "sim:none?rate=0&tokens=120000"
"""24 MB: more than the system takes for a connection whose other end does not read. Half of it has been too little."""


@pytest.mark.slow
async def test_clients_that_never_read_have_a_bound(
    simulator: RunningSimulator, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    count = 40
    text = upstream(simulator, idle_timeout="60s", inactivity_timeout="60s")
    text += profile("p", "sim:none?rate=20") + profile("much", MUCH, guard="off")
    async with serving(f'{text}[server]\nslow_client = "5s"\n', tmp_path) as child:
        await asyncio.gather(*(reply(child.port) for _ in range(STREAMS)))
        # connections to the upstream are kept
        before, most, usual = child.memory, 0, child.sockets
        deaf = await connected(child.port, count, post("sse", "much"))
        streams = [asyncio.create_task(reply(child.port)) for _ in range(STREAMS)]
        dropped = False
        async with asyncio.timeout(120):
            while not dropped:
                await asyncio.sleep(0.1)
                most = max(most, child.memory)
                ended = [seen for seen in simulator.simulator.seen if "tokens" in seen.model]
                dropped = len(ended) == count and all(seen.outcome == "client_closed" for seen in ended)
        await asyncio.gather(*streams)
        async with asyncio.timeout(60):
            while child.sockets > usual + 10:
                await asyncio.sleep(0.1)
        after = child.memory
        for one in deaf:
            one.close()
    each = (most - before) / count
    assert each < 2 * MB
    with pytestconfig.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(
            f"\n{count} clients that never read: {each / 1024:.0f} KiB each at most, {before / MB:.0f} MB before, "
            f"{after / MB:.0f} MB after they were dropped; {STREAMS} streams beside them whole",
            end="",
        )
