"""The streams of this process that outlive their connections, and the room for their logs."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from streamweir.faces.problems import Problem
from streamweir.live.memory import MemoryLogs
from streamweir.resumption.directory import Directory

if TYPE_CHECKING:
    from streamweir.server.resumable import Resumable

LOGS_FULL: Final = 5.0
"""Seconds after which a stream may be asked for again where the logs are full: replies end all the time."""


class Kept:
    """Streams by id, idempotency key and chat, and their logs."""

    def __init__(self, limit: int) -> None:
        """`limit`: bytes of all logs."""
        self.logs = MemoryLogs(limit)
        self.streams: Directory[Resumable] = Directory()
        self.waiting: set[Resumable] = set()
        """Those that run and whose client has left."""
        self._making: dict[tuple[str | None, str], asyncio.Event] = {}

    def awaited(self, wire: str) -> bool:
        """Whether a stream of that wire runs whose client has left, and may come back."""
        return any(one.wire == wire for one in self.waiting)

    def make_room(self) -> None:
        """Forget streams that have ended and that nobody reads, where the logs are full."""
        for stream in self.streams.all():
            if not self.logs.full:
                break
            if stream.over and stream.unattended:
                stream.forget()

    def check(self) -> None:
        """See that another stream can be kept. Raises Problem."""
        if self.logs.full:
            self.make_room()
        if self.logs.full:
            problem = Problem(503, "logs_full", "too many streams wait to be read here: ask again later")
            problem.retry_after = LOGS_FULL
            raise problem

    @asynccontextmanager
    async def making(self, owner: str | None, key: str | None) -> AsyncGenerator[None]:
        """One at a time of the requests that bear the same idempotency key."""
        if key is None:
            yield
            return
        while (before := self._making.get((owner, key))) is not None:
            await before.wait()
        made = self._making[owner, key] = asyncio.Event()
        try:
            yield
        finally:
            del self._making[owner, key]
            made.set()


def new_capability() -> str:
    """128 bits that open one stream to whoever has them."""
    return secrets.token_urlsafe(16)
