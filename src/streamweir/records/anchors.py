"""Where checkpoints go, so that what the log was is known outside: files that they are appended to, and addresses.

They leave through the outbox: at least once, and again where an anchor was away.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from hashlib import sha256
from typing import Final
from urllib.parse import urlsplit

from streamweir.errors import ConfigError
from streamweir.flows.delivery import Outcome
from streamweir.records.checkpoints import Announce, Signed
from streamweir.records.ledger import Delivery
from streamweir.records.outbox import Leased
from streamweir.records.settings import Closed
from streamweir.records.worker import Calls, Route

KIND: Final = "anchor"

ADDRESSES: Final = ("https://", "http://")

TIMEOUT: Final = 10.0
"""Seconds that an address may take: nobody waits for it."""


def check_anchors(anchors: Sequence[str]) -> None:
    """Raises ConfigError for what is neither a file nor an address that can be sent to."""
    for number, anchor in enumerate(anchors):
        if not anchor or ("://" in anchor and not (anchor.startswith(ADDRESSES) and urlsplit(anchor).netloc)):
            raise ConfigError(f"records.anchors[{number}] is {anchor!r}: give a file, or an address with https://")


def announce_to(anchors: Sequence[str]) -> Announce:
    """One delivery of each checkpoint to each anchor."""

    def announce(signed: Signed) -> list[Delivery]:
        # two processes that sign the same size may do so at different times: one note is one message
        message_id = f"checkpoint_{signed.size}_{sha256(signed.note.encode()).hexdigest()[:8]}"
        return [Delivery(message_id, KIND, anchor, None, signed.note.encode()) for anchor in anchors]

    return announce


class Anchors:
    """All anchors of a configuration: tries to give them what `announce_to` put into the outbox."""

    def __init__(self, anchors: Sequence[str]) -> None:
        self._anchors = tuple(anchors)

    def deliver(self, closed: Closed) -> Sequence[Delivery]:
        """Nothing leaves because of one stream."""
        return ()

    def routes(self, writer: Calls) -> list[Route]:
        """For the worker."""
        return [Route(KIND, anchor, partial(_tried, anchor)) for anchor in self._anchors]

    async def close(self) -> None:
        """Nothing is kept open."""


async def _tried(anchor: str, leased: Leased) -> Outcome:
    # only here: the library records without it
    import aiohttp

    try:
        await send(anchor, leased.body)
    except (OSError, TimeoutError, aiohttp.ClientError) as error:
        return Outcome("failed", str(error) or type(error).__name__)
    return Outcome("delivered")


async def send(anchor: str, note: bytes) -> None:
    """Give a note to an anchor. Raises OSError, TimeoutError or aiohttp.ClientError where it did not take it."""
    if anchor.startswith(ADDRESSES):
        await _post(anchor, note)
    else:
        append(anchor, note)


def append(path: str, note: bytes) -> None:
    """Append a note to a file, an empty line before it: one that a full disk cut does not spoil the next."""
    file = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o644)
    try:
        data = b"\n" + note
        if os.write(file, data) != len(data):
            raise OSError(f"{path} took a part of a checkpoint only")
        os.fsync(file)
    finally:
        os.close(file)


async def _post(url: str, note: bytes) -> None:
    # only for this: the library records without it
    import aiohttp

    from streamweir.client.trust import ssl_context

    timeout = aiohttp.ClientTimeout(total=TIMEOUT)
    connector = aiohttp.TCPConnector(ssl=ssl_context(None))
    headers = {"content-type": "text/plain; charset=utf-8", "user-agent": "streamweir"}
    async with (
        aiohttp.ClientSession(timeout=timeout, connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session,
        session.post(url, data=note, headers=headers, allow_redirects=False) as response,
    ):
        if not 200 <= response.status < 300:
            raise OSError(f"{url} answered with HTTP {response.status}")
