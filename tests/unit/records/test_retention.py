from pathlib import Path

import pytest

from streamweir.audit.record import Forgotten, Purged, read_signed
from streamweir.records import retention
from streamweir.records.checkpoints import Checkpoints, Every
from streamweir.records.database import Database
from streamweir.records.reading import Reader
from streamweir.records.retention import Gone, Rule, forget, purge
from tests.stores import Store
from tests.unit.records.logs import AT, SIGNER, audited, closed, write

DAY = 86400.0
RULE = Rule(7 * DAY, "7d")


@pytest.fixture
def database(store: Store) -> Database:
    database = store.open()
    rows = [
        closed(
            number,
            at=AT + number * DAY,
            subject=f"person-{number % 3}",
            text=f"the answer number {number} in clear",
            conversation=f"talk-{number}",
            queued=number == 9,
        )
        for number in range(10)
    ]
    write(database, rows)
    Checkpoints(SIGNER, Every()).look(database, AT)
    return database


def change(database: Database, statement: str) -> None:
    """What somebody does to the store who can write to it."""
    database._connection.execute(statement)  # type: ignore[attr-defined]


def signed(database: Database) -> list[Purged | Forgotten]:
    return [read_signed(row.body or b"", [SIGNER.verifier]) for row in Reader(database).signed_rows()]


def sign(database: Database) -> None:
    Checkpoints(SIGNER, Every()).look(database, AT, at_once=True)


def test_what_is_older_than_the_rule_goes_and_the_log_says_so(database: Database) -> None:
    assert purge(database, SIGNER, RULE, AT + 7 * DAY) == (Gone(), 0)
    assert purge(database, SIGNER, RULE, AT + 10.5 * DAY) == (Gone(4, 4), 0)
    (record,) = signed(database)
    assert isinstance(record, Purged)
    assert (record.rule, record.ranges, record.records, record.texts) == ("retention 7d", [(0, 3)], 4, 4)
    assert (record.at, record.before) == ("2026-01-11T12:00:00.000Z", "2026-01-04T12:00:00.000Z")
    rows = list(Reader(database).rows())
    assert [row.position for row in rows if row.body is None] == [0, 1, 2, 3]
    assert all(row.nonce is None for row in rows[:4])
    assert [row.position for row in rows if Reader(database).text(row.record_id)] == [4, 5, 6, 7, 8, 9]
    sign(database)
    assert audited(database) == []
    assert purge(database, SIGNER, RULE, AT + 10.5 * DAY, 0) == (Gone(), 4)
    assert purge(database, SIGNER, RULE, AT + 100 * DAY, 4) == (Gone(6, 6), 4)
    # what says so is never purged itself
    assert purge(database, SIGNER, RULE, AT + 900 * DAY, 4) == (Gone(), 4)
    sign(database)
    assert audited(database) == []


def test_a_purge_goes_on_batch_by_batch_past_what_is_not_due(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 3)
    # a machine whose clock was wrong wrote this one
    change(database, "UPDATE records SET closed_at = closed_at + 864000 WHERE position = 1")
    first, purged = 0, []
    for _ in range(9):
        gone, first = purge(database, SIGNER, RULE, AT + 12.5 * DAY, first)
        purged.append(gone.records)
    assert purged == [2, 2, 1, 0, 0, 0, 0, 0, 0]
    assert first == 1
    sign(database)
    assert audited(database) == []


def test_a_purge_that_fails_leaves_everything(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(retention, "_append", fail)
    with pytest.raises(RuntimeError):
        purge(database, SIGNER, RULE, AT + 900 * DAY)
    with pytest.raises(RuntimeError):
        forget(database, SIGNER, "person-1", AT)
    assert audited(database) == []
    assert all(row.body for row in Reader(database).rows())


def test_a_body_deleted_without_a_purge_is_found(database: Database) -> None:
    purge(database, SIGNER, RULE, AT + 10.5 * DAY)
    change(database, "UPDATE records SET nonce = NULL, body = NULL WHERE position = 4")
    change(database, "DELETE FROM texts WHERE record_id = 'rec-0007'")
    sign(database)
    assert [(one.kind, one.first, one.last) for one in audited(database)] == [
        ("body_missing", 4, 4),
        ("text_missing", 7, 7),
    ]


@pytest.mark.parametrize(("subject", "numbers"), [("person-0", [0, 3, 6, 9]), ("talk-9", [9]), ("talk-4", [4])])
def test_whoever_is_forgotten_leaves_no_text_and_the_log_still_verifies(
    store: Store, database: Database, subject: str, numbers: list[int]
) -> None:
    queued = 1 if 9 in numbers else 0
    assert forget(database, SIGNER, subject, AT) == Gone(len(numbers), len(numbers), 0, queued)
    (record,) = signed(database)
    assert isinstance(record, Forgotten)
    assert record.records == [f"rec-{number:04}" for number in numbers]
    sign(database)
    assert audited(database) == []
    # bodies keep the conversation's id: what a subject is called stands nowhere any more
    assert subject not in str(record)
    database.scrub()
    if store.kind == "sqlite":
        path = store.url.removeprefix("sqlite:///")
        content = Path(path).read_bytes() + Path(f"{path}-wal").read_bytes()
        for number in range(10):
            assert (f"the answer number {number} in clear".encode() in content) is (number not in numbers)
        assert (b"person-0" in content) is (subject != "person-0")
    assert forget(database, SIGNER, subject, AT) == Gone()
    assert len(signed(database)) == 1


def test_many_are_forgotten_in_several_records(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "MAX_FORGOTTEN", 3)
    assert forget(database, SIGNER, "person-0", AT).texts == 4
    assert [len(record.records) for record in signed(database) if isinstance(record, Forgotten)] == [3, 1]
    sign(database)
    assert audited(database) == []


def test_a_text_put_back_is_found(database: Database) -> None:
    forget(database, SIGNER, "person-1", AT)
    sign(database)
    kept = closed(1, subject="person-1", text="the answer number 1 in clear").text
    assert kept is not None
    database.run("keep_text", {"record_id": "rec-0001", **kept._asdict(), "text": kept.text.encode()})
    assert [(one.kind, one.first) for one in audited(database)] == [("not_forgotten", 1)]


def test_passages_of_a_vector_store_go_too(database: Database) -> None:
    asked: list[str] = []

    def passages(_: Database, subject: str) -> int:
        asked.append(subject)
        return 7 if subject != "nobody" else 0

    assert forget(database, SIGNER, "person-1", AT, passages) == Gone(3, 3, 7, 0)
    # whose text is kept nowhere else
    assert forget(database, SIGNER, "other", AT, passages) == Gone(0, 0, 7, 0)
    assert forget(database, SIGNER, "nobody", AT, passages) == Gone()
    assert asked == ["person-1", "other", "nobody"]
    assert [(list(one.records), one.passages) for one in signed(database) if isinstance(one, Forgotten)] == [
        (["rec-0001", "rec-0004", "rec-0007"], 7),
        ([], 7),
    ]
    sign(database)
    assert audited(database) == []


def test_what_is_read_in_a_snapshot_is_of_one_moment(store: Store, database: Database) -> None:
    other = store.open(read_only=True)
    with other.snapshot():
        before = list(Reader(other).rows())
        purge(database, SIGNER, RULE, AT + 10.5 * DAY)
        assert list(Reader(other).rows()) == before
    assert len(list(Reader(other).rows())) == len(before) + 1
