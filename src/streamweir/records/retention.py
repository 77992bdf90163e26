"""What is deleted, and that the log says so: bodies when their time is over, texts when somebody is to be forgotten."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from streamweir.audit.note import Signer
from streamweir.audit.record import NONCE_BYTES, Forgotten, Purged, ids_digest, ranges_of, signed_body
from streamweir.records import ledger
from streamweir.records.database import Database
from streamweir.records.ids import new_id
from streamweir.records.ledger import CloseRow
from streamweir.stages.report import rfc3339

BATCH: Final = 1000
"""Bodies that are purged in one transaction, and named by one record: others wait some milliseconds for it."""

PAGE: Final = 1000

MAX_FORGOTTEN: Final = 10_000
"""Record ids that one `forgotten` record names: its body stays for ever, and should stay readable."""


class Rule(NamedTuple):
    """Bodies of streams that ended before `retention` seconds ago go; `said` is how the configuration says it."""

    retention: float
    said: str


class Gone(NamedTuple):
    """What was deleted."""

    records: int = 0
    texts: int = 0
    passages: int = 0
    deliveries: int = 0


Passages = Callable[[Database, str], int]
"""Deletes a subject's passages in the vector store, inside the transaction; how many."""


def none_kept(_: Database, __: str) -> int:
    """Where there are no vectors."""
    return 0


class _Ids(msgspec.Struct):
    conversation_id: str | None = None


class _Body(msgspec.Struct):
    report: _Ids = msgspec.field(default_factory=_Ids)


def purge(database: Database, signer: Signer, rule: Rule, now: float, first: int = 0) -> tuple[Gone, int]:
    """Delete what is due, up to BATCH bodies, and append the record of it. Raises DatabaseError.

    What went, and the position to look from the next time: before it there is nothing left to purge.
    """
    before = now - rule.retention
    with database.transaction(durable=True):
        oldest = database.run("oldest_bodies", {"first": first, "most": BATCH})
        first = oldest[0][0] if oldest else first
        rows = [(position, record_id) for position, record_id, closed_at in oldest if closed_at < before]
        if not rows:
            return Gone(), first
        ranges = ranges_of([position for position, _ in rows])
        texts = 0
        for start, end in ranges:
            texts += len(database.run("purge_texts", {"first": start, "last": end}))
            database.run("purge_bodies", {"first": start, "last": end})
        record = Purged(
            record_id=new_id(now),
            origin=signer.name,
            at=rfc3339(now),
            rule=f"retention {rule.said}",
            before=rfc3339(before),
            ranges=ranges,
            ids_sha256=ids_digest([record_id for _, record_id in rows]),
            records=len(rows),
            texts=texts,
        )
        _append(database, signer, record, now)
    return Gone(len(rows), texts), first


def forget(database: Database, signer: Signer, subject: str, now: float, passages: Passages = none_kept) -> Gone:
    """Delete the texts, salts, vectors and queued deliveries of a subject, and append the record of it.

    `subject` is a request's metadata.subject, or its conversation's id. Nothing there: nothing is appended. `passages`
    deletes those of the vector store. Raises DatabaseError.
    """
    with database.transaction(durable=True):
        found: set[str] = {row[0] for row in database.run("records_of_subject", {"subject": subject})}
        ids = sorted(found | _of_conversation(database, subject))
        parts = [ids[start : start + MAX_FORGOTTEN] for start in range(0, len(ids), MAX_FORGOTTEN)]
        done = [_forget(database, part) for part in parts]
        # behind its deliveries: none of them can write a passage any more
        if vectors := passages(database, subject):
            if not done:
                parts, done = [list[str]()], [Gone()]
            done[0] = done[0]._replace(passages=vectors)
        total = Gone()
        for part, gone in zip(parts, done, strict=True):
            record = Forgotten(
                record_id=new_id(now),
                origin=signer.name,
                at=rfc3339(now),
                records=part,
                texts=gone.texts,
                passages=gone.passages,
                deliveries=gone.deliveries,
            )
            _append(database, signer, record, now)
            total = Gone(*(one + other for one, other in zip(total, gone, strict=True)))
    return total


def _forget(database: Database, ids: list[str]) -> Gone:
    texts = deliveries = 0
    for record_id in ids:
        params = {"record_id": record_id}
        texts += len(database.run("forget_text", params))
        deliveries += len(database.run("forget_deliveries", params))
    return Gone(len(ids), texts, 0, deliveries)


def _of_conversation(database: Database, conversation_id: str) -> set[str]:
    """Records whose body names the conversation, of those with a text or a delivery: their subject may be another."""
    found: set[str] = set()
    behind = ""
    while page := database.run("bodies_with_more", {"behind": behind, "most": PAGE}):
        for record_id, body in page:
            behind = record_id
            try:
                named = msgspec.json.decode(body, type=_Body).report.conversation_id
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue
            if named == conversation_id:
                found.add(record_id)
    return found


def _append(database: Database, signer: Signer, record: Purged | Forgotten, now: float) -> None:
    kind = "purged" if isinstance(record, Purged) else "forgotten"
    row = CloseRow(record.record_id, kind, now, os.urandom(NONCE_BYTES), signed_body(record, signer))
    ledger.append(database, [row], now)
