"""What a URL names, and what is said of one that names nothing."""

import sys
from pathlib import Path

import pytest

from streamweir.config import load_text
from streamweir.errors import ConfigError
from streamweir.records.configured import records_of
from streamweir.records.opening import open_database


def test_a_file_by_a_relative_and_an_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for url, path in [("sqlite:///here.db", "here.db"), (f"sqlite:///{tmp_path}/there.db", f"{tmp_path}/there.db")]:
        database = open_database(url)
        database.close()
        assert database.kind == "sqlite"
        assert Path(path).exists()


@pytest.mark.parametrize(
    "url",
    ["", "records.db", "sqlite:", "sqlite://", "sqlite:///", "sqlite://records.db", "sqlite:///:memory:", "postgresql:",
     "mysql://u:hidden@h/d"],
)  # fmt: skip
def test_what_names_no_database_is_told_what_would(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"records\.url .* sqlite:///records\.db .* postgresql://") as refusal:
        open_database(url)
    assert "hidden" not in str(refusal.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("scheme", ["postgresql", "postgres"])
def test_postgresql_needs_its_extra(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.delitem(sys.modules, "streamweir.records.postgres", raising=False)
    with pytest.raises(ConfigError, match=r"pip install 'streamweir\[postgres\]'"):
        open_database(f"{scheme}://h/d")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("url = 'records.db'", r"records\.url is of no database .* sqlite:///records\.db"),
        ("checkpoint_every = 0", "checkpoint_every is 0: give a number of records, or a time"),
        ("checkpoint_every = '0s'", "checkpoint_every is '0s': give at least 1 s"),
        ("checkpoint_every = 'often'", "checkpoint_every is 'often': give seconds"),
        ("anchors = ['a.txt', '']", r"anchors\[1\] is '': give a file, or an address"),
        ("anchors = ['ftp://h/a']", r"anchors\[0\] is 'ftp://h/a': give a file, or an address"),
        ("anchors = ['https://']", r"anchors\[0\] is 'https://': give a file, or an address"),
    ],
)
def test_what_cannot_be_used_is_said_before_anything_is_opened(line: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        records_of(load_text(f"[records]\n{line}"), {}, "sqlite:///never.db")
