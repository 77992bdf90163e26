"""What sockets cost: a process that passes bytes from one to the other on uvloop, and reads nothing of them.

python -m bench.cost.passing UPSTREAM_FD CLIENT_FD [--cold]
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from pathlib import Path

import uvloop
from bench.cost.callgrind import ROOT, fixed_environment
from bench.cost.calls import reply
from bench.cost.lockstep import Lockstep, chunk, received
from bench.cost.serving import serving
from bench.cost.streams import wire

EVENTS = 2_000
OTHERS = 8 << 20
LINE = 64


class Passing(asyncio.Protocol):
    """From here to there. Between two events it may touch other memory, and leaves that out of its account."""

    def __init__(self, there: asyncio.WriteTransport, over: asyncio.Future[None], cold: bool) -> None:
        self.there = there
        self.over = over
        self.other = bytearray(OTHERS if cold else 0)
        self.touched = 0

    def data_received(self, data: bytes) -> None:
        self.there.write(data)
        if self.other:
            asyncio.get_running_loop().call_soon(self._touch)

    def _touch(self) -> None:
        began = time.thread_time_ns()
        self.other[::LINE] = self.other[::LINE]
        self.touched += time.thread_time_ns() - began

    def connection_lost(self, exc: Exception | None) -> None:
        self.over.set_result(None)


async def serve(upstream: socket.socket, client: socket.socket, cold: bool) -> None:
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()
    there, _ = await loop.create_connection(asyncio.Protocol, sock=client)
    _, passing = await loop.create_connection(lambda: Passing(there, over, cold), sock=upstream)
    began = time.thread_time_ns()
    await over
    print((time.thread_time_ns() - began - passing.touched) / 1000)


def pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = socket.create_connection(listener.getsockname())
        return one, listener.accept()[0]


def passing(cold: bool) -> float:
    """Microseconds of CPU an event."""
    (upstream, its), (client, theirs) = pair(), pair()
    command = [sys.executable, "-m", "bench.cost.passing", str(its.fileno()), str(theirs.fileno())]
    child = subprocess.Popen(
        command + ["--cold"] * cold,
        cwd=ROOT,
        env=fixed_environment(),
        stdout=subprocess.PIPE,
        pass_fds=(its.fileno(), theirs.fileno()),
    )
    its.close()
    theirs.close()
    for data in map(chunk, wire("openai", EVENTS)):
        upstream.sendall(data)
        received(client)
    upstream.close()
    out = float(child.communicate(timeout=60)[0])
    client.close()
    return out / EVENTS


def proxy() -> float:
    """Microseconds of CPU an event of the real proxy, guard off; all of its threads, as the kernel counts them."""
    with Lockstep() as both, serving(both) as process:
        both.stream(reply(200))
        before = _ran(process)
        both.stream(reply(EVENTS))
        return (_ran(process) - before) / EVENTS


def _ran(process: int) -> float:
    tasks = Path(f"/proc/{process}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1000


def passed() -> list[tuple[str, float, float | None]]:
    """Rows: what they are, microseconds of CPU warm and with cold caches."""
    return [
        ("read, write and wake-up: bytes passed on unread (uvloop, kernel)", passing(False), passing(True)),
        ("the proxy as a whole, guard off", proxy(), None),
    ]


if __name__ == "__main__":
    fds = [socket.socket(fileno=int(fd)) for fd in sys.argv[1:3]]
    uvloop.run(serve(fds[0], fds[1], "--cold" in sys.argv))
