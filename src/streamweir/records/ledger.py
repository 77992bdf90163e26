"""What is written of streams, in transactions: opened, closed, and closed for a process that ended without a word.

Times are seconds since the epoch. Each function is one transaction of the database that it is given, or none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from streamweir.audit.merkle import Frontier, leaf_hash
from streamweir.records.database import Database

SWEPT: Final = 200
"""Streams of a dead process that are closed in one transaction: each may have deliveries, and readers wait for it."""


class OpenRow(NamedTuple):
    """A stream that is about to be asked for. `body` is what `interrupted` makes a record of."""

    record_id: str
    opened_at: float
    body: bytes


class Text(NamedTuple):
    """A reply's text, where it is kept: apart from the log, which only has its HMAC under `salt`."""

    subject: str | None
    salt: bytes
    text: str


class Delivery(NamedTuple):
    """What is to leave because of a record. `kind` is `webhook`, `vectors` or `anchor`; `target` names to whom."""

    message_id: str
    kind: str
    target: str
    subject: str | None
    body: bytes


class CloseRow(NamedTuple):
    """A record: its canonical body, the nonce that its leaf is hashed with, and what goes with it."""

    record_id: str
    kind: str
    closed_at: float
    nonce: bytes
    body: bytes
    text: Text | None = None
    deliveries: Sequence[Delivery] = ()


def write(database: Database, run: str, opens: Sequence[OpenRow], closes: Sequence[CloseRow], now: float) -> list[bool]:
    """Streams opened and closed, in one transaction. Which of the closes were recorded: not those with another record.

    With a close in it, it outlasts a loss of power; opens alone outlast a kill.
    """
    with database.transaction(durable=bool(closes)):
        if opens:
            database.many("open_stream", [{"run": run, **row._asdict()} for row in opens])
        return append(database, closes, now) if closes else []


def append(database: Database, closes: Sequence[CloseRow], now: float) -> list[bool]:
    """The closes as leaves at the end of the tree, with their texts and deliveries. Call it inside a transaction.

    Which of them were recorded: not those that had another record.
    """
    ((size, peaks),) = database.run("tree")
    frontier = Frontier.from_bytes(size, peaks)
    open_ones = {record_id for (record_id,) in database.among("forget_open", [row.record_id for row in closes])}
    # one that was open has no record: whoever closes it takes its row away in the same transaction
    rest = [row.record_id for row in closes if row.record_id not in open_ones]
    known: dict[str, bytes] = dict(database.among("leaves_of", rest)) if rest else {}
    written: list[bool] = []
    records: list[Mapping[str, Any]] = []
    texts: list[Mapping[str, Any]] = []
    deliveries: list[Mapping[str, Any]] = []
    for row in closes:
        key = {"record_id": row.record_id}
        leaf = leaf_hash(row.nonce + row.body)
        if row.record_id in known:
            # this very one, where a commit succeeded whose answer was lost
            written.append(known[row.record_id] == leaf)
            continue
        records.append(
            {
                "position": frontier.size,
                "record_id": row.record_id,
                "kind": row.kind,
                "closed_at": row.closed_at,
                "leaf": leaf,
                "nonce": row.nonce,
                "body": row.body,
            }
        )
        frontier.append(leaf)
        if row.text is not None:
            texts.append({**key, **row.text._asdict(), "text": row.text.text.encode()})
        deliveries += [{**key, **one._asdict(), "created_at": now, "due_at": now} for one in row.deliveries]
        written.append(True)
    if records:
        database.many("append", records)
        database.run("grow_tree", {"size": frontier.size, "frontier": frontier.to_bytes()})
    if texts:
        database.many("keep_text", texts)
    if deliveries:
        database.many("enqueue", deliveries)
    return written


def sweep(database: Database, run: str, made: Callable[[OpenRow], CloseRow], now: float) -> int:
    """Close what a dead process left open: `made` makes the record of each. How many there were."""
    swept = 0
    while True:
        with database.transaction(durable=True):
            rows = [OpenRow(*row) for row in database.run("streams_of_run", {"run": run, "most": SWEPT})]
            if not rows:
                # what it was delivering, somebody else tries now, and not when its lease is over
                database.run("give_back_run", {"run": run})
                database.run("end_run", {"run": run})
                return swept
            append(database, [made(row) for row in rows], now)
            swept += len(rows)
