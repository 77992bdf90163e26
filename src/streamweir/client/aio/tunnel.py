"""Opening a way through an HTTP proxy, with asyncio."""

from __future__ import annotations

import asyncio
from typing import cast

from streamweir.wire.http1 import Answer, HttpError


class Tunnel(asyncio.Protocol):
    """Speaks to the proxy until it has answered CONNECT; `status` is its answer. Then another protocol takes over."""

    def __init__(self, loop: asyncio.AbstractEventLoop, request: bytes) -> None:
        self.status: asyncio.Future[int] = loop.create_future()
        self._request = request
        self._answer = Answer()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        try:
            self._answer.feed(data)
        except HttpError as error:
            self._fail(OSError(f"the proxy does not speak HTTP: {error}"))
            return
        if self._answer.status and not self.status.done():
            self.status.set_result(self._answer.status)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(ConnectionResetError(str(exc) if exc else "the proxy closed the connection"))

    def _fail(self, error: OSError) -> None:
        if not self.status.done():
            self.status.set_exception(error)
