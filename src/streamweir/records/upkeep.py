"""What is done to a log now and then, in the thread that writes: it is signed, and what is over is purged."""

from __future__ import annotations

import logging
from typing import Final

from streamweir.audit.note import Signer
from streamweir.records import outbox
from streamweir.records.anchors import announce_to
from streamweir.records.checkpoints import Checkpoints
from streamweir.records.database import Database
from streamweir.records.retention import BATCH, Rule, purge
from streamweir.records.settings import RecordsSettings
from streamweir.records.signing import key_file, signer_of

log = logging.getLogger("streamweir.records")

PURGE_EVERY: Final = 60.0
"""Seconds between looks for what is to be purged; while there is a whole batch of it, it goes on at once."""


class Upkeep:
    """See the module's docstring. `start` reads or makes the signing key; then `look` now and then, `end` at last."""

    def __init__(self, settings: RecordsSettings) -> None:
        self._settings = settings
        self._rule = Rule(settings.retention, settings.retention_said)
        self._signer: Signer | None = None
        self._checkpoints: Checkpoints | None = None
        self._purge_at = float("-inf")
        self._first = 0

    def start(self, database: Database) -> None:
        """Raises ConfigError, DatabaseError."""
        settings = self._settings
        self._signer = signer_of(key_file(settings.url, settings.signing_key_file))
        announces = (*settings.announces, announce_to(settings.anchors))
        self._checkpoints = Checkpoints(self._signer, settings.every, announces)
        self._checkpoints.start(database)

    def look(self, database: Database, now: float) -> None:
        """Sign and purge what is due. Raises DatabaseError."""
        if self._checkpoints is not None:
            self._checkpoints.look(database, now)
        if self._signer is not None and not self._settings.legal_hold and now >= self._purge_at:
            gone, self._first = purge(database, self._signer, self._rule, now, self._first)
            if gone.records < BATCH:
                self._purge_at = now + PURGE_EVERY
                with database.transaction(durable=False):
                    outbox.drop_old(database, self._rule.retention, now)
            if gone.records:
                log.info("%d bodies of records were purged", gone.records)

    def end(self, database: Database, now: float) -> None:
        """Sign what is not signed yet. Raises DatabaseError."""
        if self._checkpoints is not None:
            self._checkpoints.look(database, now, at_once=True)
