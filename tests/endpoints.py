"""Endpoints for webhooks on free ports of this machine, with every way to misbehave."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Received(NamedTuple):
    """One request; header names in lower case. `connection` counts them from 1."""

    path: str
    headers: dict[str, str]
    body: bytes
    connection: int


def answer(status: int, *headers: str) -> bytes:
    """An answer with this status."""
    return "\r\n".join([f"HTTP/1.1 {status} Such", "Content-Length: 0", *headers, "", ""]).encode()


class Endpoint:
    """Answers each request with what `says` gives: bytes, "hang", "close", or bytes behind which it hangs or closes."""

    def __init__(self, says: Callable[[int], bytes | str | tuple[bytes, str]]) -> None:
        self.says = says
        self.received: list[Received] = []
        self.connections = 0
        self.now = 0
        self.most = 0
        self._writers: list[asyncio.StreamWriter] = []
        self.port = 0

    @asynccontextmanager
    async def running(self, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> AsyncIterator["Endpoint"]:
        server = await asyncio.start_server(self._serve, host, self.port, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for writer in self._writers:
                writer.transport.abort()
            await server.wait_closed()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def ids(self) -> list[str]:
        return [one.headers["webhook-id"] for one in self.received]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        self.connections += 1
        connection = self.connections
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])}
                body = await reader.readexactly(int(headers["content-length"]))
                self.received.append(Received(head[0].split()[1], headers, body, connection))
                self.now += 1
                self.most = max(self.most, self.now)
                try:
                    if not await self._answered(writer):
                        return
                finally:
                    self.now -= 1
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.transport.abort()

    async def _answered(self, writer: asyncio.StreamWriter) -> bool:
        says = self.says(len(self.received))
        said, then = (says, "") if isinstance(says, bytes) else (b"", says) if isinstance(says, str) else says
        writer.write(said)
        await writer.drain()
        if then == "hang":
            # until the other side leaves
            while not writer.transport.is_closing():
                await asyncio.sleep(0.01)
        return not then
