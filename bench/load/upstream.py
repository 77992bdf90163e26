"""An OpenAI-compatible upstream whose events leave on time: one timer for all streams, one write an event.

The model says what is asked for: `paced` gives `rate` events a second, `flood` 15 large ones, without an end.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque

import uvloop
from bench.load.marks import END, event

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
SLOT = 0.005
FLOOD = 15.0
"""Events a second of a flood, each of 4 KB: all buffers on the way are full in seconds, and others have the CPU."""


class Stream(asyncio.Protocol):
    """One connection, one answer after the other."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.asked = b""
        self.number = 0
        self.flooding = False
        self.full = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.asked += data
        head, found, body = self.asked.partition(b"\r\n\r\n")
        length = next((int(x[15:]) for x in head.lower().split(b"\r\n") if x.startswith(b"content-length:")), 0)
        if not found or len(body) < length:
            return
        self.asked = b""
        self.upstream.requests += 1
        self.number = 0
        self.transport.write(HEAD)
        self.flooding = b'"flood"' in body
        self.upstream.start(self)

    def pause_writing(self) -> None:
        self.full = True

    def resume_writing(self) -> None:
        self.full = False

    def send(self) -> None:
        data = event(self.number, 4000 if self.flooding else 0)
        self.number += 1
        self.transport.write(b"%x\r\n%b\r\n" % (len(data), data))

    def end(self) -> None:
        self.transport.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(END), END))


class Upstream:
    """All streams, in the order in which they are due."""

    def __init__(self, rate: float, events: int) -> None:
        self.every = 1 / rate
        self.events = events
        self.due: deque[tuple[float, Stream]] = deque()
        self.floods: deque[tuple[float, Stream]] = deque()
        self.requests = 0

    def start(self, stream: Stream) -> None:
        queue, every = (self.floods, 1 / FLOOD) if stream.flooding else (self.due, self.every)
        queue.append((asyncio.get_running_loop().time() + every, stream))

    async def run(self) -> None:
        """Send what is due. All wait equally long between two events, so that the queue is in order by itself."""
        loop = asyncio.get_running_loop()
        while True:
            now = loop.time()
            for queue, every in ((self.due, self.every), (self.floods, 1 / FLOOD)):
                while queue and queue[0][0] <= now:
                    at, stream = queue.popleft()
                    if stream.transport.is_closing():
                        continue
                    if stream.number == self.events and not stream.flooding:
                        stream.end()
                        continue
                    if not stream.full:
                        stream.send()
                    queue.append((at + every, stream))
            await asyncio.sleep(SLOT)


async def main(rate: float, events: int) -> None:
    """Serve until stdin ends; the port goes to stdout, and at the end how many requests came."""
    upstream = Upstream(rate, events)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Stream(upstream), "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    sending = loop.create_task(upstream.run())
    await loop.run_in_executor(None, sys.stdin.read)
    sending.cancel()
    print(upstream.requests, flush=True)


if __name__ == "__main__":
    uvloop.run(main(float(sys.argv[1]), int(sys.argv[2])))
