import pytest

from streamweir.audit.merkle import Frontier, root_of
from streamweir.audit.note import Checkpoint, Signer, open_checkpoint
from streamweir.errors import ConfigError
from streamweir.records.checkpoints import Checkpoints, Every, Signed
from streamweir.records.database import Database
from streamweir.records.ledger import Delivery
from tests.stores import Store, rows
from tests.unit.records.logs import AT, SIGNER, audited, closed, filled, write


@pytest.fixture
def database(store: Store) -> Database:
    return filled(store.open())


def change(database: Database, statement: str) -> None:
    """What somebody does to the store who can write to it."""
    database._connection.execute(statement)  # type: ignore[attr-defined]


def notes(database: Database) -> list[int]:
    return [size for size, _ in database.run("checkpoints_behind", {"size": -1, "most": 100})]


def test_a_checkpoint_is_due_by_number_or_by_time(database: Database) -> None:
    checkpoints = Checkpoints(SIGNER, Every(records=10, seconds=60))
    first = checkpoints.look(database, AT)
    assert first is not None
    assert open_checkpoint(first.note, [SIGNER.verifier]).size == first.size == 20
    assert checkpoints.look(database, AT + 1000) is None
    write(database, [closed(number) for number in range(20, 29)])
    assert checkpoints.look(database, AT + 59) is None
    assert checkpoints.look(database, AT + 60) is not None
    write(database, [closed(number) for number in range(29, 39)])
    assert checkpoints.look(database, AT + 61) is not None
    write(database, [closed(39)])
    assert checkpoints.look(database, AT + 62) is None
    assert checkpoints.look(database, AT + 62, at_once=True) is not None
    assert checkpoints.look(database, AT + 62, at_once=True) is None
    assert notes(database) == [20, 29, 39, 40]
    assert audited(database) == []


def test_an_empty_log_is_not_signed(store: Store) -> None:
    database = filled(store.open(), 0)
    assert Checkpoints(SIGNER, Every()).look(database, AT, at_once=True) is None


def test_another_process_goes_on_where_one_stopped(database: Database) -> None:
    Checkpoints(SIGNER, Every()).look(database, AT)
    write(database, [closed(20)])
    again = Checkpoints(SIGNER, Every(records=1000, seconds=60))
    assert again.look(database, AT + 59) is None
    assert again.look(database, AT + 60) is not None
    # two that sign the same size keep one note
    other = Checkpoints(SIGNER, Every())
    write(database, [closed(21)])
    assert again.look(database, AT + 200) is not None
    assert other.look(database, AT + 200) is None
    assert notes(database) == [20, 21, 22]
    assert audited(database) == []


def test_the_key_of_another_log_is_refused(database: Database) -> None:
    Checkpoints(SIGNER, Every()).look(database, AT)
    other = Checkpoints(Signer("streamweir/other", bytes(32)), Every())
    with pytest.raises(
        ConfigError, match=r"of the log streamweir/test, and the signing key is that of streamweir/other"
    ):
        other.start(database)


def test_what_leaves_with_a_checkpoint(database: Database) -> None:
    def announce(signed: Signed) -> list[Delivery]:
        return [Delivery(f"cp_{signed.size}", "anchor", "file", None, signed.note.encode())]

    signed = Checkpoints(SIGNER, Every(), [announce]).look(database, AT)
    assert signed is not None
    assert rows(database, "outbox") == [("cp_20", "checkpoint-20", "anchor", "file", "due", 0)]


