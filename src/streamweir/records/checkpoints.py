"""Signs the log as it grows, in the thread that writes, now and then and not with every record.

What is signed is not taken from the store's own tree: it is grown here, leaf by leaf, from the last checkpoint on. So
whoever can write to the store but has no key cannot have another past signed while the process lives.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from streamweir.audit.merkle import Frontier
from streamweir.audit.note import Checkpoint, Signer
from streamweir.errors import ConfigError
from streamweir.records.database import Database
from streamweir.records.ledger import Delivery

log = logging.getLogger("streamweir.records")

PAGE: Final = 10_000
"""Leaves that are read at a time: 320 KB."""


class Every(NamedTuple):
    """A checkpoint is due with so many new records, or with any after so many seconds."""

    records: int = 1000
    seconds: float = 60.0


class Signed(NamedTuple):
    """A checkpoint that was just signed: its size, its note, and when."""

    size: int
    note: str
    at: float


Announce = Callable[[Signed], Sequence[Delivery]]
"""What is to leave because of a checkpoint: rows of the outbox."""


class Checkpoints:
    """See the module's docstring. `look` now and then; `announce` says what leaves with each."""

    def __init__(self, signer: Signer, every: Every, announce: Sequence[Announce] = ()) -> None:
        self._signer = signer
        self._every = every
        self._announce = announce
        self._frontier: Frontier | None = None
        self._last = 0
        self._at = float("-inf")
        self._refused = False

    def start(self, database: Database) -> None:
        """Look at the log that there is. Raises ConfigError where it is that of another key, DatabaseError."""
        newest = database.run("newest_checkpoint")
        last = 0
        if newest:
            last, self._at, note = newest[0]
            origin = note.partition("\n")[0]
            if origin != self._signer.name:
                raise ConfigError(
                    f"the records are those of the log {origin}, and the signing key is that of {self._signer.name}: "
                    "give records.signing_key_file of that log, the same on every machine"
                )
        ((size, peaks),) = database.run("tree")
        self._frontier = Frontier.from_bytes(size, peaks)
        self._last = min(last, size)

    def look(self, database: Database, now: float, *, at_once: bool = False) -> Signed | None:
        """Sign what is there, where a checkpoint is due; `at_once`: where anything is new. Raises DatabaseError."""
        if self._frontier is None:
            self.start(database)
        ((size, _),) = database.run("tree")
        new = size - self._last
        due = at_once or new >= self._every.records or now - self._at >= self._every.seconds
        if new < 0:
            self._refuse(size)
        if new <= 0 or not due:
            return None
        with database.transaction(durable=True):
            ((size, peaks),) = database.run("tree")
            grown = self._grown(database, size)
            if grown is None or grown.to_bytes() != peaks:
                self._refuse(size)
                return None
            signed = Signed(size, self._signer.sign(Checkpoint(self._signer.name, size, grown.root()).text), now)
            # the same note, where another process was first, or where a commit succeeded whose answer was lost
            if database.run("checkpoint_of", {"size": size}) != [(signed.note,)]:
                database.run("keep_checkpoint", {"size": size, "made_at": now, "note": signed.note})
                deliveries = [one for announce in self._announce for one in announce(signed)]
                if deliveries:
                    params = {"record_id": f"checkpoint-{size}", "created_at": now, "due_at": now}
                    database.many("enqueue_once", [{**params, **one._asdict()} for one in deliveries])
        self._frontier, self._last, self._at, self._refused = grown, size, now, False
        return signed

    def _grown(self, database: Database, size: int) -> Frontier | None:
        """The tree over `size` leaves, from what was signed last. None: leaves are missing."""
        frontier = (self._frontier or Frontier()).copy()
        while frontier.size < size:
            params = {"first": frontier.size, "last": size, "most": PAGE}
            page = database.run("log_leaves", params)
            for position, leaf in page:
                if position != frontier.size:
                    return None
                frontier.append(leaf)
            if not page:
                return None
        return frontier if frontier.size == size else None

    def _refuse(self, size: int) -> None:
        if not self._refused:
            log.error(
                "the log is not what this process saw growing, and its %d records are not signed: "
                "run streamweir audit verify",
                size,
            )
        self._refused = True
