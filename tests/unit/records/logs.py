"""A records store in a file, and streams that are written to it as the proxy does."""

from streamweir.audit.findings import Finding
from streamweir.audit.note import Signer, Verifier
from streamweir.audit.record import SALT_BYTES, StreamRecord, canonical, commitment
from streamweir.audit.verify import Verification, verify
from streamweir.records import ledger
from streamweir.records.database import Database
from streamweir.records.ledger import CloseRow, Delivery, Text
from streamweir.records.reading import Reader
from streamweir.report import Report

SIGNER = Signer("streamweir/test", bytes(range(32)))
AT = 1_767_225_600.0


def closed(
    number: int,
    *,
    subject: str | None = None,
    text: str = "",
    at: float = AT,
    conversation: str | None = None,
    queued: bool = False,
) -> CloseRow:
    record_id = f"rec-{number:04}"
    stamp = "2026-01-01T00:00:00.000Z"
    report = Report(
        status="completed",
        text=text,
        request_id=f"req-{number}",
        conversation_id=conversation,
        dialect="openai",
        model="m",
        started_at=stamp,
        ended_at=stamp,
    ).without_text()
    record = StreamRecord(record_id=record_id, report=report, asked={"key": "web"}, scanned={}, retention="7d")
    kept = None
    if text:
        kept = Text(subject, number.to_bytes(SALT_BYTES, "big"), text)
        record.text_hmac = commitment(kept.salt, text)
        record.subject_hmac = commitment(kept.salt, subject) if subject is not None else None
    sent = [Delivery(f"msg_{record_id}", "webhook", "crm", subject, text.encode())] if queued else []
    return CloseRow(record_id, "stream", at, number.to_bytes(16, "big"), canonical(record), kept, sent)


def write(database: Database, rows: list[CloseRow]) -> None:
    assert all(ledger.write(database, "run", [], rows, AT))


def filled(database: Database, count: int = 20) -> Database:
    write(database, [closed(number) for number in range(count)])
    return database


def audited(
    database: Database, keys: tuple[Verifier, ...] = (SIGNER.verifier,), anchors: tuple[tuple[str, str], ...] = ()
) -> list[Finding]:
    reader = Reader(database)
    with database.snapshot():
        verification = Verification(
            keys,
            list(reader.checkpoints()),
            origin=keys[0].name,
            anchors=anchors,
            signed_rows=reader.signed_rows(),
            texts=reader.text,
            tree=reader.tree(),
        )
        return list(verify(verification, reader.rows()))
