"""Leases, ends and dead letters of the outbox, on both databases."""

import threading
from contextlib import nullcontext, suppress

import pytest

from streamweir.flows.delivery import Next
from streamweir.records import ledger, outbox
from streamweir.records.database import Database, DatabaseError
from streamweir.records.ledger import Delivery
from streamweir.records.outbox import Filter, Leased, Settled, Wanted
from tests.stores import Store, interrupted

NOW = 1000.0
A = Wanted("webhook", "a", 10)


@pytest.fixture
def database(store: Store) -> Database:
    return store.open()


def put(database: Database, *ids: str, kind: str = "webhook", target: str = "a", at: float = NOW) -> None:
    with database.transaction(durable=False):
        for one in ids:
            outbox.enqueue(database, f"rec_{one}", [Delivery(one, kind, target, "s", one.encode())], at)


def take(database: Database, lease: str, *wanted: Wanted, now: float = NOW, seconds: float = 60.0) -> list[Leased]:
    return outbox.turn(database, [], wanted or [A], lease, now, now + seconds)


def settle(database: Database, *settled: Settled, now: float = NOW) -> None:
    outbox.turn(database, settled, [], "none", now, now)


def states(database: Database) -> dict[str, str]:
    return {one.message_id: one.state for one in outbox.listed(database, Filter())}


def test_what_is_due_is_leased_once_and_oldest_first(database: Database) -> None:
    put(database, "new", at=NOW)
    put(database, "old", at=NOW - 1)
    put(database, "later", at=NOW + 1)
    put(database, "elsewhere", target="b")
    put(database, "vector", kind="vectors")
    first = take(database, "r.1")
    assert [one.message_id for one in first] == ["old", "new"]
    assert first[0] == Leased("old", "rec_old", "webhook", "a", "s", NOW - 1, 1, b"old", "r.1")
    assert take(database, "r.2") == []
    assert [one.message_id for one in take(database, "r.3", Wanted("webhook", "b", 1), Wanted("vectors", "a", 1))] == [
        "elsewhere",
        "vector",
    ]


def test_what_a_dead_run_had_leased_is_due_at_once(database: Database) -> None:
    put(database, "a", "b")
    assert len(take(database, "dead.1", Wanted("webhook", "a", 1))) == 1
    assert len(take(database, "deadly.1", Wanted("webhook", "a", 1))) == 1
    assert take(database, "alive.1") == []
    ledger.sweep(database, "dead", interrupted, NOW)
    assert [one.message_id for one in take(database, "alive.2")] == ["a"]


def test_no_more_are_leased_than_wanted(database: Database) -> None:
    put(database, *"abcde")
    assert len(take(database, "r.1", Wanted("webhook", "a", 2))) == 2
    assert len(take(database, "r.2", Wanted("webhook", "a", 9))) == 3


def test_an_expired_lease_is_taken_over_and_its_holder_has_no_say_any_more(database: Database) -> None:
    put(database, "m")
    (mine,) = take(database, "r.1")
    assert take(database, "q.1", now=NOW + 59.9) == []
    (theirs,) = take(database, "q.2", now=NOW + 60.0)
    assert (theirs.attempts, theirs.lease) == (2, "q.2")
    for follows in (Next("done"), Next("dead"), Next("due", NOW), Next("dead", disable=False), None):
        settle(database, Settled(mine, follows, "no"))
        assert states(database) == {"m": "leased"}
    settle(database, Settled(theirs, Next("done")))
    assert states(database) == {}


def test_what_failed_comes_again_when_it_is_due(database: Database) -> None:
    put(database, "m")
    (one,) = take(database, "r.1")
    settle(database, Settled(one, Next("due", NOW + 5), "x" * 1000))
    (entry,) = outbox.listed(database, Filter())
    assert (entry.state, entry.due_at, entry.attempts, entry.error) == ("due", NOW + 5, 1, "x" * 300)
    assert take(database, "r.2", now=NOW + 4) == []
    assert take(database, "r.3", now=NOW + 5)[0].attempts == 2


def test_what_is_given_back_was_not_tried(database: Database) -> None:
    put(database, "m")
    (one,) = take(database, "r.1")
    settle(database, Settled(one, None))
    assert take(database, "r.2")[0].attempts == 1


def test_a_dead_letter_stays_until_somebody_says_what_becomes_of_it(database: Database) -> None:
    put(database, "m", "n")
    for one in take(database, "r.1"):
        settle(database, Settled(one, Next("dead"), "HTTP 500"))
    assert take(database, "r.2", now=NOW + 1e9) == []
    assert outbox.retry(database, Filter(id="m"), NOW + 9) == 1
    assert [(one.message_id, one.attempts) for one in take(database, "r.3", now=NOW + 9)] == [("m", 1)]
    assert outbox.drop(database, Filter(state="dead")) == 1
    assert states(database) == {"m": "leased"}


