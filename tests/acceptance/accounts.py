"""What must hold of a store, and of all that anybody saw, after a process that was killed has been started again."""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import psycopg

from streamweir.audit.findings import Finding
from streamweir.audit.note import split_notes
from streamweir.audit.verify import Verification, verify
from streamweir.records.opening import open_database
from streamweir.records.reading import Reader
from streamweir.records.signing import verifiers_of
from streamweir.report import WHOLE
from tests.endpoints import Received

DIED = "process_died"
"""The error's code in a record that was made for a process that ended first: nobody can have seen such an end."""

NOTHING = ("", sha256(b"").hexdigest())
"""What a report says of a text that is not there."""

READS = {
    "open": "SELECT count(*) FROM open_streams",
    "due": "SELECT kind, state, attempts, error FROM outbox",
    "passages": "SELECT record_id, chunk, start_at, end_at, text FROM passages ORDER BY record_id, chunk",
}


MINUTE = "UPDATE runs SET seen_at = seen_at - 60"


class Place(NamedTuple):
    """A store: its URL, the public keys of its log, the file that its checkpoints are anchored in; has it vectors?"""

    url: str
    vkey: Path
    anchor: Path
    vectors: bool


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
    """What a store says: what an audit finds, the reports by record id, their passages, and what is not done yet."""

    findings: list[Finding]
    signed: int
    anchored: int
    reports: dict[str, dict[str, Any]]
    passages: dict[str, list[tuple[Any, ...]]] | None
    open: int
    due: list[tuple[Any, ...]]

    def end(self, record_id: str) -> str:
        """How a stream ended: its status, or that its process died."""
        report = self.reports[record_id]
        return DIED if (report.get("error") or {}).get("code") == DIED else report["status"]


def account(place: Place) -> Account:
    with closing(open_database(place.url, read_only=True)) as database:
        reader = Reader(database)
        anchors = split_notes(place.anchor.read_text(encoding="utf-8")) if place.anchor.exists() else []
        verification = Verification(
            verifiers_of(place.vkey),
            reader.checkpoints(),
            anchors=[(f"anchor {number}", note) for number, note in enumerate(anchors)],
            signed_rows=reader.signed_rows(),
            tree=reader.tree(),
        )
        found = list(verify(verification, reader.rows()))
        bodies = [msgspec.json.decode(row.body or b"{}") for row in reader.rows()]
        passages: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
        for record_id, *passage in run(database, "passages") if place.vectors else ():
            passages[record_id].append(tuple(passage))
        return Account(
            found,
            verification.signed,
            verification.anchored,
            {body["record_id"]: body["report"] for body in bodies if body.get("kind") == "stream"},
            passages if place.vectors else None,
            run(database, "open")[0][0],
            run(database, "due"),
        )


def run(database: Any, what: str) -> list[tuple[Any, ...]]:
    """Statements beside the named ones."""
    return database._connection.execute(READS[what]).fetchall()


def is_done(url: str) -> bool:
    """Whether no stream is open, and nothing is to be delivered."""
    with closing(open_database(url, read_only=True)) as database:
        return run(database, "open") == [(0,)] and not run(database, "due")


def a_minute_later(url: str) -> None:
    """It is long ago that a dead process was seen, where there is a store."""
    path = Path(url.removeprefix("sqlite:///"))
    if url.startswith("sqlite") and not path.exists():
        return
    connected = sqlite3.connect(path) if url.startswith("sqlite") else psycopg.connect(url)
    with closing(connected) as database, suppress(sqlite3.OperationalError, psycopg.errors.UndefinedTable):
        database.execute(MINUTE)
        database.commit()


def webhooks(received: Iterable[Received]) -> dict[str, list[str]]:
    """The ids of webhooks by request id."""
    found: dict[str, list[str]] = defaultdict(list)
    for one in received:
        found[msgspec.json.decode(one.body)["data"]["request_id"]].append(one.headers["webhook-id"])
    return found


def faults(
    found: Account,
    seen: Iterable[str],
    saws: Iterable[Saw],
    delivered: Mapping[str, list[str]],
    unrecorded: frozenset[str] = frozenset(),
    new: int = 0,
) -> list[str]:
    """Everything that is wrong, a sentence each.

    `seen` are the ids of the requests that the upstream saw, `delivered` the ids of the webhooks by request id,
    `unrecorded` the requests whose end was said to have no record. `new` records came behind the last start: all others
    are signed.
    """
    old = len(found.reports) - new
    wrong = [f"the log: {finding}" for finding in found.findings if not (finding.kind == "unsigned" and old <= 0)]
    if found.open:
        wrong.append(f"{found.open} streams are open")
    wrong += [f"not delivered: {one}" for one in found.due]
    if min(found.signed, found.anchored) < old:
        wrong.append(f"{old} records, of which {found.signed} are signed and {found.anchored} anchored")
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
    return wrong + _misdelivered(records, delivered) + _misplaced(found)


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


def _misplaced(found: Account) -> list[str]:
    """Passages: whole replies of one model are the same text, and every record with a text has it once."""
    if found.passages is None:
        return []
    wrong = [
        f"record {record_id} is not there, and has passages" for record_id in found.passages.keys() - found.reports
    ]
    whole: dict[str, set[tuple[Any, ...]]] = defaultdict(set)
    for record_id, report in found.reports.items():
        passages = found.passages.get(record_id, [])
        if [one[0] for one in passages] != list(range(len(passages))):
            wrong.append(f"record {record_id} has the passages {[one[0] for one in passages]}")
        if bool(passages) != (report["integrity"]["sha256"] not in NOTHING):
            wrong.append(f"record {record_id} has {len(passages)} passages of {report['integrity']['sha256']}")
        if report["status"] in WHOLE:
            whole[report["model"]].add(tuple(passages))
    return wrong + [f"{model}: {len(texts)} different texts" for model, texts in whole.items() if len(texts) > 1]
