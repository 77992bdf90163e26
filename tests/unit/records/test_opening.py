"""What a URL names, and what is said of one that names nothing."""

import sys
from pathlib import Path

import pytest

from streamweir.errors import ConfigError
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
