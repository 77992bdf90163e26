"""Tokens kept in a file: encrypted, for their owner's eyes, for nobody else's use."""

import stat
import subprocess
import sys
import time
from base64 import b64encode
from pathlib import Path

import pytest

from streamweir.client.token_store import FileStore, store_of
from streamweir.errors import ConfigError
from streamweir.genesys.login import Grant

KEY = b64encode(bytes(range(32))).decode()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens.json"


def test_a_token_is_kept_and_found_by_its_own_name_only(path: Path) -> None:
    store = FileStore(str(path), KEY, "client a")
    assert store.load() is None
    store.save(Grant("tok-1", 300.0))
    kept = FileStore(str(path), KEY, "client a").load()
    assert kept is not None
    assert kept.value == "tok-1"
    assert 298 < kept.expires_at - time.monotonic() <= 300
    assert FileStore(str(path), KEY, "client b").load() is None
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert b"tok-1" not in path.read_bytes()
    assert [p.name for p in path.parent.iterdir() if "lock" not in p.name] == ["tokens.json"]


def test_a_refused_token_is_dropped_and_a_newer_one_stays(path: Path) -> None:
    store = FileStore(str(path), KEY, "a")
    store.save(Grant("tok-2", 300.0))
    store.drop("tok-1")
    assert store.load().value == "tok-2"
    store.drop("tok-2")
    assert store.load() is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"x": 1}'])
def test_a_damaged_file_counts_as_empty(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    store = FileStore(str(path), KEY, "a")
    assert store.load() is None
    store.save(Grant("tok", 300.0))
    assert store.load().value == "tok"


def test_another_key_opens_nothing_and_entries_cannot_be_swapped(path: Path) -> None:
    FileStore(str(path), KEY, "a").save(Grant("tok-a", 300.0))
    FileStore(str(path), KEY, "b").save(Grant("tok-b", 300.0))
    assert FileStore(str(path), b64encode(bytes(32)).decode(), "a").load() is None
    import json

    entries = json.loads(path.read_text())
    path.write_text(json.dumps(dict(zip(entries, reversed(entries.values()), strict=True))))
    assert FileStore(str(path), KEY, "a").load() is None


def test_a_token_whose_life_is_over_is_none(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FileStore(str(path), KEY, "a")
    store.save(Grant("tok", 300.0))
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 301)
    assert store.load() is None
    # a clock that was set back: the token would seem to come from the future
    monkeypatch.setattr(time, "time", lambda: real() - 3600)
    assert store.load() is None


@pytest.mark.parametrize("key", [None, "", "short", b64encode(b"x" * 16).decode(), "%%%"])
def test_a_file_without_a_proper_key_is_a_mistake(path: Path, key: str | None) -> None:
    with pytest.raises(ConfigError, match="make one with: python3"):
        store_of(f"file:{path}", key, "a")


@pytest.mark.parametrize("kind", ["disk", "file:", "redis://x"])
def test_other_stores_are_unknown(kind: str) -> None:
    with pytest.raises(ConfigError, match='give "memory", or "file:PATH"'):
        store_of(kind, KEY, "a")
    assert store_of("memory", None, "a") is None


def test_many_processes_write_without_harm(path: Path) -> None:
    code = (
        "import sys; from streamweir.client.token_store import FileStore; from streamweir.genesys.login import Grant\n"
        "store = FileStore(sys.argv[1], sys.argv[2], sys.argv[3])\n"
        "for n in range(40): store.save(Grant(f'{sys.argv[3]}-{n}', 300.0))\n"
    )
    names = ["p1", "p2", "p3"]
    running = [subprocess.Popen([sys.executable, "-c", code, str(path), KEY, name]) for name in names]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    assert [FileStore(str(path), KEY, name).load().value for name in names] == [f"{name}-39" for name in names]


def test_a_folder_that_cannot_be_written_costs_nothing_but_the_keeping(tmp_path: Path) -> None:
    store = FileStore(str(tmp_path / "no" / "such" / "tokens"), KEY, "a")
    store.save(Grant("tok", 300.0))
    assert store.load() is None
    assert not list(tmp_path.iterdir())
