"""Connections to upstreams, kept for reuse."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time

from streamweir.client.aio.connection import Connection
from streamweir.client.aio.tunnel import Tunnel
from streamweir.client.origin import Origin
from streamweir.client.reaching import (
    IDLE_SECONDS,
    MAX_IDLE,
    no_connection,
    no_connection_in_time,
    no_tls,
    no_tunnel,
    tunnel,
    via,
)
from streamweir.client.trust import ssl_context


class Pool:
    """Open connections by origin. One pool serves one event loop."""

    def __init__(self) -> None:
        self._idle: dict[Origin, list[Connection]] = {}
        self._all: set[Connection] = set()
        self._contexts: dict[str | None, ssl.SSLContext] = {}
        self._closing = False

    async def take(self, origin: Origin, timeout: float) -> Connection:
        """An idle connection, the last used first, or a new one.

        Raises APIConnectionError, or APITimeoutError where none is made within `timeout` seconds (0: no limit).
        """
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()
            if connection.transport is None or connection.transport.is_closing():
                continue
            if time.monotonic() - connection.idle_since > IDLE_SECONDS:
                connection.abort()
                continue
            return connection
        try:
            async with asyncio.timeout(timeout or None):
                connection = await self._connect(asyncio.get_running_loop(), origin)
        except TimeoutError:
            raise no_connection_in_time(origin, timeout) from None
        except ssl.SSLError as error:
            raise no_tls(origin, error) from None
        except OSError as error:
            raise no_connection(origin, error) from None
        if connection.transport is not None:
            sock: socket.socket | None = connection.transport.get_extra_info("socket")
            if sock is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._all.add(connection)
        return connection

    def back(self, connection: Connection) -> None:
        """A connection whose answer ended cleanly."""
        origin = connection.origin
        idle = self._idle.get(origin)
        if idle is None:
            idle = self._idle[origin] = []
        if self._closing or len(idle) >= MAX_IDLE:
            connection.abort()
            return
        connection.idle_since = time.monotonic()
        idle.append(connection)

    def gone(self, connection: Connection) -> None:
        """A connection that is closed."""
        self._all.discard(connection)
        for idle in self._idle.values():
            if connection in idle:
                idle.remove(connection)

    async def close(self) -> None:
        """Close everything, streams in flight too."""
        self._closing = True
        for connection in list(self._all):
            connection.lose()
        # a transport that was aborted is closed on the loop's next turn
        await asyncio.sleep(0)

    async def _connect(self, loop: asyncio.AbstractEventLoop, origin: Origin) -> Connection:
        host, port = via(origin)
        context = self._context(origin.ca_file) if origin.scheme == "https" else None
        request = tunnel(origin)
        if request is None:
            _, connection = await loop.create_connection(
                lambda: Connection(self, origin, loop), host, port, ssl=context
            )
            return connection
        connection = Connection(self, origin, loop)
        transport, opener = await loop.create_connection(lambda: Tunnel(loop, request), host, port)
        try:
            status = await opener.status
            if status != 200:
                raise no_tunnel(origin, status)
            if context is not None:
                # start_tls gives no transport only where the connection is closed already
                secured = await loop.start_tls(transport, connection, context, server_hostname=origin.host)
                if secured is None:
                    raise ConnectionResetError("the proxy closed the connection")
                transport = secured
            else:
                transport.set_protocol(connection)
        except BaseException:
            transport.abort()
            raise
        connection.connection_made(transport)
        return connection

    def _context(self, ca_file: str | None) -> ssl.SSLContext:
        if ca_file not in self._contexts:
            self._contexts[ca_file] = ssl_context(ca_file)
        return self._contexts[ca_file]