def test_a_checkpoint_that_was_signed_already_leaves_once(database: Database) -> None:
    """Two processes sign the same size; one of them lost the answer to its commit."""

    def announce(signed: Signed) -> list[Delivery]:
        return [Delivery(f"cp_{signed.size}", "anchor", "file", None, b"note")]

    one, other = (Checkpoints(SIGNER, Every(), [announce]) for _ in range(2))
    for checkpoints in (one, other):
        checkpoints.start(database)
    for checkpoints in (one, other):
        assert checkpoints.look(database, AT) is not None
    change(database, "DELETE FROM outbox")
    other = Checkpoints(SIGNER, Every(), [announce])
    other.start(database)
    other._last = 0
    assert other.look(database, AT, at_once=True) is not None
    assert rows(database, "outbox") == []
    # somebody puts another note in its place: it is put right, and leaves again
    change(database, "UPDATE checkpoints SET note = 'x'")
    other._last = 0
    assert other.look(database, AT, at_once=True) is not None
    assert len(rows(database, "outbox")) == 1
    assert audited(database) == []
    change(database, "DELETE FROM checkpoints")
    other._last = 0
    assert other.look(database, AT, at_once=True) is not None
    assert len(rows(database, "outbox")) == 1
    assert audited(database) == []


def test_a_checkpoint_of_more_than_there_is_does_not_end_the_signing(database: Database) -> None:
    Checkpoints(SIGNER, Every()).look(database, AT)
    change(database, "INSERT INTO checkpoints SELECT 1000000, made_at, note FROM checkpoints")
    again = Checkpoints(SIGNER, Every())
    again.start(database)
    write(database, [closed(20)])
    signed = again.look(database, AT + 60)
    assert signed is not None
    assert signed.size == 21


def test_a_log_that_became_shorter_is_not_signed(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    checkpoints = Checkpoints(SIGNER, Every())
    checkpoints.look(database, AT)
    change(database, "DELETE FROM records WHERE position >= 10")
    change(database, "UPDATE tree SET size = 10")
    assert checkpoints.look(database, AT + 100) is None
    assert "not what this process saw" in caplog.text


def test_a_past_that_somebody_else_wrote_is_not_signed(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    """Without the key: rows and tree exchanged, and all checkpoints deleted, while the process lives."""
    checkpoints = Checkpoints(SIGNER, Every())
    checkpoints.look(database, AT)
    for table in ("checkpoints", "records", "tree"):
        change(database, f"DELETE FROM {table}")
    change(database, "INSERT INTO tree VALUES (1, 0, '')")
    write(database, [closed(number) for number in range(100, 130)])
    assert checkpoints.look(database, AT + 100) is None
    assert checkpoints.look(database, AT + 200) is None
    assert [one for one in caplog.messages if "not what this process saw" in one] == caplog.messages[:1]
    assert notes(database) == []


def test_a_leaf_that_is_missing_is_not_signed_over(database: Database) -> None:
    checkpoints = Checkpoints(SIGNER, Every())
    checkpoints.look(database, AT)
    write(database, [closed(number) for number in range(20, 30)])
    change(database, "DELETE FROM records WHERE position IN (25, 29)")
    assert checkpoints.look(database, AT, at_once=True) is None


def test_what_was_signed_since_the_start_cannot_be_rewritten_either(database: Database) -> None:
    checkpoints = Checkpoints(SIGNER, Every())
    checkpoints.look(database, AT)
    write(database, [closed(number) for number in range(20, 30)])
    checkpoints.look(database, AT, at_once=True)
    leaves = [leaf for _, leaf in database.run("log_leaves", {"first": 0, "last": 30, "most": 100})]
    forged = Frontier()
    for leaf in [*leaves[:25], leaves[3], *leaves[26:]]:
        forged.append(leaf)
    write(database, [closed(30)])
    (_, leaf) = database.run("log_leaves", {"first": 30, "last": 31, "most": 1})[0]
    forged.append(leaf)
    change(database, "UPDATE records SET leaf = (SELECT leaf FROM records WHERE position = 3) WHERE position = 25")
    database.run("grow_tree", {"size": 31, "frontier": forged.to_bytes()})
    assert checkpoints.look(database, AT, at_once=True) is None


def test_it_is_the_grown_tree_that_is_signed(database: Database) -> None:
    signed = Checkpoints(SIGNER, Every()).look(database, AT)
    assert signed is not None
    leaves = [leaf for _, leaf in database.run("log_leaves", {"first": 0, "last": 20, "most": 100})]
    assert open_checkpoint(signed.note, [SIGNER.verifier]) == Checkpoint("streamweir/test", 20, root_of(leaves))
