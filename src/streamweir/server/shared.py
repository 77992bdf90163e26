"""What the proxy's routes work with: what outlives a reload, and what one configuration makes."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from aiohttp import web

from streamweir.client.aio.pool import Pool
from streamweir.client.aio.wheel import Wheel
from streamweir.client.opening import Opening
from streamweir.config import rate, seconds
from streamweir.faces.bounds import check_wanted
from streamweir.faces.problems import Problem
from streamweir.faces.wanted import Wanted
from streamweir.records.entry import Asker
from streamweir.records.records import Records
from streamweir.report import Report
from streamweir.server.admission import KeyLimits, Limits
from streamweir.server.census import Census, route_of
from streamweir.server.forwarded import address_of, networks_of, origin_used
from streamweir.server.kept import Kept
from streamweir.server.keys import ANYONE, Keyring, Who
from streamweir.server.lag import Lag
from streamweir.server.metrics import Metrics
from streamweir.server.origins import checked_origins, cors_headers
from streamweir.server.profiles import Profiles
from streamweir.server.scrape import Scrape
from streamweir.server.slots import Slots
from streamweir.server.tickets import Tickets
from streamweir.tables import Config, ServerTable

MAX_REQUEST_ID: Final = 128
"""Characters of a client's X-Request-Id; it goes into logs and upstream headers, so it is short and printable."""

LONG_PROMPT: Final = 4_000
"""Characters of a request from which on it is read in a thread: a guard takes 0.07 s for so many of the worst kind."""

VARIANTS: Final = "89ab"
"""What the digit of a UUID's variant may be."""

UNIX: Final = "unix"
"""What stands for the address of a client on a Unix socket."""

READERS: Final = 2
"""Long requests that are read at a time, of all streams: each takes the loop's time, and a thread that others need."""


class Asked(NamedTuple):
    """Who asked for a stream, and where: what is told of it, and kept of its request where the stream outlives it."""

    route: str
    """With names in place of what a client chose."""
    path: str
    client: str
    key: str | None


Told = Callable[[Report, Asked], None]
"""Who is told the report of every stream, however it ended."""

Refused = Callable[[Problem, web.Request], None]
"""Who is told of every request that came to no stream."""


class Serving:
    """One configuration, ready to be served. Streams keep the one they began with. Raises ConfigError."""

    def __init__(self, config: Config, environ: Mapping[str, str], pool: Pool, before: Serving | None = None) -> None:
        server = config.server
        self.keys = Keyring(
            [
                (
                    key.sha256,
                    Who(key.name, frozenset(key.profiles) if key.profiles is not None else None, admin=key.admin),
                )
                for key in server.keys
            ]
        )
        self.origins = checked_origins(server.origins, keys=bool(self.keys), where="server.origins")
        self.trusted = networks_of(server.trusted_proxies, "server.trusted_proxies")
        self.commit_after = seconds(server.commit_after, "server.commit_after")
        self.heartbeat = seconds(server.heartbeat, "server.heartbeat")
        self.resume_window = seconds(server.resume_window, "server.resume_window")
        self.drain = seconds(server.drain, "server.drain")
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

    def __init__(
        self,
        config: Config,
        environ: Mapping[str, str],
        told: Told | None = None,
        refused: Refused | None = None,
        records: Records | None = None,
    ) -> None:
        """`records` were started; without them nothing is recorded."""
        self.wheel = Wheel()
        self.pool = Pool()
        self.tickets = Tickets()
        self.kept = Kept(config.live.limit)
        self.metrics = Metrics()
        self.census = Census(self.metrics)
        self.lag = Lag()
        self.made_at = time.monotonic()
        self.told = told
        self.refused = refused
        self.records = records
        self.body_limit = config.server.body_limit
        self.uploading = 0
        """Bytes of bodies that are on their way in, at most: what their heads announce."""
        self.readers = asyncio.Semaphore(READERS)
        self._counting = False
        self.serving = Serving(config, environ, self.pool)
        self.metrics.add(Scrape(self))
        self.slots = Slots(self.serving.limits, self.serving.queue_wait)

    def reload(self, config: Config, environ: Mapping[str, str]) -> None:
        """Serve another configuration from now on. Raises ConfigError, and then the old one stays."""
        self.serving = Serving(config, environ, self.pool, self.serving)
        self.slots.change(self.serving.limits, self.serving.queue_wait)
        self.kept.logs.limit = config.live.limit

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
        """Let nothing new begin, and send away those that wait to be a stream: the server stops."""
        self.census.drain()
        self.slots.dismiss()

    def tell(self, report: Report | None, request: web.Request, asked: Asked) -> None:
        """A stream has ended that lived as long as its request."""
        if report is not None:
            request[FOUND].told = True
            self.ended(report, asked)

    def ended(self, report: Report, asked: Asked) -> None:
        """A stream has ended."""
        self.metrics.ended(report, asked.route)
        if self.told is not None:
            self.told(report, asked)

    def refuse(self, problem: Problem, request: web.Request) -> None:
        """A request was refused before its answer began. One that has a report was told with that."""
        self.metrics.refused(problem.status, problem.code)
        if self.refused is not None and not request[FOUND].told:
            self.refused(problem, request)


