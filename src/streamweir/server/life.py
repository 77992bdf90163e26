"""The proxy as a server: it listens, reloads, and stops."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import ssl
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from aiohttp import ClientConnectionResetError, web
from aiohttp.http_exceptions import HttpProcessingError

from streamweir.errors import ConfigError, StreamweirError
from streamweir.records.records import Records
from streamweir.server.app import make_app
from streamweir.server.descriptors import connections_for
from streamweir.server.drain import Signals, drain, left
from streamweir.server.listener import HEAD_WITHIN, Listener
from streamweir.server.shared import Refused, Shared, Told
from streamweir.tables import Config

BACKLOG: Final = 2048
"""Connections that may wait to be accepted; a page's reload by everyone at once is a burst of them."""

KEEPALIVE: Final = 75.0
"""Seconds an idle client connection is kept: longer than nginx's 60, so that nginx never reuses one we just closed."""

LINE: Final = 8190
HEADERS: Final = 128
"""Bytes of a request's line and of each header, and how many headers: aiohttp's own, near nginx's 8 KiB a line. Beyond
them is a 400."""

LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")


class Server:
    """A proxy that accepts on `host` and `port` (0: any free port; `port` then says which). Raises ConfigError."""

    def __init__(
        self,
        config: Config,
        environ: Mapping[str, str],
        host: str,
        port: int,
        *,
        told: Told | None = None,
        refused: Refused | None = None,
        records: Records | None = None,
    ) -> None:
        self.shared = Shared(config, environ, told, refused, records)
        self._recording = (config.records, config.webhooks, config.vectors)
        self._files = (config.server.tls_cert, config.server.tls_key)
        self._tls = tls_context(*self._files)
        self._runner = web.AppRunner(
            make_app(self.shared),
            handler_cancellation=True,
            keepalive_timeout=KEEPALIVE,
            max_line_size=LINE,
            max_field_size=LINE,
            max_headers=HEADERS,
            logger=http_log(),
            access_log=None,
            shutdown_timeout=0.5,
        )
        self._listener: Listener | None = None
        self._accepting: asyncio.Server | None = None
        self.host = host
        self.port = port
        self._reloading: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        scheme = "http" if self._tls is None else "https"
        return f"{scheme}://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    async def start(self) -> None:
        """Accept connections. Raises OSError with a sentence where the port is taken."""
        if self.shared.serving.profiles.counted:
            await self.shared.count_tokens()
        await self._runner.setup()
        shared = self.shared
        most = connections_for(shared.serving.limits.max_streams)
        handler = cast("Callable[[], asyncio.Protocol]", self._runner.server)
        listener = Listener(handler, shared.wheel, lambda: shared.serving.slow_client, most)
        handshake = HEAD_WITHIN if self._tls is not None else None
        try:
            self._accepting = await asyncio.get_running_loop().create_server(
                listener, self.host, self.port, backlog=BACKLOG, ssl=self._tls, ssl_handshake_timeout=handshake
            )
        except OSError as error:
            await self._runner.cleanup()
            raise port_error(error, self.host, self.port) from None
        if not self.port:
            self.port = self._accepting.sockets[0].getsockname()[1]
        self._listener = listener
        self.shared.lag.start()

    @property
    def sockets(self) -> tuple[Any, ...]:
        """Where it listens."""
        return tuple(self._accepting.sockets) if self._accepting is not None else ()

    @property
    def connections(self) -> int:
        """Clients' connections that are open."""
        return len(self._listener.connections) if self._listener is not None else 0

    async def stop(self) -> None:
        """End every stream, each with its own word for it, and close everything."""
        self.shared.lag.stop()
        self.shared.drain()
        self.shared.census.end("draining")
        transports = self._transports()
        await left(self.shared.census, transports)
        # whoever has not read by now is waited for no longer; the others get what is written only now too
        reading = [one for one in transports if not one.get_write_buffer_size()]
        if self._accepting is not None:
            self._accepting.close()
        await self._runner.cleanup()
        await left(self.shared.census, reading)
        if self._listener is not None:
            for inbound in list(self._listener.connections):
                inbound.leave()

    def _transports(self) -> list[asyncio.Transport]:
        server = self._runner.server
        return [one.transport for one in server.connections if one.transport is not None] if server is not None else []

    def reload(self, config: Config, environ: Mapping[str, str], *, insecure: bool = False) -> None:
        """Serve another configuration from now on; streams keep theirs. Raises ConfigError, and then all stays.

        A certificate is read anew. What belongs to the listening socket needs a restart (host, port, TLS on or off,
        and body_limit), and so does what is recorded, and where.
        """
        check_host(self.host, config, insecure)
        files = (config.server.tls_cert, config.server.tls_key)
        if (files[0] is None) != (self._tls is None):
            raise ConfigError("TLS cannot be turned on or off by a reload: restart")
        tls_context(*files)
        if config.server.body_limit != self.shared.body_limit:
            raise ConfigError("server.body_limit cannot be changed by a reload: restart")
        if (config.records, config.webhooks, config.vectors) != self._recording:
            raise ConfigError("records, webhooks and vectors cannot be changed by a reload: restart")
        self.shared.reload(config, environ)
        self._reloading = asyncio.get_running_loop().create_task(self.shared.reloaded())
        if self._tls is not None:
            load_certificate(self._tls, *files)


