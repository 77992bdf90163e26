"""Audits of what stands in a store, or in an export: what is given to the verification, and what comes of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from streamweir.audit.export import Export
from streamweir.audit.findings import Finding
from streamweir.audit.note import NoteError, Verifier, open_checkpoint, split_notes
from streamweir.audit.one import verify_one
from streamweir.audit.rows import Note, Row
from streamweir.audit.verify import Verification, verify
from streamweir.errors import ConfigError
from streamweir.records.database import Database
from streamweir.records.reading import Reader

MAX_LISTED: Final = 1000
"""Findings that are listed; all are counted. Whoever rewrote a whole log is known after fewer."""

MAX_LINE: Final = 64 * 1024 * 1024
"""Bytes of an export's line that are read: more is no record."""


class Outcome(msgspec.Struct, kw_only=True):
    """What an audit says. `signed` and `anchored` are the sizes up to which checkpoints, and outside ones, fit."""

    origin: str
    intact: bool = True
    records: int = 0
    purged: int = 0
    left_out: int = 0
    signed: int = 0
    anchored: int = 0
    found: int = 0
    findings: list[Finding] = []

    def take(self, findings: Iterable[Finding]) -> Outcome:
        """With these."""
        for finding in findings:
            self.intact = False
            self.found += 1
            if self.found <= MAX_LISTED:
                self.findings.append(finding)
        return self

    def to_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return {**msgspec.structs.asdict(self), "findings": [one.to_json() for one in self.findings]}


def anchors_in(path: str) -> list[Note]:
    """The checkpoints in a file. Raises ConfigError."""
    try:
        text = Path(path).read_bytes().decode("utf-8", "replace")
    except OSError as error:
        raise ConfigError(f"the anchor {path}: {error.strerror or error}") from None
    notes = split_notes(text)
    if not notes:
        raise ConfigError(f"the anchor {path} holds no checkpoint")
    return [(f"{path}, note {number}", note) for number, note in enumerate(notes, 1)]


def audit_store(database: Database, verifiers: Sequence[Verifier], anchors: Sequence[Note]) -> Outcome:
    """Everything in a store, as it is at one moment. Raises DatabaseError."""
    reader = Reader(database)
    origin = verifiers[-1].name
    with database.snapshot():
        verification = Verification(
            verifiers,
            reader.checkpoints(),
            origin=origin,
            anchors=anchors,
            signed_rows=reader.signed_rows(),
            texts=reader.text,
            tree=reader.tree(),
        )
        return _outcome(verification, origin, reader.rows())


def audit_one(
    database: Database, verifiers: Sequence[Verifier], anchors: Sequence[Note], record_id: str
) -> Outcome | None:
    """One record, by proofs against the newest checkpoint and the newest anchor; None: there is no such record."""
    reader = Reader(database)
    with database.snapshot():
        row = reader.row(record_id)
        if row is None:
            return None
        newest = reader.newest_checkpoint()
        size = database.run("tree")[0][0]
        return _one(row, reader.leaves(size), verifiers, [newest] if newest else [], anchors[-1:])


def audit_export(
    path: str, verifiers: Sequence[Verifier] | None, anchors: Sequence[Note], record_id: str | None = None
) -> Outcome | None:
    """An export, without `verifiers` by the keys that stand in it, whole or one record of it; None: it has no such.

    Raises OSError, ExportError.
    """
    export = Export(partial(_lines, path))
    known = verifiers or export.header.verifiers
    origin = known[-1].name if known else export.header.origin
    if record_id is not None:
        rows = list(export.rows)
        found = [row for row in rows if row.record_id == record_id]
        checkpoints = list(export.checkpoints)[-1:]
        return _one(found[0], [row.leaf for row in rows], known, checkpoints, anchors[-1:]) if found else None
    verification = Verification(
        known, export.checkpoints, origin=origin, anchors=anchors, signed_rows=export.signed_rows
    )
    outcome = _outcome(verification, origin, export.rows)
    return outcome.take(Finding(kind="export", what=problem) for problem in export.problems)


def _outcome(verification: Verification, origin: str, rows: Iterable[Row]) -> Outcome:
    outcome = Outcome(origin=origin).take(verify(verification, rows))
    outcome.records, outcome.purged = verification.records, verification.purged
    outcome.left_out = verification.left_out
    outcome.signed, outcome.anchored = verification.signed, verification.anchored
    return outcome


def _one(
    row: Row,
    leaves: Sequence[bytes],
    verifiers: Sequence[Verifier],
    checkpoints: Sequence[Note],
    anchors: Sequence[Note],
) -> Outcome:
    outcome = Outcome(origin=verifiers[-1].name, records=1)
    if not checkpoints:
        outcome.take([Finding(kind="unsigned", what="there is no checkpoint", first=row.position, last=row.position)])
    for kind, notes in (("checkpoint", checkpoints), ("anchor", anchors)):
        for source, note in notes:
            try:
                checkpoint = open_checkpoint(note, verifiers, outcome.origin)
            except NoteError as error:
                outcome.take([Finding(kind=kind, what=f"{source}: {error}")])
                continue
            if kind == "anchor" and row.position >= checkpoint.size:
                # it was anchored before this record was there
                continue
            before = outcome.found
            outcome.take(verify_one(row, leaves, checkpoint))
            if outcome.found == before:
                setattr(outcome, "signed" if kind == "checkpoint" else "anchored", checkpoint.size)
    return outcome


def _lines(path: str) -> Iterator[bytes]:
    with Path(path).open("rb") as file:
        while line := file.readline(MAX_LINE):
            yield line
