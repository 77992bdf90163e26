"""What a proxy in Python costs that does nothing: uvloop's transports, and bytes that are passed on as they come.

python -m bench.peers.floor PORT UPSTREAM [--read]

With --read what comes is read too, as HTTP, server-sent events and JSON, and nothing is made of it. Each client has a
connection of its own to the upstream.
"""

from __future__ import annotations

import argparse
import asyncio
from typing import cast

import httptools  # type: ignore[import-untyped,unused-ignore]
import uvloop

from streamweir.dialects.chunks import decode_chunk
from streamweir.wire.http1 import Answer
from streamweir.wire.sse import SseDecoder

BACKLOG = 2048
DONE = "[DONE]"


class Reading:
    """Requests and answers of one connection, read for nothing."""

    def __init__(self) -> None:
        self.requests = httptools.HttpRequestParser(self)
        self.answer, self.events = Answer(), SseDecoder()

    def on_message_begin(self) -> None:
        self.answer, self.events = Answer(), SseDecoder()

    def answered(self, data: bytes) -> None:
        for frame in self.events.feed(self.answer.feed(data)):
            if (text := getattr(frame, "data", DONE)) != DONE:
                decode_chunk(text)


class Upstream(asyncio.Protocol):
    """From the upstream to the client."""

    def __init__(self, client: asyncio.Transport, reading: Reading | None) -> None:
        self._client, self._reading = client, reading

    def data_received(self, data: bytes) -> None:
        if self._reading is not None:
            self._reading.answered(data)
        self._client.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._client.close()


class Client(asyncio.Protocol):
    """From the client to the upstream; what comes before there is a connection waits for it."""

    def __init__(self, upstream: int, reading: Reading | None) -> None:
        self._port, self._reading = upstream, reading
        self._waiting: list[bytes] = []
        self._upstream: asyncio.Transport | None = None
        self._gone = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._connecting = asyncio.ensure_future(self._connect(cast("asyncio.Transport", transport)))

    async def _connect(self, client: asyncio.Transport) -> None:
        loop = asyncio.get_running_loop()
        self._upstream, _ = await loop.create_connection(
            lambda: Upstream(client, self._reading), "127.0.0.1", self._port
        )
        self._upstream.writelines(self._waiting)
        if self._gone:
            self._upstream.close()

    def data_received(self, data: bytes) -> None:
        if self._reading is not None:
            self._reading.requests.feed_data(data)
        if self._upstream is None:
            self._waiting.append(data)
        else:
            self._upstream.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone = True
        if self._upstream is not None:
            self._upstream.close()


async def serve(port: int, upstream: int, read: bool) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Client(upstream, Reading() if read else None), "127.0.0.1", port, backlog=BACKLOG
    )
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.peers.floor", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("port", type=int)
    parser.add_argument("upstream", type=int)
    parser.add_argument("--read", action="store_true", help="read what is passed on, and make nothing of it")
    given = parser.parse_args()
    uvloop.run(serve(given.port, given.upstream, given.read))


if __name__ == "__main__":
    main()
