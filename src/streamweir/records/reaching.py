"""How an endpoint is reached: its name is resolved once, each address checked, and what was checked is connected to.

So an answer of the DNS that changes between check and connection has nothing to change.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Sequence
from ssl import SSLContext
from typing import Any, Final

from aiohttp import TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult

from streamweir.flows.addresses import LOOPBACK, barred

IDLE: Final = 4.0
"""Seconds that a connection is kept for the next delivery: less than servers keep theirs (Node: 5 s)."""

Lookup = Callable[[str, int], Sequence[str]]
"""Host and port to addresses. It may block, and raises OSError."""


class Barred(OSError):
    """An endpoint leads to where nothing is sent; nothing was."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def look_up(host: str, port: int) -> list[str]:
    """What the system's resolver says."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Policy:
    """Where an endpoint may lead: the public internet, and this machine with `allow_loopback`; plain: only there."""

    def __init__(self, *, allow_loopback: bool, plain: bool) -> None:
        self._allow_loopback = allow_loopback
        self._plain = plain

    def check(self, host: str, address: str) -> None:
        """Raises Barred."""
        what = barred(address)
        if what is None and self._plain:
            raise Barred(f"{host} is at {address}, and http:// is for this machine only: use https://")
        if what is not None and not (self._allow_loopback and what == LOOPBACK):
            raise Barred(f"{host} is at {address}, which is {what}: webhooks go to public addresses only")


class Resolver(AbstractResolver):
    """All addresses of a name, or none where one of them is barred."""

    def __init__(self, lookup: Lookup, policy: Policy) -> None:
        self._lookup = lookup
        self._policy = policy
        self._asking: dict[tuple[str, int], asyncio.Future[Sequence[str]]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        addresses = await asyncio.shield(self._asked(host, port))
        if not addresses:
            raise OSError(f"{host} has no address")
        for address in addresses:
            self._policy.check(host, address)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        """Nothing is held."""

    def _asked(self, host: str, port: int) -> asyncio.Future[Sequence[str]]:
        """One question at a time: a resolver that hangs for one endpoint must not take the threads of others."""
        found = self._asking.get((host, port))
        if found is None:
            loop = asyncio.get_running_loop()
            found = self._asking[host, port] = loop.create_future()
            found.add_done_callback(lambda done: self._answered(host, port, done))
            # a daemon: a resolver that hangs would keep the process from its end
            threading.Thread(target=self._ask, args=(host, port, loop, found), daemon=True).start()
        return found

    def _answered(self, host: str, port: int, done: asyncio.Future[Sequence[str]]) -> None:
        del self._asking[host, port]
        if not done.cancelled():
            # nobody may wait for it any more
            done.exception()

    def _ask(
        self, host: str, port: int, loop: asyncio.AbstractEventLoop, future: asyncio.Future[Sequence[str]]
    ) -> None:
        addresses: Sequence[str] = ()
        failed: Exception | None = None
        try:
            addresses = self._lookup(host, port)
        except Exception as error:
            failed = error

        def tell() -> None:
            if not future.done():
                future.set_exception(failed) if failed is not None else future.set_result(addresses)

        try:
            loop.call_soon_threadsafe(tell)
        except RuntimeError:
            # the loop was closed meanwhile
            return


def connector(lookup: Lookup, policy: Policy, tls: SSLContext) -> TCPConnector:
    """Connections to one endpoint. Each address is checked once more where its socket is made, literal ones too."""

    def made(address: tuple[Any, ...]) -> socket.socket:
        family, kind, proto, _, where = address
        policy.check("it", str(where[0]))
        return socket.socket(family=family, type=kind, proto=proto)

    return TCPConnector(
        resolver=Resolver(lookup, policy),
        use_dns_cache=False,
        limit=0,
        keepalive_timeout=IDLE,
        ssl=tls,
        socket_factory=made,
    )
