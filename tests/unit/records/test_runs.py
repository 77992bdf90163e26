"""Who is dead, and who only looks so: real processes, killed for real."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streamweir.errors import ConfigError
from streamweir.records import ledger
from streamweir.records.database import Database
from streamweir.records.runs import LEASE, Alive, alive_for
from tests.stores import Store, check_log, interrupted, names
from tests.unit.records.process import Process

Begin = Callable[[str], Process]


@pytest.fixture
def begin(store: Store) -> Iterator[Begin]:
    begun: list[Process] = []

    def starting(run: str) -> Process:
        begun.append(Process(store.url, run))
        return begun[-1]

    yield starting
    for process in begun:
        process.kill()


def later(database: Database, seconds: float = LEASE + 1) -> None:
    """All runs were seen so much earlier, and the server began so much earlier: a test that does not wait."""
    if database.kind == "postgres":
        database._connection.execute("UPDATE runs SET seen_at = seen_at - %s", (seconds,))  # type: ignore[attr-defined]


def watching(database: Database, run: str = "watcher") -> Alive:
    alive = alive_for(database)
    alive.begin(database, run, time.time())
    if database.kind == "postgres":
        # the tests' server began a moment ago
        alive._judges_from = 0.0  # type: ignore[attr-defined]
    return alive


def dead_within(alive: Alive, database: Database, seconds: float = 30) -> list[str]:
    """The server needs a moment to see that a killed process' connection is gone."""
    until = time.monotonic() + seconds
    while not (dead := alive.dead(database, time.time())) and time.monotonic() < until:
        time.sleep(0.02)
    return dead


def test_a_killed_process_is_dead_and_its_streams_are_closed(store: Store, begin: Begin) -> None:
    database = store.open()
    alive = watching(database)
    process, other = begin("killed"), begin("other")
    assert process.ask("open", "a", "b", "c") == other.ask("open", "d") == "done"
    assert process.ask("close", "b") == "[True]"
    later(database)
    assert alive.dead(database, time.time()) == []
    process.kill()
    assert dead_within(alive, database) == ["killed"]
    assert ledger.sweep(database, "killed", interrupted, 9.0) == 2
    assert alive.dead(database, time.time()) == []
    assert names(database, "open") == ["d"]
    assert check_log(database) == ["b", "a", "c"]
    assert other.ask("close", "d") == "[True]"


def test_two_that_live_close_none_of_each_others_streams(store: Store, begin: Begin) -> None:
    one, two = begin("one"), begin("two")
    one.ask("open", "a")
    two.ask("open", "b")
    later(store.open())
    assert one.ask("sweep") == two.ask("sweep") == "{}"
    assert one.ask("close", "a") == two.ask("close", "b") == "[True]"


def test_a_killed_process_that_begins_again_closes_its_own(store: Store, begin: Begin) -> None:
    first = begin("first")
    first.ask("open", "a")
    first.kill()
    database = store.open()
    later(database)
    alive = watching(database, "second")
    assert dead_within(alive, database) == ["first"]


def test_a_clean_end_is_no_death_and_leaves_what_is_open(store: Store, begin: Begin) -> None:
    database = store.open()
    alive = watching(database)
    clean, early = begin("clean"), begin("early")
    clean.ask("open", "a")
    assert clean.ask("close", "a") == "[True]"
    early.ask("open", "b")
    clean.ask("end")
    early.ask("end")
    assert names(database, "runs") == ["early", "watcher"]
    later(database)
    assert alive.dead(database, time.time()) == ["early"]
    assert ledger.sweep(database, "early", interrupted, 9.0) == 1
    alive.end(database)
    # the writer may look once more
    alive.renew(database, time.time())
    assert alive.dead(database, time.time()) == []
    assert names(database, "runs") == []


