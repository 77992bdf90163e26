"""The audit log of a proxy that runs: signed, anchored, and verified while it is in use; on both databases."""

import json
import time
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from streamweir.audit.note import Checkpoint, split_notes
from streamweir.cli import group
from streamweir.cli.exits import exit_code_of
from streamweir.errors import ConfigError
from streamweir.records.signing import signer_of
from tests.contract.test_cli import start, stop
from tests.stores import Store, postgres_server, store
from tests.unit.records.logs import closed, write

__all__ = ["postgres_server", "store"]

PATIENCE = 20.0
"""Seconds for what takes three when nothing else runs."""


def configured(folder: Path, url: str, upstream: str = "http://127.0.0.1:1") -> Path:
    config = folder / "streamweir.toml"
    config.write_text(
        f"""
[upstreams.sim]
dialect = "sse-gateway"
base_url = "{upstream}"
client_id = "sim-client"
client_secret = "sim-secret"

[profiles.support]
upstream = "sim"
model = "sim-1"

[records]
url = "{url}"
text = true
checkpoint_every = 1
signing_key_file = "{folder}/log.key"
anchors = ["{folder}/anchor.txt"]
"""
    )
    return config


def audit(config: Path, *arguments: str) -> Result:
    return CliRunner().invoke(group, ["audit", *arguments, "-c", str(config)])


def ask(url: str, subject: str) -> None:
    body = {
        "configurationId": "support",
        "messages": [{"role": "user", "content": "hello"}],
        "metadata": {"subject": subject},
    }
    request = urllib.request.Request(
        f"{url}/api/llm/stream", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        assert b'"recorded":true' in response.read()


def anchored(folder: Path) -> int:
    """The largest size that the anchor has."""
    path = folder / "anchor.txt"
    notes = split_notes(path.read_text()) if path.exists() else []
    return max((Checkpoint.of(note.partition("\n\n")[0] + "\n").size for note in notes), default=0)


def wait_for(folder: Path, size: int) -> None:
    end = time.monotonic() + PATIENCE
    while anchored(folder) < size:
        assert time.monotonic() < end, f"{size} records were not anchored: {anchored(folder)}"
        time.sleep(0.1)


def test_a_proxys_log_is_signed_and_anchored_and_can_be_audited_meanwhile(store: Store, tmp_path: Path) -> None:
    simulator, upstream = start("simulate", "--port", "0", "--speed", "0", say="listening on")
    config = configured(tmp_path, store.url, upstream)
    proxy, url = start("serve", "-c", str(config), "--port", "0", say="listening on")
    try:
        for number in range(3):
            ask(url, f"person {number}")
        wait_for(tmp_path, 3)
        outcome = json.loads(audit(config, "verify", "--json").stdout)
        assert (outcome["intact"], outcome["records"], outcome["signed"], outcome["anchored"]) == (True, 3, 3, 3)
        # deleted beside the process that writes: it goes on over what the other one appended
        assert json.loads(audit(config, "forget", "person 1", "--json").stdout)["texts"] == 1
        ask(url, "person 4")
        wait_for(tmp_path, 5)
    finally:
        assert stop(proxy) == 0
        stop(simulator)
    outcome = json.loads(audit(config, "verify", "--json").stdout)
    assert (outcome["intact"], outcome["records"], outcome["signed"]) == (True, 5, 5)
    shown = json.loads(audit(config, "show", "--json").stdout)["records"]
    assert [one["kind"] for one in shown] == ["stream", "stream", "stream", "forgotten", "stream"]
    assert shown[0]["body"]["asked"]["route"] == "/api/llm/stream"
    assert (tmp_path / "log.vkey").read_text().count("\n") == 1


def test_the_verbs_on_both_databases(store: Store, tmp_path: Path) -> None:
    config = configured(tmp_path, store.url)
    signer_of(tmp_path / "log.key")
    database = store.open()
    old = time.time() - 8 * 86400
    write(
        database,
        [closed(at, subject=f"p{at % 2}", text=f"answer {at}", at=old if at < 4 else time.time()) for at in range(10)],
    )
    assert json.loads(audit(config, "verify", "--json").stdout)["findings"][0]["kind"] == "unsigned"
    assert json.loads(audit(config, "purge", "--json").stdout)["records"] == 4
    assert json.loads(audit(config, "forget", "p1", "--json").stdout)["texts"] == 3
    outcome = json.loads(audit(config, "verify", "--json").stdout)
    assert (outcome["intact"], outcome["records"], outcome["purged"], outcome["signed"]) == (True, 12, 4, 12)
    for at in (5, 8):
        assert audit(config, "verify", "--record", f"rec-{at:04}").exit_code == 0
    file = tmp_path / "log.jsonl"
    assert audit(config, "export", "-o", str(file)).exit_code == 0
    assert audit(config, "verify", "--export", str(file), "--key", str(tmp_path / "log.vkey")).exit_code == 0
    connection = database._connection  # type: ignore[attr-defined]
    connection.execute(
        "UPDATE records SET closed_at = 0, body = (SELECT body FROM records WHERE position = 8) WHERE position = 9"
    )
    result = audit(config, "verify")
    assert result.exit_code == 1
    assert "record 9 (rec-0009): its leaf is not the hash of its nonce and body" in result.stdout


@pytest.mark.parametrize("given", ["postgresql://nobody@127.0.0.1:1/none", "sqlite:////nowhere/a.db"])
def test_a_store_that_is_away(tmp_path: Path, given: str) -> None:
    config = configured(tmp_path, given)
    signer_of(tmp_path / "log.key")
    error = audit(config, "verify").exception
    assert isinstance(error, ConfigError)
    assert "the records in " in error.message
    assert exit_code_of(error) == 3
