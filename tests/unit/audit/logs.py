"""A log in memory, as one is written: with checkpoints, anchors, a purge and something forgotten."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from streamweir.audit import merkle
from streamweir.audit.findings import Finding
from streamweir.audit.note import Checkpoint, Signer
from streamweir.audit.record import (
    SIGNED,
    Forgotten,
    Purged,
    canonical,
    commitment,
    ids_digest,
    leaf_of,
    ranges_of,
    signed_body,
)
from streamweir.audit.rows import KeptText, Row
from streamweir.audit.verify import Verification, verify

ORIGIN = "log.example/one"
KEY = Signer(ORIGIN, bytes(range(32)))
THIEF = Signer(ORIGIN, bytes(range(7, 39)))

SIZE = 40
EVERY = 8
ANCHORED = (16, 32)
PURGED_AT, PURGED = 20, (0, 1, 2, 3, 9, 10)
FORGOTTEN_AT, FORGOTTEN = 25, (12, 22)
AT = "2026-01-09T00:00:00Z"


def nonce_of(number: int) -> bytes:
    return bytes([number % 256]) * 16


def text_of(number: int) -> KeptText:
    return KeptText(f"person {number % 3}", bytes([number]) * 16, f"what was answered, {number}")


def row_of(position: int, body: bytes, kind: str, record_id: str) -> Row:
    nonce = nonce_of(position)
    return Row(position, record_id, kind, leaf_of(nonce, body), nonce, body)


def stream_row(position: int, tokens: int = 7, name: str = "") -> Row:
    record_id, kept = name or f"rec-{position:03}", text_of(position)
    body: dict[str, Any] = {
        "kind": "stream",
        "record_id": record_id,
        "report": {"status": "completed", "tokens": tokens},
        "text_hmac": commitment(kept.salt, kept.text),
        "subject_hmac": commitment(kept.salt, kept.subject or ""),
    }
    return row_of(position, canonical(body), "stream", record_id)


@dataclass
class Log:
    """What stands in the store; and what stands outside."""

    rows: list[Row]
    checkpoints: list[tuple[str, str]] = field(default_factory=list)
    anchors: list[tuple[str, str]] = field(default_factory=list)
    texts: dict[str, KeptText] = field(default_factory=dict)

    def findings(self, keys: Sequence[Signer] = (KEY,)) -> list[Finding]:
        return list(verify(self.verification(keys), self.rows))

    def verification(self, keys: Sequence[Signer] = (KEY,)) -> Verification:
        return Verification(
            [key.verifier for key in keys],
            self.checkpoints,
            origin=ORIGIN,
            anchors=self.anchors,
            signed_rows=[row for row in self.rows if row.kind in SIGNED],
            texts=self.texts.get,
        )

    def but(self, rows: Sequence[Row]) -> "Log":
        """The same with other rows, and without the texts: what is tried is the log."""
        return replace(self, rows=list(rows))

    @property
    def leaves(self) -> list[bytes]:
        return [row.leaf for row in self.rows]


def renumbered(rows: Sequence[Row]) -> list[Row]:
    return [row._replace(position=number) for number, row in enumerate(rows)]


def note_of(rows: Sequence[Row], size: int, key: Signer = KEY) -> str:
    return key.sign(Checkpoint(ORIGIN, size, merkle.root_of(row.leaf for row in rows[:size])).text)


def signed_anew(log: Log, key: Signer = KEY) -> Log:
    """The checkpoints over whatever the rows are now."""
    sizes = [*range(EVERY, len(log.rows), EVERY), len(log.rows)]
    return replace(log, checkpoints=[(f"checkpoint {size}", note_of(log.rows, size, key)) for size in sizes])


def purge_of(ids: Sequence[str], positions: Sequence[int], key: Signer = KEY) -> bytes:
    return signed_body(
        Purged(
            record_id=f"rec-{PURGED_AT:03}",
            origin=ORIGIN,
            at=AT,
            rule="retention 7d",
            before=AT,
            ranges=ranges_of(positions),
            ids_sha256=ids_digest(ids),
            records=len(ids),
        ),
        key,
    )


def written() -> Log:
    rows = [stream_row(position) for position in range(SIZE)]
    texts = {row.record_id: text_of(row.position) for row in rows}
    purged = purge_of([rows[at].record_id for at in PURGED], PURGED)
    forgotten = signed_body(
        Forgotten(
            record_id=f"rec-{FORGOTTEN_AT:03}", origin=ORIGIN, at=AT, records=[rows[at].record_id for at in FORGOTTEN]
        ),
        KEY,
    )
    rows[PURGED_AT] = row_of(PURGED_AT, purged, "purged", f"rec-{PURGED_AT:03}")
    rows[FORGOTTEN_AT] = row_of(FORGOTTEN_AT, forgotten, "forgotten", f"rec-{FORGOTTEN_AT:03}")
    for at in PURGED:
        rows[at] = rows[at]._replace(nonce=None, body=None)
    for at in (*PURGED, *FORGOTTEN, PURGED_AT, FORGOTTEN_AT):
        del texts[f"rec-{at:03}"]
    log = signed_anew(Log(rows, texts=texts))
    log.anchors = [(f"anchor {size}", note_of(rows, size)) for size in ANCHORED]
    return log
