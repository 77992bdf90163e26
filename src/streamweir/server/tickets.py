"""One-use tickets for browsers, which cannot keep a key. Times and randomness are arguments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from streamweir.server.keys import Who, digest_of

TTL: Final = 60.0
MAX_TTL: Final = 3600.0
"""Seconds: a page that stays open longer asks its own server for another ticket."""

MAX_OPEN: Final = 100_000
"""Tickets that wait to be used, about 30 MB of them. They cost memory and nothing else, and end by themselves."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a ticket opens: one profile, for whoever the key belongs to, and from one origin where it names one."""

    who: Who
    origin: str | None
    expires_at: float


class Tickets:
    """The tickets that were given out. Only hashes are kept; each opens once, and again for what it opened."""

    def __init__(self) -> None:
        self._open: dict[str, Ticket] = {}
        self._used: dict[tuple[str, str], Ticket] = {}

    def __len__(self) -> int:
        return len(self._open)

    def give(self, text: str, ticket: Ticket, now: float) -> bool:
        """Keep a ticket under its secret `text`. False where too many wait already."""
        if len(self._open) >= MAX_OPEN:
            self._open = {key: one for key, one in self._open.items() if one.expires_at > now}
            if len(self._open) >= MAX_OPEN:
                return False
        self._open[digest_of(text)] = ticket
        return True

    def use(self, text: str, origin: str | None, now: float, key: str | None = None) -> Who | None:
        """Whom the ticket lets in; None for one that is unknown, used, too old, or another origin's. It is used up.

        `key`: the idempotency key of what it is used for, which may be asked for again with both: a page that got no
        answer cannot know that its ticket was used.
        """
        digest = digest_of(text)
        ticket = self._open.pop(digest, None)
        if key is not None and ticket is None:
            ticket = self._used.get((digest, key))
        if ticket is None or ticket.expires_at <= now or (ticket.origin is not None and ticket.origin != origin):
            return None
        if key is not None:
            self._remember((digest, key), ticket, now)
        return ticket.who

    def _remember(self, used: tuple[str, str], ticket: Ticket, now: float) -> None:
        if len(self._used) >= MAX_OPEN:
            self._used = {one: kept for one, kept in self._used.items() if kept.expires_at > now}
        if len(self._used) < MAX_OPEN:
            self._used[used] = ticket