class Found:
    """What the gate finds out of a request, once: its id, who asks, whether it is a page's that may ask, its body.

    `begun`: its answer has, so that no other can be given. `told`: a report of it was.
    """

    __slots__ = ("begun", "body", "of_a_page", "request_id", "shared", "told", "who")

    def __init__(self, shared: Shared, request_id: str) -> None:
        self.shared = shared
        self.request_id = request_id
        self.who = ANYONE
        self.of_a_page = False
        self.body = b""
        self.begun = False
        self.told = False


SHARED: Final = web.AppKey("shared", Shared)
FOUND: Final = web.RequestKey("found", Found)


def request_id(given: str | None) -> str:
    """The client's own id for a request where it gave a usable one, else a new one."""
    usable = given and len(given) <= MAX_REQUEST_ID and given.isascii() and given.isprintable()
    return given if given and usable else new_id()


def new_id() -> str:
    """A random UUID (RFC 9562, version 4). Those of the standard library cost six times as much, and all have one."""
    digits = os.urandom(16).hex()
    return (
        f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{VARIANTS[int(digits[16], 16) & 3]}{digits[17:20]}-{digits[20:]}"
    )


def body_of(request: web.Request) -> bytes:
    """The body of a request."""
    return request[FOUND].body


def request_id_of(request: web.Request) -> str:
    """The id under which a request is known, here and upstream."""
    return request[FOUND].request_id


def printable(text: str) -> str:
    """What a client sent, as it may stand in an answer or a log."""
    text = text[:200]
    return text if text.isascii() else text.encode("ascii", "backslashreplace").decode()


def answer_headers(request: web.Request) -> dict[str, str]:
    """What every answer carries, streams too: the request's id, and what a page's browser wants to know."""
    found = request[FOUND]
    headers = {"X-Request-Id": found.request_id}
    if found.of_a_page:
        headers |= cors_headers(request.headers["Origin"], found.shared.serving.origins)
    return headers


def who_of(request: web.Request) -> Who:
    """Who asks, as the gate found; anyone, where no keys are configured."""
    return request[FOUND].who


def origin_of(request: web.Request) -> str:
    """The origin under which a client reached us."""
    trusted = request[FOUND].shared.serving.trusted
    return origin_used(request.remote or UNIX, request.scheme, request.host.lower(), request.headers, trusted)


def asked_of(request: web.Request) -> Asked:
    """What is told of a request's stream."""
    found = request[FOUND]
    client = address_of(request.remote or UNIX, request.headers, found.shared.serving.trusted)
    return Asked(route_of(request), printable(request.path), printable(client), found.who.name)


async def opening_of(request: web.Request, wanted: Wanted, *, withdraw: bool, who: Who | None = None) -> Opening:
    """The handshake for what a client wants. Raises StreamweirError, and Problem, also where the server drains."""
    check_wanted(wanted)
    found = request[FOUND]
    shared, who = found.shared, who or found.who
    shared.census.check()
    profiles, called_at, started_at = shared.serving.profiles, time.monotonic(), time.time()
    if not profiles.prompts_are_read or len(str(wanted)) <= LONG_PROMPT:
        made = profiles.opening(wanted, who, found.request_id, called_at, started_at, withdraw=withdraw)
    else:
        async with shared.readers:
            made = await asyncio.to_thread(
                profiles.opening, wanted, who, found.request_id, called_at, started_at, withdraw=withdraw
            )
        shared.census.check()
    if shared.records is not None:
        asked = asked_of(request)
        asker = Asker(who.name, asked.client, asked.route)
        made.entry = shared.records.entry(asker, made.request.metadata, made.request.conversation_id)
    return made
