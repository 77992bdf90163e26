"""Connections to upstreams, kept for reuse."""

from __future__ import annotations

import asyncio
import socket
import ssl
from urllib.parse import urlsplit

from streamweir.client.connection import Connection, Origin
from streamweir.errors import APIConnectionError, APITimeoutError, ConfigError

MAX_IDLE = 512
"""Idle connections that are kept for one origin; a burst may open more, which are then closed."""

IDLE_SECONDS = 30.0
"""An idle connection is not reused after this: servers commonly close theirs after 60 s, some after 75."""


def origin_of(url: str, ca_file: str | None = None) -> tuple[Origin, str]:
    """The origin of a URL, and the request target on it. Raises ConfigError."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        raise ConfigError(f"URL {url!r} has a bad port") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"URL {url!r} is no http or https URL")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Origin(parts.scheme, parts.hostname, port or (443 if parts.scheme == "https" else 80), ca_file), target


class Pool:
    """Open connections by origin. One pool serves one event loop."""

    def __init__(self) -> None:
        self._idle: dict[Origin, list[Connection]] = {}
        self._all: set[Connection] = set()
        self._contexts: dict[str | None, ssl.SSLContext] = {}
        self._closing = False

    async def take(self, origin: Origin, timeout: float) -> Connection:
        """An idle connection, the last used first, or a new one.

        Raises APIConnectionError, or APITimeoutError where none is made within `timeout` seconds.
        """
        loop = asyncio.get_running_loop()
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()
            if connection.transport is None or connection.transport.is_closing():
                continue
            if loop.time() - connection.idle_since > IDLE_SECONDS:
                connection.abort()
                continue
            return connection
        where = f"{origin.host}:{origin.port}"
        try:
            async with asyncio.timeout(timeout):
                _, connection = await loop.create_connection(
                    lambda: Connection(self, origin, loop),
                    origin.host,
                    origin.port,
                    ssl=self._context(origin.ca_file) if origin.scheme == "https" else None,
                )
        except TimeoutError:
            raise APITimeoutError(f"no connection to {where} within {timeout:g} s", code="connect_timeout") from None
        except ssl.SSLError as error:
            raise APIConnectionError(
                f"no TLS connection to {where}: {error.reason or error}; for a private CA set ca_file", code="tls"
            ) from None
        except OSError as error:
            raise APIConnectionError(
                f"no connection to {where}: {error.strerror or error}; check base_url or region", code="not_connected"
            ) from None
        if connection.transport is not None:
            sock: socket.socket | None = connection.transport.get_extra_info("socket")
            if sock is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._all.add(connection)
        return connection

    def back(self, connection: Connection) -> None:
        """A connection whose answer ended cleanly."""
        origin = connection.origin
        idle = self._idle.setdefault(origin, [])
        if self._closing or len(idle) >= MAX_IDLE:
            connection.abort()
            return
        connection.idle_since = asyncio.get_running_loop().time()
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
            connection.abort()
        # a transport that was aborted is closed on the loop's next turn
        await asyncio.sleep(0)

    def _context(self, ca_file: str | None) -> ssl.SSLContext:
        if ca_file not in self._contexts:
            try:
                self._contexts[ca_file] = ssl.create_default_context(cafile=ca_file)
            except (OSError, ssl.SSLError) as error:
                raise ConfigError(f"ca_file {ca_file!r} cannot be read: {error}") from None
        return self._contexts[ca_file]
