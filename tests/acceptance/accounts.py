"""What must hold of a store, and of all that anybody saw, after a process that was killed has been started again."""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec

from streamweir.audit.findings import Finding
from streamweir.audit.rows import Row
from streamweir.audit.verify import Verification, verify
from streamweir.report import WHOLE

DIED = "process_died"
"""The error's code in a record that was made for a process that ended first: nobody can have seen such an end."""


@dataclass
class Saw:
    """What a client saw of one stream. `end` is a report's status, "whole", "failed", or None: it saw no end."""

    wire: str
    request_id: str
    model: str
    end: str | None = None
    recorded: bool | None = None
    record_id: str | None = None


@dataclass
class Account:
    """What a store says: the rows of its log, and what is not done yet. `reports` are by record id."""

    rows: list[Row]
    tree: tuple[int, bytes]
    open: int
    due: int
    reports: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for row in self.rows:
            if row.kind == "stream" and row.body is not None:
                self.reports[row.record_id] = msgspec.json.decode(row.body)["report"]

    def end(self, record_id: str) -> str:
        """How a stream ended: its status, or that its process died."""
        report = self.reports[record_id]
        return DIED if (report.get("error") or {}).get("code") == DIED else report["status"]


@contextmanager
def reading(url: str) -> Iterator[Callable[[str], list[tuple[Any, ...]]]]:
    """Statements on one state of the store, beside the proxy."""
    path = url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)) as database:
        database.execute("BEGIN")
        yield lambda sql: database.execute(sql).fetchall()


def account(url: str) -> Account:
    with reading(url) as read:
        rows = read("SELECT position, record_id, kind, leaf, nonce, body FROM records ORDER BY position")
        ((size, peaks),) = read("SELECT size, frontier FROM tree")
        return Account([Row(*row) for row in rows], (size, bytes(peaks)), *left(url))


def left(url: str) -> tuple[int, int]:
    """How many streams are open, and how much is to be delivered."""
    with reading(url) as read:
        return read("SELECT count(*) FROM open_streams")[0][0], read("SELECT count(*) FROM outbox")[0][0]


def findings(found: Account) -> list[Finding]:
    """What verifying the log finds. Nobody signs here yet."""
    verification = Verification((), (), tree=found.tree)
    return [finding for finding in verify(verification, found.rows) if finding.kind != "unsigned"]


def faults(
    found: Account,
    seen: Iterable[str],
    saws: Iterable[Saw],
    delivered: Mapping[str, list[str]] | None = None,
    unrecorded: frozenset[str] = frozenset(),
) -> list[str]:
    """Everything that is wrong, a sentence each.

    `seen` are the ids of the requests that the upstream saw, `delivered` the ids of the webhooks by request id, where
    one is configured, `unrecorded` the requests whose end was said to have no record.
    """
    wrong = [f"the log: {finding}" for finding in findings(found)]
    if found.open:
        wrong.append(f"{found.open} streams are open")
    records = defaultdict(list)
    for record_id, report in found.reports.items():
        records[report["request_id"]].append(record_id)
    wrong += [f"{request}: {len(them)} records" for request, them in records.items() if len(them) > 1]
    wrong += [f"{request}: the upstream saw it, and it has no record" for request in set(seen) - records.keys()]
    for saw in saws:
        if saw.end is None or saw.recorded is False or saw.request_id in unrecorded:
            continue
        ends = [found.end(record_id) for record_id in records[saw.request_id]]
        if saw.recorded and saw.record_id not in records[saw.request_id]:
            wrong.append(f"{saw.request_id}: its end names record {saw.record_id}, which is not there")
        if not any(_agree(saw.end, end) for end in ends):
            wrong.append(
                f"{saw.request_id} ({saw.wire}, {saw.model}): its client saw {saw.end}, and the log says {ends}"
            )
    if delivered is not None:
        wrong += _misdelivered(records, delivered)
    return wrong


def _agree(seen: str, end: str) -> bool:
    if seen == "whole":
        return end in WHOLE
    return end not in (*WHOLE, DIED) if seen == "failed" else seen == end


def _misdelivered(records: Mapping[str, list[str]], delivered: Mapping[str, list[str]]) -> list[str]:
    wrong = [f"{request}: no webhook" for request in records.keys() - delivered.keys()]
    wrong += [f"{request}: a webhook, and no record" for request in delivered.keys() - records.keys()]
    wrong += [f"{request}: webhooks {set(ids)}" for request, ids in delivered.items() if len(set(ids)) > 1]
    used = Counter(name for ids in delivered.values() for name in set(ids))
    return wrong + [f"{name} is the id of {count} webhooks" for name, count in used.items() if count > 1]
