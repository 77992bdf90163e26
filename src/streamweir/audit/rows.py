"""What a verification is given: the rows of a log, the texts beside it, and notes from anywhere."""

from __future__ import annotations

from typing import NamedTuple

from streamweir.audit.findings import Finding


class Row(NamedTuple):
    """One row of the log. `left_out`: an export without this body, which is there in the log."""

    position: int
    record_id: str
    kind: str
    leaf: bytes
    nonce: bytes | None
    body: bytes | None
    left_out: bool = False


class KeptText(NamedTuple):
    """A text beside the log, and whose it is."""

    subject: str | None
    salt: bytes
    text: str


Note = tuple[str, str]
"""Where a checkpoint is from, for people, and its note."""


def finding_at(row: Row, kind: str, what: str) -> Finding:
    """A finding in one row."""
    return Finding(kind=kind, what=what, first=row.position, last=row.position, record_id=row.record_id)
