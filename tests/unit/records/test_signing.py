import os
import stat
from pathlib import Path

import pytest

from streamweir.audit.note import Signer
from streamweir.errors import ConfigError
from streamweir.records.signing import key_file, signer_of, verifiers_of, vkey_file


def test_a_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "records.db.key"
    signer = signer_of(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert signer.name.startswith("streamweir/")
    assert signer_of(path).skey == signer.skey
    assert vkey_file(path) == tmp_path / "records.db.vkey"
    assert verifiers_of(vkey_file(path)) == [signer.verifier]
    assert sorted(one.name for one in tmp_path.iterdir()) == ["records.db.key", "records.db.vkey"]
    assert signer_of(tmp_path / "other.key").name != signer.name


def test_a_key_that_was_taken_away_is_followed_by_one_of_the_same_name(tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    first = signer_of(path)
    path.unlink()
    second = signer_of(path)
    assert second.name == first.name
    assert second.skey != first.skey
    assert verifiers_of(vkey_file(path)) == [first.verifier, second.verifier]


def test_two_processes_that_start_at_once_get_one_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.key"
    link = os.link
    others: list[Signer] = []

    def raced(source: Path, target: Path) -> None:
        if not others:
            others.append(Signer("streamweir/other", bytes(32)))
            path.write_text(others[0].skey)
            path.chmod(0o600)
        link(source, target)

    monkeypatch.setattr(os, "link", raced)
    assert signer_of(path).skey == others[0].skey
    assert path.read_text() == others[0].skey


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_key_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "a.key"
    secret = signer_of(path).skey
    path.chmod(mode)
    with pytest.raises(ConfigError, match="chmod 600") as caught:
        signer_of(path)
    assert secret not in caught.value.message


def test_what_is_no_key_is_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    secret = signer_of(path).skey
    path.write_text(secret[:-9])
    with pytest.raises(ConfigError, match="is not whole|not one of Ed25519") as caught:
        signer_of(path)
    assert secret.rpartition("+")[2][:12] not in caught.value.message
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="no private key"):
        signer_of(path)
    with pytest.raises(ConfigError, match="Not a directory|No such file"):
        signer_of(tmp_path / "nowhere" / "a.key")


def test_where_the_key_is() -> None:
    assert key_file("sqlite:///a/b.db", None) == Path("a/b.db.key")
    assert key_file("sqlite:////var/b.db", None) == Path("/var/b.db.key")
    assert key_file("postgresql://host/db", "/etc/a.key") == Path("/etc/a.key")
    with pytest.raises(ConfigError, match="signing_key_file"):
        key_file("postgresql://host/db", None)


def test_public_keys_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--key FILE"):
        verifiers_of(tmp_path / "none.vkey")
    for content, said in ((b"", "is empty"), (b"\xff", "cannot be read"), (b"a+b", "is not whole")):
        (tmp_path / "a.vkey").write_bytes(content)
        with pytest.raises(ConfigError, match=said):
            verifiers_of(tmp_path / "a.vkey")
