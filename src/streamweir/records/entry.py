"""One stream's record: opened before its request is sent, closed by its end. It waits for nothing."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import msgspec

from streamweir.audit.record import NONCE_BYTES, SALT_BYTES, StreamRecord, canonical, commitment
from streamweir.records.ledger import CloseRow, OpenRow, Text
from streamweir.records.settings import Closed, RecordsSettings
from streamweir.records.writer import Job, Writer
from streamweir.report import ErrorReport, Report
from streamweir.stages.report import Identity, rfc3339

Loop = asyncio.AbstractEventLoop | None
"""Where somebody is told that a row was written; None: in the writer's own thread."""


class Asker(NamedTuple):
    """Who asked for a stream: the key's name, the client's address as configured, the route. In the library none."""

    key: str | None = None
    client: str | None = None
    route: str | None = None


class Opened(msgspec.Struct):
    """What is known of a stream before its request is sent: the body of an open row."""

    identity: Identity
    asked: dict[str, str | None]
    subject: str | None
    retention: str


_opened = msgspec.json.Decoder(Opened)


class Entry:
    """See the module's docstring. `id` is the record's, `opened` None until it is known whether a row was written."""

    __slots__ = ("_asker", "_settings", "_subject", "_writer", "id", "opened")

    def __init__(self, settings: RecordsSettings, writer: Writer, asker: Asker, id: str, subject: str | None) -> None:
        self._settings = settings
        self._writer = writer
        self._asker = asker
        self._subject = subject
        self.id = id
        self.opened: bool | None = None

    @property
    def required(self) -> bool:
        """Whether the stream may not begin before its row is written."""
        return self._settings.required

    @property
    def away(self) -> str | None:
        """Why rows are not written at present."""
        writer = self._writer
        if writer.gone and not writer.stopping:
            return "this process was forked from the one that writes: make what keeps records behind the fork"
        return writer.away or ("they were closed" if writer.stopping else None)

    def open(self, identity: Identity, told: Callable[[bool], None], loop: Loop) -> None:
        """Write that the stream is about to be asked for."""
        opened = Opened(identity, self._asker._asdict(), self._subject, self._settings.retention_said)
        self._writer.put(Job(OpenRow(self.id, identity.started_at, canonical(opened)), told, loop))

    def close(self, report: Report, told: Callable[[bool], None], loop: Loop) -> None:
        """Write the record of a stream that has ended, and what leaves because of it."""
        text = report.text if isinstance(report.text, str) else ""
        tenant = self._asker.key or ""
        closed = Closed(self.id, report.without_text(), text, self._subject, time.time(), tenant)
        row = partial(row_of, self._settings, closed, self._asker._asdict())
        self._writer.put(Job(row, told, loop))


def row_of(settings: RecordsSettings, closed: Closed, asked: dict[str, str | None]) -> CloseRow:
    """The record of a stream, its text where texts are kept, and what is to be delivered."""
    record = StreamRecord(
        record_id=closed.record_id,
        report=closed.report,
        asked=asked,
        scanned={"output": closed.report.guard.mode},
        retention=settings.retention_said,
    )
    text = None
    if settings.text and closed.text:
        text = Text(closed.subject, os.urandom(SALT_BYTES), closed.text)
        record.text_hmac = commitment(text.salt, text.text)
        record.subject_hmac = commitment(text.salt, closed.subject) if closed.subject is not None else None
    deliveries = [delivery for deliver in settings.delivers for delivery in deliver(closed)]
    nonce = os.urandom(NONCE_BYTES)
    return CloseRow(closed.record_id, "stream", closed.closed_at, nonce, canonical(record), text, deliveries)


def row_of_dead(settings: RecordsSettings, row: OpenRow, now: float) -> CloseRow:
    """The record of a stream whose process ended without a word: interrupted, with what was known when it began."""
    try:
        opened = _opened.decode(row.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        # another version's, or damaged: the stream was there, and must not keep all others from being recorded
        nobody = Identity(request_id="", dialect="", model="", started_at=row.opened_at, called_at=0.0)
        opened = Opened(nobody, {}, None, "")
    who = opened.identity
    report = Report(
        status="interrupted",
        request_id=who.request_id,
        prompt_id=who.prompt_id,
        conversation_id=who.conversation_id,
        dialect=who.dialect,
        profile=who.profile,
        model=who.model,
        region=who.region,
        started_at=rfc3339(who.started_at),
        ended_at=rfc3339(now),
        error=ErrorReport(
            type="StreamInterrupted",
            code="process_died",
            message="the process that carried the stream ended before the stream did",
        ),
        text=msgspec.UNSET,
    )
    closed = Closed(row.record_id, report, "", opened.subject, now)
    return row_of(settings, closed, opened.asked)