def test_a_target_that_is_gone_gets_nothing_until_it_is_retried(database: Database) -> None:
    put(database, "m", "n", "o")
    put(database, "p", target="b")
    first, second = take(database, "r.1", Wanted("webhook", "a", 2))
    settle(database, Settled(first, Next("dead", disable=True), "HTTP 410"))
    assert states(database) == {"m": "dead", "n": "leased", "o": "dead", "p": "due"}
    settle(database, Settled(second, Next("due", NOW + 5), "HTTP 500"))
    put(database, "not wanted")
    assert take(database, "r.2", now=NOW + 5) == []
    assert states(database) == {"m": "dead", "n": "dead", "o": "dead", "p": "due"}
    assert outbox.disabled(database) == [("webhook", "a", NOW, "HTTP 410")]
    assert outbox.retry(database, Filter(target="a"), NOW + 6) == 3
    assert outbox.disabled(database) == []
    put(database, "wanted")
    assert len(take(database, "r.3", now=NOW + 6)) == 4


@pytest.mark.parametrize(
    ("chosen", "found"),
    [
        (Filter(), 4),
        (Filter(kind="webhook"), 3),
        (Filter(target="b"), 1),
        (Filter(id="m"), 1),
        (Filter(id="rec_m"), 1),
        (Filter(state="dead"), 0),
        (Filter("webhook", "a", "due", "n"), 1),
        (Filter("vectors", "a", "due", "n"), 0),
    ],
)
def test_filters(database: Database, chosen: Filter, found: int) -> None:
    put(database, "m", "n")
    put(database, "o", target="b")
    put(database, "p", kind="vectors")
    assert len(outbox.listed(database, chosen)) == found
    assert outbox.retry(database, chosen, NOW) == found
    assert outbox.drop(database, chosen) == found
    assert len(states(database)) == 4 - found


def test_leased_ones_are_left_alone(database: Database) -> None:
    put(database, "m")
    take(database, "r.1")
    assert (outbox.retry(database, Filter(), NOW), outbox.drop(database, Filter())) == (0, 0)
    assert states(database) == {"m": "leased"}


def test_a_retry_by_id_enables_its_target_only(database: Database) -> None:
    for target in "ab":
        put(database, f"m{target}", target=target)
        (one,) = take(database, f"r.{target}", Wanted("webhook", target, 1))
        settle(database, Settled(one, Next("dead", disable=True), "HTTP 410"))
    outbox.retry(database, Filter(id="ma"), NOW)
    assert [target for _, target, _, _ in outbox.disabled(database)] == ["b"]
    assert {one.target: one.state for one in outbox.listed(database, Filter())} == {"a": "due", "b": "dead"}


def test_dead_letters_end_with_the_retention(database: Database) -> None:
    put(database, "old", "due", at=NOW - 100)
    put(database, "new", at=NOW)
    for one in take(database, "r.1"):
        if one.message_id != "due":
            settle(database, Settled(one, Next("dead"), "HTTP 500"))
    outbox.drop_old(database, 50, NOW)
    assert states(database) == {"due": "leased", "new": "dead"}


def test_what_nobody_delivers_ends_too_a_week_later_at_least(database: Database) -> None:
    put(database, "unclaimed", at=NOW)
    outbox.drop_old(database, 50, NOW + outbox.UNCLAIMED - 1)
    assert states(database) == {"unclaimed": "due"}
    outbox.drop_old(database, 2 * outbox.UNCLAIMED, NOW + outbox.UNCLAIMED + 1)
    assert states(database) == {"unclaimed": "due"}
    outbox.drop_old(database, 50, NOW + outbox.UNCLAIMED + 1)
    assert states(database) == {}


def test_looking_for_what_is_due_reads_an_index(database: Database) -> None:
    """A dead endpoint's backlog must not be read for another one's deliveries."""
    if database.kind != "sqlite":
        pytest.skip("PostgreSQL plans by statistics, and a table this small is scanned")
    for name in ("is_due", "is_left", "take_over", "lease_due_sqlite", "leased_now"):
        text = database._statements[name]
        plan = database._connection.execute(
            f"EXPLAIN QUERY PLAN {text}",
            {"kind": "k", "target": "t", "now": 1, "lease": "l", "until": 2, "most": 1},
        ).fetchall()
        steps = [row[3] for row in plan]
        assert not [step for step in steps if step.startswith("SCAN")], (name, steps)
        if name in ("lease_due_sqlite", "is_due"):
            assert any("outbox_due (kind=? AND target=? AND state=? AND due_at<?)" in step for step in steps), steps


def test_connections_that_lease_at_once_never_get_the_same(store: Store) -> None:
    """On PostgreSQL nobody waits for another's lease."""
    databases = [store.open() for _ in range(4)]
    put(databases[0], *(f"m{number:03}" for number in range(200)))
    taken: list[list[Leased]] = [[] for _ in databases]
    together = threading.Barrier(len(databases))

    def work(number: int) -> None:
        together.wait()
        for turn in range(200):
            # SQLite's one lock may be waited for too long; PostgreSQL must never come to that
            with suppress(DatabaseError) if store.kind == "sqlite" else nullcontext():
                taken[number] += take(databases[number], f"r{number}.{turn}", Wanted("webhook", "a", 1 + turn % 5))
            if len(states_left(databases[number])) == 0:
                return

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(databases))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ids = [one.message_id for mine in taken for one in mine]
    assert sorted(ids) == [f"m{number:03}" for number in range(200)]
    assert all(one.attempts == 1 for mine in taken for one in mine)


def states_left(database: Database) -> list[str]:
    return [one.message_id for one in outbox.listed(database, Filter(state="due"))]