def http_log() -> logging.Logger:
    """Where aiohttp says what it could not serve. That a client speaks no HTTP, or has left, is no error of ours."""
    log = logging.getLogger("streamweir.http")
    log.addFilter(_no_fault_of_a_client)
    return log


def _no_fault_of_a_client(record: logging.LogRecord) -> bool:
    theirs = (HttpProcessingError, ClientConnectionResetError)
    return record.exc_info is None or not isinstance(record.exc_info[1], theirs)


def tls_context(cert: str | None, key: str | None) -> ssl.SSLContext | None:
    """What connections are secured with; None: nothing. Raises ConfigError."""
    if cert is None or key is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    load_certificate(context, cert, key)
    return context


def load_certificate(context: ssl.SSLContext, cert: str | None, key: str | None) -> None:
    """Read a certificate and its key; connections made from now on get it. Raises ConfigError."""
    for name, path in (("tls_cert", cert), ("tls_key", key)):
        if path is None or not os.access(path, os.R_OK):
            raise ConfigError(f"server.{name}: {path} cannot be read")
    try:
        context.load_cert_chain(cert or "", key, password=_no_password)
    except ConfigError:
        raise
    except (ssl.SSLError, OSError) as error:
        raise ConfigError(f"server.tls_cert and tls_key: {error}: give PEM files that belong together") from None


def _no_password() -> str:
    raise ConfigError("server.tls_key is encrypted, and nobody is there to type its password: give it decrypted")


def port_error(error: OSError, host: str, port: int) -> OSError:
    """An error of listening, as a sentence with its mend."""
    if error.errno == errno.EADDRINUSE:
        return OSError(errno.EADDRINUSE, f"port {port} on {host} is in use: stop what listens there, or give --port")
    return OSError(error.errno, f"cannot listen on {host}:{port}: {error.strerror or error}; give --host or --port")


def check_host(host: str, config: Config, insecure: bool) -> None:
    """Refuse to listen beyond this machine where anyone could spend the tenant's tokens. Raises ConfigError."""
    if host not in LOOPBACK and not config.server.keys and not insecure:
        raise ConfigError(
            f"listening on {host} without API keys would let anyone who reaches it use the upstream's credentials: "
            "add server.keys (`streamweir keys new NAME` makes one), listen on 127.0.0.1, or give --insecure"
        )


async def serve(
    server: Server, again: Callable[[], tuple[Config, Mapping[str, str]]], say: Callable[[str], None], *, insecure: bool
) -> None:
    """Serve until SIGINT or SIGTERM, and then until live streams have ended. SIGHUP reads the configuration `again`."""
    await server.start()
    say(f"listening on {server.url}")
    loop = asyncio.get_running_loop()
    signals = Signals()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, signals.come)

    def reload() -> None:
        try:
            config, environ = again()
            server.reload(config, environ, insecure=insecure)
        except StreamweirError as error:
            say(f"the configuration was not reloaded, and the old one stays: {error.message}")
        else:
            say("the configuration was reloaded")

    if hasattr(signal, "SIGHUP"):
        loop.add_signal_handler(signal.SIGHUP, reload)
    await signals.first.wait()
    server.shared.drain()
    await drain(server.shared.census, server.shared.serving.drain, signals.second, say)
    await server.stop()
