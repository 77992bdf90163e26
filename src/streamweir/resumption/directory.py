"""Which streams there are, and whom they belong to. Pure: times, names and secrets are arguments.

A stream is found by its id, for whoever created it or shows its capability; by the key of the request that made it, so
that a request that is sent twice makes one; and by the chat that it answers.
"""

from __future__ import annotations

from hmac import compare_digest
from typing import Final, Generic, Protocol, TypeVar

import msgspec

REMEMBERED: Final = 86_400.0
"""Seconds for which an idempotency key is known: a client that asks again a day later asks for something new."""

MAX_REMEMBERED: Final = 100_000
"""Idempotency keys that are known at a time, about 40 MB of them; beyond it the oldest are forgotten."""

MAX_KEY: Final = 255
"""Characters of an idempotency key: a UUID has 36, and it is kept for a day."""


class Owned(Protocol):
    """What the directory has to know of a stream."""

    id: str
    owner: str | None
    capability: str
    chat: str | None


S = TypeVar("S", bound=Owned)


class Reused(Exception):
    """An idempotency key that came with another request."""


class Made(msgspec.Struct, frozen=True):
    """What a request with an idempotency key made."""

    digest: bytes
    id: str
    capability: str
    at: float


class Directory(Generic[S]):
    """See the module's docstring."""

    def __init__(self) -> None:
        self._streams: dict[str, S] = {}
        self._made: dict[tuple[str | None, str], Made] = {}
        self._chats: dict[tuple[str | None, str], S] = {}

    def __len__(self) -> int:
        return len(self._streams)

    def __contains__(self, id: str) -> bool:
        return id in self._streams

    def keep(self, stream: S) -> None:
        """A stream has been made. One that answered the same chat before does so no more."""
        self._streams[stream.id] = stream
        if stream.chat is not None:
            self._chats[stream.owner, stream.chat] = stream

    def create(self, stream: S, key: str, digest: bytes, now: float) -> Made:
        """Keep a stream, unless this request has made one before; what it has made. Raises Reused.

        `key` is the stream's id where the request has none. The message itself may come twice: whoever sent it is told
        the same again, and knows by the id whether it is the one to produce.
        """
        made = self.made(stream.owner, key, digest, now)
        if made is None:
            made = Made(digest, stream.id, stream.capability, now)
            self.keep(stream)
            self.remember(stream.owner, key, made)
        return made

    def forget(self, stream: S) -> None:
        """A stream's window is over."""
        if self._streams.get(stream.id) is stream:
            del self._streams[stream.id]
        if stream.chat is not None and self._chats.get((stream.owner, stream.chat)) is stream:
            del self._chats[stream.owner, stream.chat]

    def all(self) -> list[S]:
        """Every stream that is known."""
        return list(self._streams.values())

    def find(self, id: str, owner: str | None, capability: str | None) -> S | None:
        """A stream by its id, for its owner or for whoever shows its capability; with a wrong one for nobody."""
        stream = self._streams.get(id)
        if stream is None:
            return None
        if capability is not None:
            return stream if compare_digest(stream.capability.encode(), capability.encode()) else None
        return stream if stream.owner == owner else None

    def made(self, owner: str | None, key: str, digest: bytes, now: float) -> Made | None:
        """What this request has made already. Raises Reused where another request came with that key."""
        made = self._made.get((owner, key))
        if made is None or now - made.at > REMEMBERED:
            return None
        if made.digest != digest:
            raise Reused
        return made

    def remember(self, owner: str | None, key: str, made: Made) -> None:
        """A request with a key has made a stream."""
        self._made.pop((owner, key), None)
        self._made[owner, key] = made
        while len(self._made) > MAX_REMEMBERED:
            del self._made[next(iter(self._made))]

    def of_chat(self, owner: str | None, chat: str) -> S | None:
        """The stream that answers a chat."""
        return self._chats.get((owner, chat))
