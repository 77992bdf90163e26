"""What `[records]` says, checked and ready to be used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from streamweir.records.checkpoints import Announce, Every
from streamweir.records.ledger import Delivery
from streamweir.report import Report


class Closed(NamedTuple):
    """A stream whose record is about to be written: the report without its text, the text that was sent, and whose.

    `subject` is the request's metadata.subject, or its conversation's id: what `audit forget` finds it by. `tenant` is
    the name of the API key that asked, empty where none is configured.
    """

    record_id: str
    report: Report
    text: str
    subject: str | None
    closed_at: float
    tenant: str = ""


Deliver = Callable[[Closed], Sequence[Delivery]]
"""What is to leave because of a stream: rows of the outbox. Called in the writer's thread, before the transaction."""


class RecordsSettings(NamedTuple):
    """`retention` is in seconds, as configured in `retention_said`; `text`: replies' texts are kept.

    `delivers` are asked for what leaves with each record, `announces` for what leaves with each checkpoint.
    """

    url: str
    required: bool = True
    retention: float = 7 * 86400.0
    retention_said: str = "7d"
    text: bool = False
    delivers: tuple[Deliver, ...] = ()
    signing_key_file: str | None = None
    every: Every = Every()
    anchors: tuple[str, ...] = ()
    legal_hold: bool = False
    announces: tuple[Announce, ...] = ()
