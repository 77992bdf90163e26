"""What is measured: its configuration, and what is said where it is missing."""

from pathlib import Path

import pytest
from bench.peers import knee, proxies, settings
from bench.peers.proxies import COLUMNS, LITELLM_PROXY, OFF, ON, PORTKEY_GATEWAY, QUICK, TUTORIAL, Place, environ
from bench.texts import terms

from streamweir.config import load_text


@pytest.mark.parametrize("words", [None, "/somewhere/terms.txt"])
def test_our_configuration_is_one(words: str | None) -> None:
    config = load_text(settings.streamweir(9100, words))
    assert config.profiles[settings.MODEL].guard == ("on" if words else "off")
    assert config.server.max_streams > knee.MOST
    if words:
        guard = config.guards["on"]
        assert (guard.output, guard.recognisers, guard.terms_file) == ("redact", None, words)


def test_the_guard_has_all_terms(tmp_path: Path) -> None:
    command = ON.command(Place(1, 2, tmp_path))
    config = load_text(Path(command[command.index("-c") + 1]).read_text())
    assert Path(config.guards["on"].terms_file or "").read_text().splitlines() == terms()
    assert len(terms()) == 1000


def test_what_is_missing_is_named_with_what_gets_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(proxies.shutil, "which", lambda name, path=None: f"/usr/bin/{name}")
    monkeypatch.setattr(proxies, "LITELLM", tmp_path / "litellm")
    assert LITELLM_PROXY.missing() == "make bench-peers"
    assert proxies._node(tmp_path / "portkey") == "make bench-peers"
    assert proxies._node(tmp_path) == ""
    monkeypatch.setattr(proxies.shutil, "which", lambda name, path=None: None)
    assert [one.missing() for one in (PORTKEY_GATEWAY, TUTORIAL, proxies.NGINX)] == ["make deps"] * 3
    assert OFF.missing() == ""


def test_nginx_comes_first_and_quick_is_a_part() -> None:
    assert COLUMNS[0].proxy is proxies.NGINX
    names = ["nginx", "streamweir, guard off", "streamweir, guard on", "streamweir, guard off, records on"]
    assert [one.name for one in QUICK] == names
    assert len({one.name for one in COLUMNS}) == len(COLUMNS)


def test_a_proxy_sees_nothing_of_this_machines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STREAMWEIR_API_KEY", "secret")
    monkeypatch.setenv("HTTP_PROXY", "http://somewhere")
    seen = environ(OFF, tmp_path)
    assert seen.keys() == {"PATH", "HOME", "LANG", "NO_PROXY", "PYTHONPATH"}
    assert seen["HOME"] == str(tmp_path)