def test_one_that_was_swept_while_it_lived_hears_so_and_goes_on(store: Store, begin: Begin) -> None:
    database = store.open()
    process = begin("swept")
    process.ask("open", "a", "b")
    assert ledger.sweep(database, "swept", interrupted, 9.0) == 2
    process.ask("open", "c")
    assert process.ask("close", "a", "c") == "[False, True]"
    assert check_log(database) == ["a", "b", "c"]
    # what it opens from now on is found again, should it die
    process.ask("renew")
    process.ask("open", "d")
    later(database)
    alive = watching(database)
    assert alive.dead(database, time.time()) == []
    process.kill()
    assert dead_within(alive, database) == ["swept"]


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
def test_a_run_has_one_process(store: Store, begin: Begin) -> None:
    begin("one")
    with pytest.raises(ConfigError, match="written by another process"):
        alive_for(store.open()).begin(store.open(), "one", 1.0)


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
def test_files_of_runs_are_private_and_leave_with_them(store: Store, begin: Begin) -> None:
    database = store.open()
    folder = Path(database.path + ".runs")  # type: ignore[attr-defined]
    alive = watching(database)
    begin("killed").kill()
    assert sorted(path.name for path in folder.iterdir()) == ["killed", "watcher"]
    assert {path.stat().st_mode & 0o777 for path in [folder, *folder.iterdir()]} == {0o700, 0o600}
    assert alive.dead(database, 1.0) == ["killed"]
    assert [path.name for path in folder.iterdir()] == ["watcher"]
    alive.end(database)
    assert not folder.exists()


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
def test_a_file_that_somebody_removed_is_made_again(store: Store, begin: Begin) -> None:
    database = store.open()
    alive = watching(database)
    process = begin("tidied")
    Path(database.path + ".runs/tidied").unlink()  # type: ignore[attr-defined]
    process.ask("renew")
    assert alive.dead(database, 1.0) == []


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
def test_a_database_under_another_name_has_the_same_runs(store: Store, begin: Begin, tmp_path: Path) -> None:
    begin("one")
    (tmp_path / "link.db").symlink_to(tmp_path / "records.db")
    database = Store("sqlite", f"sqlite:///{tmp_path}/link.db").open()
    assert watching(database).dead(database, 1.0) == []
    database.close()


@pytest.mark.check
@pytest.mark.parametrize("store", ["postgres"], indirect=True)
class TestSessions:
    def test_a_lost_connection_is_no_death_before_its_time_is_over(self, store: Store, begin: Begin) -> None:
        database = store.open()
        alive = watching(database)
        process = begin("lost")
        process.ask("open", "a")
        process.ask("reconnect")
        assert alive.dead(database, time.time()) == []
        # back in time: its lock is held again, however long ago it was seen
        process.ask("renew")
        later(database)
        assert alive.dead(database, time.time()) == []
        # and once more, but not back in time
        process.ask("reconnect")
        later(database)
        assert dead_within(alive, database) == ["lost"]

    def test_one_that_was_away_itself_gives_the_others_time(self, store: Store, begin: Begin) -> None:
        first = store.open()
        alive = watching(first)
        begin("killed").kill()
        later(first)
        assert dead_within(alive, first) == ["killed"]
        database = store.open()
        ((now, _),) = database.run("session_clock")
        assert alive.dead(database, time.time()) == []
        assert alive._judges_from >= now + LEASE  # type: ignore[attr-defined]
        alive._judges_from -= LEASE  # type: ignore[attr-defined]
        assert alive.dead(database, time.time()) == ["killed"]

    def test_a_server_that_began_a_moment_ago_knows_nothing_of_the_living(self, store: Store) -> None:
        database = store.open()
        alive = alive_for(database)
        alive.begin(database, "watcher", time.time())
        ((_, started),) = database.run("session_clock")
        assert alive._judges_from == started + LEASE  # type: ignore[attr-defined]

    def test_a_session_that_the_server_still_believes_in_keeps_the_lock(self, store: Store) -> None:
        """The connection is new, and the old one's end has not come to the server yet."""
        database, stale, watcher = store.open(), store.open(), store.open()
        alive, eyes = alive_for(stale), watching(watcher)
        alive.begin(stale, "moved", time.time())
        alive.renew(database, time.time())
        later(watcher)
        assert eyes.dead(watcher, time.time()) == []
        stale.close()
        while not alive._held:  # type: ignore[attr-defined]
            alive.renew(database, time.time())
        later(watcher)
        assert eyes.dead(watcher, time.time()) == []
