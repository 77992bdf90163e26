"""`streamweir audit` over a real SQLite file that somebody changes: at every record, found and located."""

import json
import shutil
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from streamweir.audit.merkle import Frontier
from streamweir.audit.note import Checkpoint, Signer
from streamweir.audit.record import leaf_of
from streamweir.cli import group
from streamweir.errors import ConfigError
from streamweir.records import anchors
from streamweir.records.checkpoints import Checkpoints, Every
from streamweir.records.signing import signer_of
from streamweir.records.sqlite import Sqlite
from tests.contract.test_cli import run
from tests.unit.records.logs import closed, write

SIZE, EVERY, ANCHORED = 20, 5, 10
POSITIONS = range(SIZE)
Finding = tuple[str, int | None, int | None]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a log of 20 records, checkpoints over 5, 10, 15 and 20, and an anchor over 10."""
    folder = tmp_path_factory.mktemp("log")
    signer = signer_of(folder / "a.db.key")
    database = Sqlite(str(folder / "a.db"))
    checkpoints = Checkpoints(signer, Every())
    now = time.time()
    for start in range(0, SIZE, EVERY):
        rows = range(start, start + EVERY)
        write(
            database,
            [closed(at, subject=f"p{at % 3}", text=f"answer {at}", conversation=f"talk-{at}", at=now) for at in rows],
        )
        signed = checkpoints.look(database, now, at_once=True)
        assert signed is not None
        if signed.size == ANCHORED:
            anchors.append(str(folder / "anchor.txt"), signed.note.encode())
    database.scrub()
    database.close()
    return folder


class Copy:
    """The log once more, to be changed."""

    def __init__(self, log: Path, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "a.db"
        for one in log.iterdir():
            shutil.copy2(one, folder)

    def sql(self, *statements: str, **params: Any) -> None:
        connection = sqlite3.connect(self.path)
        with connection:
            for statement in statements:
                connection.execute(statement, params)
        connection.close()

    def rows(self) -> list[tuple[Any, ...]]:
        connection = sqlite3.connect(self.path)
        found = connection.execute(
            "SELECT position, record_id, nonce, body, leaf FROM records ORDER BY position"
        ).fetchall()
        connection.close()
        return found

    def audit(self, *arguments: str) -> Result:
        return CliRunner().invoke(group, ["audit", *arguments, "--records", f"sqlite:///{self.path}"])

    def found(self, *arguments: str, anchored: bool = True) -> list[Finding]:
        anchor = ["--anchor", str(self.folder / "anchor.txt")] if anchored else []
        result = self.audit("verify", "--json", *anchor, *arguments)
        outcome = json.loads(result.stdout)
        assert result.exit_code == (0 if outcome["intact"] else 1)
        assert outcome["intact"] is (outcome["findings"] == [])
        return [(one["kind"], one["first"], one["last"]) for one in outcome["findings"]]

    def grow_anew(self, signer: Signer | None = None) -> None:
        """Tree and, with the key, checkpoints over what the rows are now."""
        frontier, notes = Frontier(), []
        for number, (*_, leaf) in enumerate(self.rows(), 1):
            frontier.append(leaf)
            if signer and number % EVERY == 0:
                notes.append((number, signer.sign(Checkpoint(signer.name, number, frontier.root()).text)))
        self.sql("UPDATE tree SET size = :size, frontier = :peaks", size=frontier.size, peaks=frontier.to_bytes())
        if signer:
            self.sql("DELETE FROM checkpoints")
            for size, note in notes:
                self.sql("INSERT INTO checkpoints VALUES (:size, 0, :note)", size=size, note=note)


@pytest.fixture
def copy(log: Path, tmp_path: Path) -> Copy:
    return Copy(log, tmp_path)


def around(at: int) -> tuple[int, int]:
    return at // EVERY * EVERY, at // EVERY * EVERY + EVERY - 1


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def test_an_untouched_log_is_intact(copy: Copy) -> None:
    assert copy.found() == []
    result = copy.audit("verify", "--anchor", str(copy.folder / "anchor.txt"))
    assert result.exit_code == 0
    assert "20 records of streamweir/" in result.output
    assert "intact; signed up to 20, anchored outside up to 10" in result.output


@pytest.mark.parametrize("at", POSITIONS)
def test_a_byte_changed(copy: Copy, at: int) -> None:
    _, record_id, nonce, body, leaf = copy.rows()[at]
    for column, value, kinds in (
        ("body", flipped(body, len(body) // 2), [("leaf", at, at)]),
        ("body", body[:-1] + b"\xff", [("leaf", at, at)]),
        ("nonce", flipped(nonce, 3), [("leaf", at, at)]),
        ("leaf", flipped(leaf, 31), [("leaf", at, at), ("root", *around(at)), ("tree", None, None)]),
        ("record_id", f"{record_id}x", [("columns", at, at), ("text_missing", at, at)]),
        ("record_id", b"\xff\xfe", [("columns", at, at), ("text_missing", at, at)]),
        ("kind", "purged", [("signed_record", at, at), ("columns", at, at)]),
        ("body", "text, and no bytes", [("leaf", at, at)]),
        ("body", None, [("half", at, at)]),
    ):
        cast = "CAST(:value AS TEXT)" if column in ("record_id", "kind") else ":value"
        copy.sql(f"UPDATE records SET {column} = {cast} WHERE position = {at}", value=value)
        found = copy.found()
        # an anchor in the same range says so too
        assert [one for one in found if one[0] != "rewritten"] == kinds, column
        old = {"body": body, "nonce": nonce, "leaf": leaf, "record_id": record_id, "kind": "stream"}[column]
        copy.sql(f"UPDATE records SET {column} = :value WHERE position = {at}", value=old)
    assert copy.found() == []


@pytest.mark.parametrize("at", POSITIONS)
def test_a_record_replaced_deleted_inserted_and_moved(copy: Copy, log: Path, at: int) -> None:
    def put_back() -> None:
        shutil.copy2(log / "a.db", copy.path)

    def first_root() -> tuple[int | None, int | None]:
        return next(one[1:] for one in copy.found(anchored=False) if one[0] in ("root", "cut"))

    body = b'{"kind":"stream","record_id":"rec-%04d"}' % at
    leaf = leaf_of(bytes(16), body)
    copy.sql(
        f"UPDATE records SET nonce = zeroblob(16), body = :body, leaf = :leaf WHERE position = {at}",
        body=body,
        leaf=leaf,
    )
    copy.grow_anew()
    assert first_root() == around(at)
    put_back()
    copy.sql(f"DELETE FROM records WHERE position = {at}")
    assert copy.found()[0] == (("gap", at, at) if at < SIZE - 1 else ("cut", 15, 19))
    # with the positions put right; a primary key is moved by way of numbers that are free
    copy.sql(
        f"UPDATE records SET position = -position WHERE position > {at}",
        "UPDATE records SET position = -position - 1 WHERE position < 0",
    )
    copy.grow_anew()
    assert first_root() == around(at)
    put_back()
    copy.sql(
        f"UPDATE records SET position = -position - 1 WHERE position >= {at}",
        "UPDATE records SET position = -position WHERE position < 0",
    )
    copy.sql(
        "INSERT INTO records VALUES (:at, 'new', 'stream', 0, :leaf, zeroblob(16), :body)", at=at, leaf=leaf, body=body
    )
    copy.grow_anew()
    assert first_root() == around(at)
    put_back()
    other = (at + 7) % SIZE
    copy.sql(
        f"UPDATE records SET position = 99 WHERE position = {at}",
        f"UPDATE records SET position = {at} WHERE position = {other}",
        f"UPDATE records SET position = {other} WHERE position = 99",
    )
    copy.grow_anew()
    assert first_root() == around(min(at, other))


@pytest.mark.parametrize("size", POSITIONS)
def test_the_tail_cut(copy: Copy, size: int) -> None:
    copy.sql(f"DELETE FROM records WHERE position >= {size}")
    copy.grow_anew()
    assert ("cut", size // EVERY * EVERY, SIZE - 1) in copy.found()
    # with the checkpoints that told of it, what is left is what the log once was: only what is outside knows more
    copy.sql(f"DELETE FROM checkpoints WHERE size > {size}")
    copy.sql("DELETE FROM texts WHERE record_id NOT IN (SELECT record_id FROM records)")
    unsigned = [("unsigned", 0, size - 1)] if 0 < size < EVERY else []
    assert copy.found(anchored=False) == unsigned
    assert copy.found() == ([("rolled_back", 0, ANCHORED - 1)] if size < ANCHORED else [])


@pytest.mark.parametrize("at", POSITIONS)
def test_the_tail_rewritten_and_signed_with_the_stolen_key(copy: Copy, at: int) -> None:
    """Found up to the last outside anchor, and nothing of it behind that one: docs/audit.md says so."""
    for position, record_id, *_ in copy.rows()[at:]:
        body = json.dumps({"kind": "stream", "record_id": record_id}).encode()
        leaf = leaf_of(bytes(16), body)
        copy.sql(
            "UPDATE records SET nonce = zeroblob(16), body = :body, leaf = :leaf WHERE position = :at",
            body=body,
            leaf=leaf,
            at=position,
        )
        copy.sql("DELETE FROM texts WHERE record_id = :id", id=record_id)
    copy.grow_anew(signer_of(copy.folder / "a.db.key"))
    assert copy.found(anchored=False) == []
    assert copy.found() == ([("rewritten", 0, ANCHORED - 1)] if at < ANCHORED else [])


def test_all_signed_with_another_key_that_was_put_beside_it(copy: Copy) -> None:
    kept = copy.folder / "kept.vkey"
    shutil.copy2(copy.folder / "a.db.vkey", kept)
    (copy.folder / "a.db.key").unlink()
    thief = signer_of(copy.folder / "a.db.key")
    (copy.folder / "a.db.vkey").write_text(thief.verifier.vkey + "\n")
    copy.grow_anew(thief)
    assert copy.found(anchored=False) == []
    assert copy.found() == [("anchor", None, None)]
    assert {one[0] for one in copy.found("--key", str(kept), anchored=False)} == {"checkpoint", "unsigned"}


@pytest.mark.parametrize("at", POSITIONS)
def test_one_record(copy: Copy, at: int) -> None:
    name = f"rec-{at:04}"
    assert copy.found("--record", name) == []
    copy.sql(f"UPDATE records SET body = body || x'20' WHERE position = {at}")
    assert ("leaf", at, at) in copy.found("--record", name)
    copy.sql(f"UPDATE records SET leaf = zeroblob(32) WHERE position = {at}")
    kinds = [kind for kind, *_ in copy.found("--record", name)]
    # by the checkpoint, and by the anchor where it is as old
    assert kinds.count("root") == (2 if at < ANCHORED else 1)
    assert copy.audit("verify", "--record", "rec-none").exit_code == 1


def test_a_record_that_is_not_signed_yet(copy: Copy) -> None:
    database = Sqlite(str(copy.path))
    write(database, [closed(20)])
    database.close()
    assert copy.found() == []
    assert copy.found("--record", "rec-0020") == [("unsigned", 20, 20)]
    copy.sql("DELETE FROM checkpoints")
    assert copy.found("--record", "rec-0001", anchored=False) == [("unsigned", 1, 1)]


def test_an_export_is_verified_without_the_store(copy: Copy) -> None:
    file, part = copy.folder / "all.jsonl", copy.folder / "part.jsonl"
    assert copy.audit("export", "-o", str(file)).exit_code == 0
    part.write_text(copy.audit("export", "--record", "rec-0007").stdout)
    assert copy.audit("export", "--record", "rec-none").exit_code == 1
    key = str(copy.folder / "kept.vkey")
    shutil.copy2(copy.folder / "a.db.vkey", key)
    copy.path.unlink()
    for one in (file, part):
        assert copy.found("--export", str(one), "--key", key) == []
        assert copy.found("--export", str(one)) == []
        assert copy.found("--export", str(one), "--record", "rec-0007") == []
    assert json.loads(copy.audit("verify", "--json", "--export", str(part), "--key", key).stdout)["left_out"] == 19
    lines = part.read_text().splitlines(keepends=True)
    at = next(number for number, line in enumerate(lines) if '"rec-0007"' in line)
    file.write_text("".join([*lines[:at], lines[at].replace("completed", "truncated"), *lines[at + 1 :]]))
    assert ("leaf", 7, 7) in copy.found("--export", str(file), "--key", key)
    file.write_text("".join(lines[:-1]))
    assert ("export", None, None) in copy.found("--export", str(file), "--key", key)
    file.write_text("no export")
    result = copy.audit("verify", "--export", str(file))
    assert (result.exit_code, f"{file}: this is no export of an audit log" in result.output) == (1, True)


def test_show(copy: Copy) -> None:
    lines = copy.audit("show", "-n", "3").output.splitlines()
    assert [line.split()[:3] for line in lines] == [[str(at), f"rec-{at:04}", "stream"] for at in (17, 18, 19)]
    assert len(json.loads(copy.audit("show", "--json").output)["records"]) == SIZE
    for name in ("rec-0007", "req-7"):
        shown = json.loads(copy.audit("show", name).output)
        assert (shown["position"], shown["body"]["report"]["request_id"]) == (7, "req-7")
        assert "text" not in shown
    assert json.loads(copy.audit("show", "rec-0007", "--text").output)["text"] == "answer 7"
    assert "no record of the id or request x" in copy.audit("show", "x").output
    copy.sql("UPDATE records SET body = x'ff' WHERE position = 19")
    assert copy.audit("show", "-n", "1").exit_code == 0
    assert json.loads(copy.audit("show", "rec-0019").output)["body"] == "\ufffd"


def test_forget_and_purge(copy: Copy) -> None:
    result = copy.audit("forget", "p1", "--json")
    assert json.loads(result.stdout) == {"records": 7, "texts": 7, "passages": 0, "deliveries": 0}
    assert "deleted of 1 records: 1 texts" in copy.audit("forget", "talk-0").output
    assert "nothing is kept" in copy.audit("forget", "p1").output
    assert copy.found() == []
    copy.sql("UPDATE records SET closed_at = closed_at - 8 * 86400 WHERE position < 12")
    assert json.loads(copy.audit("purge", "--json").output) == {
        "rule": "7d",
        "records": 12,
        "texts": 7,
        "passages": 0,
        "deliveries": 0,
    }
    assert "0 bodies and 0 texts were purged" in copy.audit("purge").output
    assert copy.found() == []
    outcome = json.loads(copy.audit("verify", "--json").output)
    assert (outcome["records"], outcome["purged"], outcome["signed"]) == (23, 12, 23)
    assert "purged" in copy.audit("show", "-n", "1").output
    # what was deleted is in none of the files, nor whose it was
    content = b"".join(one.read_bytes() for one in copy.folder.iterdir())
    assert b"answer 13" not in content
    assert b"answer 14" in content


@pytest.mark.parametrize("subject", ["p9", "talk-9"])
def test_forget_reaches_the_vectors(copy: Copy, subject: str) -> None:
    for number, (whose, talk) in enumerate((("p9", "talk-9"), ("p8", "talk-8"), ("p9", "talk-9"))):
        copy.sql(
            "INSERT INTO passages (collection, tenant, request_id, chunk, embedder, dimension, vector, record_id, subject,"
            " conversation_id, model, guard, status, created_at, start_at, end_at, text)"
            " VALUES ('c', 't', :id, 0, 'e', 1, zeroblob(4), :id, :whose, :talk, 'm', 'off', 'completed', 0, 0, 1, :text)",
            id=f"v{number}",
            whose=whose,
            talk=talk,
            text=f"passage of {whose}",
        )
    expected = {"records": 1, "texts": 1} if subject == "talk-9" else {"records": 0, "texts": 0}
    assert json.loads(copy.audit("forget", subject, "--json").stdout) == {**expected, "passages": 2, "deliveries": 0}
    assert copy.found() == []
    content = b"".join(one.read_bytes() for one in copy.folder.iterdir())
    assert (b"passage of p9" in content, b"passage of p8" in content) == (False, True)


def test_what_is_not_done(copy: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*arguments: str) -> str:
        result = copy.audit(*arguments)
        assert isinstance(result.exception, ConfigError)
        return result.exception.message

    (copy.folder / "a.db.key").rename(copy.folder / "elsewhere")
    assert "there is no signing key" in refused("forget", "p1")
    (copy.folder / "elsewhere").rename(copy.folder / "a.db.key")
    hold = copy.folder / "hold.toml"
    hold.write_text("[records]\nlegal_hold = true\n")
    for arguments in (("purge",), ("forget", "p1")):
        assert "legal_hold is set" in refused(*arguments, "-c", str(hold))
    off = copy.folder / "off.toml"
    off.write_text('[records]\nurl = "off"\n')
    result = CliRunner().invoke(group, ["audit", "verify", "-c", str(off)])
    assert isinstance(result.exception, ConfigError)
    assert "there is no log" in result.exception.message
    (copy.folder / "empty").touch()
    assert "holds no checkpoint" in refused("verify", "--anchor", str(copy.folder / "empty"))
    (copy.folder / "a.db.vkey").unlink()
    assert "give --key FILE" in refused("verify")


def test_configured_anchors_are_compared_too(copy: Copy) -> None:
    config = copy.folder / "streamweir.toml"
    anchor = copy.folder / "anchor.txt"
    config.write_text(f'[records]\nanchors = ["{anchor}", "https://anchor.example/"]\n')
    assert json.loads(copy.audit("verify", "--json", "-c", str(config)).output)["anchored"] == ANCHORED
    anchor.unlink()
    result = copy.audit("verify", "-c", str(config))
    assert (result.exit_code, "is not there: it is not compared" in result.output) == (0, True)


def test_exit_codes_of_the_command_itself(copy: Copy) -> None:
    url = f"sqlite:///{copy.path}"
    assert run("audit", "verify", "--records", url).returncode == 0
    copy.sql("UPDATE records SET body = x'00' WHERE position = 3")
    done = run("audit", "verify", "--records", url)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("record 3 (rec-0003): its leaf is not the hash of its nonce and body\n")
    assert "1 finding;" in done.stdout
    assert run("audit", "verify", "--records", "sqlite:///nowhere.db").returncode == 3
    for option in ("--export", "--anchor", "--key"):
        # 1 would be findings
        done = run("audit", "verify", "--records", url, option, "nowhere.txt")
        assert (done.returncode, "nowhere.txt" in done.stderr) == (3, True), done.stderr
