"""What the proxy's routes work with: what outlives a reload, and what one configuration makes."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from aiohttp import web

from streamweir.client.aio.carrier import Carrier
from streamweir.client.aio.pool import Pool
from streamweir.client.aio.wheel import Wheel
from streamweir.client.opening import Opening
from streamweir.config import rate, seconds
from streamweir.faces.bounds import check_wanted
from streamweir.faces.wanted import Wanted
from streamweir.report import Report
from streamweir.server.admission import KeyLimits, Limits
from streamweir.server.forwarded import Seen, networks_of, seen
from streamweir.server.keys import ANYONE, Keyring, Who
from streamweir.server.origins import checked_origins, cors_headers
from streamweir.server.profiles import Profiles
from streamweir.server.slots import Slots
from streamweir.server.tickets import Tickets
from streamweir.tables import Config, ServerTable

MAX_REQUEST_ID: Final = 128
"""Characters of a client's X-Request-Id; it goes into logs and upstream headers, so it is short and printable."""

LONG_PROMPT: Final = 4_000
"""Characters of a request from which on it is read in a thread: a guard takes 0.07 s for so many of the worst kind."""

READERS: Final = 2
"""Long requests that are read at a time, of all streams: each takes the loop's time, and a thread that others need."""

Told = Callable[[Report, web.Request], None]
"""Who is told the report of every stream, however it ended."""


class Serving:
    """One configuration, ready to be served. Streams keep the one they began with. Raises ConfigError."""

    def __init__(self, config: Config, environ: Mapping[str, str], pool: Pool, before: Serving | None = None) -> None:
        server = config.server
        self.keys = Keyring(
            [
                (key.sha256, Who(key.name, frozenset(key.profiles) if key.profiles is not None else None))
                for key in server.keys
            ]
        )
        self.origins = checked_origins(server.origins, keys=bool(self.keys), where="server.origins")
        self.trusted = networks_of(server.trusted_proxies, "server.trusted_proxies")
        self.commit_after = seconds(server.commit_after, "server.commit_after")
        self.heartbeat = seconds(server.heartbeat, "server.heartbeat")
        self.slow_client = seconds(server.slow_client, "server.slow_client")
        self.limits = limits_of(server)
        self.queue_wait = seconds(server.queue_wait, "server.queue_wait")
        self.profiles: Profiles = Profiles(config, environ, pool, before.profiles if before is not None else None)


def limits_of(server: ServerTable) -> Limits:
    """Who may have how many streams. Raises ConfigError."""
    keys = {
        key.name: KeyLimits(
            rate(key.rate, f"server.keys {key.name!r}: rate") if key.rate is not None else None, key.concurrent
        )
        for key in server.keys
    }
    return Limits(server.max_streams, server.queue, keys)


class Shared:
    """What all requests share. `serving` is replaced whole by a reload."""

    def __init__(self, config: Config, environ: Mapping[str, str], told: Told | None = None) -> None:
        self.wheel = Wheel()
        self.pool = Pool()
        self.tickets = Tickets()
        self.live: set[Carrier[bytes]] = set()
        self.told = told
        self.body_limit = config.server.body_limit
        self.uploading = 0
        """Bytes of bodies that are on their way in, at most: what their heads announce."""
        self.readers = asyncio.Semaphore(READERS)
        self._counting = False
        self.serving = Serving(config, environ, self.pool)
        self.slots = Slots(self.serving.limits, self.serving.queue_wait)

    def reload(self, config: Config, environ: Mapping[str, str]) -> None:
        """Serve another configuration from now on. Raises ConfigError, and then the old one stays."""
        self.serving = Serving(config, environ, self.pool, self.serving)
        self.slots.change(self.serving.limits, self.serving.queue_wait)

    async def count_tokens(self) -> None:
        """Load what counts prompts' tokens: up to a second in which the loop goes on, and a hundred megabytes."""
        if not self._counting:
            await asyncio.to_thread(self.serving.profiles.load_counters)
            self._counting = True

    async def reloaded(self) -> None:
        """What a new configuration needs beside itself."""
        self._counting = False
        if self.serving.profiles.counted:
            await self.count_tokens()

    def drain(self) -> None:
        """End every stream, in-band, and send away those that wait to be one: the server stops."""
        self.slots.dismiss()
        for carrier in list(self.live):
            carrier.end("draining")

    def tell(self, report: Report | None, request: web.Request) -> None:
        """A stream has ended."""
        if self.told is not None and report is not None:
            self.told(report, request)


SHARED: Final = web.AppKey("shared", Shared)
REQUEST_ID: Final = web.RequestKey("request_id", str)
ORIGIN_ALLOWED: Final = web.RequestKey("origin_allowed", bool)
BEGUN: Final = web.RequestKey("begun", bool)
"""Whether the answer has begun, so that no other can be given."""

WHO: Final = web.RequestKey("who", Who)
"""Absent where no keys are configured."""


def request_id_of(request: web.Request) -> str:
    """The client's own id for the request where it gave a usable one, else a new one; the same at every call."""
    known = request.get(REQUEST_ID)
    if known is None:
        given = request.headers.get("X-Request-Id", "")
        usable = given and len(given) <= MAX_REQUEST_ID and given.isascii() and given.isprintable()
        known = request[REQUEST_ID] = given if usable else str(uuid.uuid4())
    return known


def printable(text: str) -> str:
    """What a client sent, as it may stand in an answer or a log."""
    return text[:200].encode("ascii", "backslashreplace").decode()


def answer_headers(request: web.Request) -> dict[str, str]:
    """What every answer carries, streams too: the request's id, and what a page's browser wants to know."""
    headers = {"X-Request-Id": request_id_of(request)}
    if request.get(ORIGIN_ALLOWED):
        headers |= cors_headers(request.headers["Origin"], request.app[SHARED].serving.origins)
    return headers


def who_of(request: web.Request) -> Who:
    """Who asks, as the gate found."""
    return request.get(WHO) or ANYONE


def seen_of(request: web.Request) -> Seen:
    """Who is at the other end."""
    trusted = request.app[SHARED].serving.trusted
    peer = request.remote or "unix"
    return seen(peer, request.scheme, request.host.lower(), request.headers, trusted)


async def opening_of(request: web.Request, wanted: Wanted, *, withdraw: bool, who: Who | None = None) -> Opening:
    """The handshake for what a client wants. Raises Problem or StreamweirError."""
    check_wanted(wanted)
    shared = request.app[SHARED]
    opening = partial(
        shared.serving.profiles.opening,
        wanted,
        who or who_of(request),
        request_id_of(request),
        time.monotonic(),
        time.time(),
        withdraw=withdraw,
    )
    if not shared.serving.profiles.prompts_are_read or len(str(wanted)) <= LONG_PROMPT:
        return opening()
    async with shared.readers:
        return await asyncio.to_thread(opening)
