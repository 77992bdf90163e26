"""What the thread that writes does to the log: it signs, anchors and purges; with a key of its own."""

import asyncio
from pathlib import Path

import pytest
from aiohttp import web

from streamweir.audit.note import split_notes
from streamweir.errors import ConfigError
from streamweir.records import anchors
from streamweir.records.anchors import announce_to, append, send
from streamweir.records.checkpoints import Every, Signed
from streamweir.records.records import Records
from streamweir.records.settings import RecordsSettings
from streamweir.records.signing import signer_of, verifiers_of
from streamweir.records.sqlite import Sqlite
from streamweir.records.upkeep import Upkeep
from tests.unit.records.logs import AT, SIGNER, audited, closed, write

DAY = 86400.0


def settings_of(path: Path, **changed: object) -> RecordsSettings:
    return RecordsSettings(f"sqlite:///{path}")._replace(**changed)


def opened(path: Path) -> Sqlite:
    database = Sqlite(str(path))
    write(database, [closed(number, at=AT + number * DAY) for number in range(10)])
    return database


def bodies(database: Sqlite) -> int:
    return len(database.run("oldest_bodies", {"first": 0, "most": 100}))


def test_a_log_is_signed_with_the_key_beside_it_and_purged(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    database = opened(path)
    upkeep = Upkeep(settings_of(path, anchors=("anchor.txt",)))
    upkeep.start(database)
    keys = tuple(verifiers_of(tmp_path / "a.db.vkey"))
    upkeep.look(database, AT + 11 * DAY - 30)
    assert bodies(database) == 6
    upkeep.end(database, AT + 11 * DAY - 30)
    assert audited(database, keys) == []
    sizes = [size for size, _ in database.run("checkpoints_behind", {"size": 0, "most": 9})]
    assert sizes == [10, 11]
    queued = [row[0] for row in database._execute("SELECT target FROM outbox WHERE kind = 'anchor'")]
    assert queued == ["anchor.txt"] * 2
    # looked at again only after a while
    upkeep.look(database, AT + 11 * DAY + 29)
    assert bodies(database) == 6
    upkeep.look(database, AT + 11 * DAY + 30)
    assert bodies(database) == 5
    upkeep.look(database, AT + 30 * DAY)
    assert bodies(database) == 0


def test_a_legal_hold_keeps_all(tmp_path: Path) -> None:
    database = opened(tmp_path / "a.db")
    upkeep = Upkeep(settings_of(tmp_path / "a.db", legal_hold=True))
    upkeep.start(database)
    upkeep.look(database, AT + 900 * DAY)
    assert bodies(database) == 10


def test_records_that_are_started_and_stopped_are_signed(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    opened(path).close()
    records = Records(settings_of(path, legal_hold=True, every=Every(records=1, seconds=1)))
    records.start()
    records.stop()
    database = Sqlite(str(path), read_only=True)
    assert audited(database, tuple(verifiers_of(tmp_path / "a.db.vkey"))) == []
    assert database.run("newest_checkpoint")[0][0] == 10


def test_a_key_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "a.db.key").write_text("no key")
    (tmp_path / "a.db.key").chmod(0o600)
    with pytest.raises(ConfigError, match="no private key"):
        Records(settings_of(tmp_path / "a.db")).start()
    signer_of(tmp_path / "b.key")
    records = Records(settings_of(tmp_path / "c.db", signing_key_file=str(tmp_path / "b.key")))
    records.start()
    records.stop()
    assert not (tmp_path / "c.db.key").exists()


def test_notes_are_appended_to_a_file(tmp_path: Path) -> None:
    path = tmp_path / "anchor.txt"
    notes = [SIGNER.sign(f"streamweir/test\n{size}\n{'A' * 43}=\n") for size in range(3)]
    append(str(path), notes[0].encode())
    with path.open("a") as cut:
        cut.write(notes[1][:-50])
    append(str(path), notes[2].encode())
    read = split_notes(path.read_text())
    assert (read[0], read[2], len(read)) == (notes[0], notes[2], 3)
    with pytest.raises(OSError, match="No such file"):
        append(str(tmp_path / "nowhere" / "a"), b"x")


def test_each_anchor_gets_each_checkpoint() -> None:
    announce = announce_to(["a.txt", "https://anchor.example/"])
    first, second = announce(Signed(7, "note", AT))
    assert (first.kind, first.target, second.target, first.body) == (
        "anchor",
        "a.txt",
        "https://anchor.example/",
        b"note",
    )
    assert first.message_id == second.message_id
    assert announce(Signed(7, "another", AT))[0].message_id != first.message_id
    assert announce_to([])(Signed(7, "note", AT)) == []


async def test_notes_are_posted_to_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    got: list[tuple[str, bytes]] = []

    async def take(request: web.Request) -> web.Response:
        got.append((request.headers["content-type"], await request.read()))
        if request.path == "/slow":
            await asyncio.sleep(30)
        if request.path == "/elsewhere":
            raise web.HTTPFound("/")
        return web.Response(status=500 if request.path == "/broken" else 204)

    app = web.Application()
    app.router.add_post("/{path:.*}", take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        await send(url + "/", b"note")
        assert got == [("text/plain; charset=utf-8", b"note")]
        for path in ("/broken", "/elsewhere"):
            with pytest.raises(OSError, match="answered with HTTP (500|302)"):
                await send(url + path, b"note")
        monkeypatch.setattr(anchors, "TIMEOUT", 0.05)
        with pytest.raises(TimeoutError):
            await send(url + "/slow", b"note")
    finally:
        await runner.cleanup()
    with pytest.raises(OSError, match="Cannot connect"):
        await send(url, b"note")


async def test_a_file_is_an_anchor_too(tmp_path: Path) -> None:
    await send(str(tmp_path / "a.txt"), b"note\n")
    assert (tmp_path / "a.txt").read_bytes() == b"\nnote\n"
