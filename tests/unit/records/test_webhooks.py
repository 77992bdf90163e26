"""What `[[webhooks]]` may say, and what leaves because of a stream."""

import json
from base64 import b64encode
from pathlib import Path
from typing import Any, get_args

import pytest
from click.testing import CliRunner

from streamweir.cli.config import command as config_verb
from streamweir.config import load_text
from streamweir.errors import ConfigError
from streamweir.records.settings import Closed
from streamweir.records.webhook_config import STREAMS, webhooks_of
from streamweir.records.webhooks import Webhook, Webhooks
from streamweir.report import GuardReport, Report, Status

SECRET = "whsec_" + b64encode(b"k" * 32).decode()
OTHER = "whsec_" + b64encode(b"j" * 24).decode()
HOOK = '[[webhooks]]\nurl = "https://hooks.example.com/llm"\nsecret_env = "S"\n'


def made(text: str, **environ: str) -> list[Webhook]:
    return webhooks_of(load_text(text).webhooks, {"S": SECRET, **environ})


def closed(status: Status = "completed", text: str = "the text") -> Closed:
    report = Report(
        status=status, request_id="req_1", dialect="openai", model="m", started_at="s", ended_at="e",
        guard=GuardReport(mode="redact", found=1, findings=[{"kind": "EMAIL", "start": 0, "end": 7}]),
    ).without_text()  # fmt: skip
    return Closed("rec_1", report, text, "jane", 1_800_000_000.25)


def test_what_is_not_said() -> None:
    (hook,) = made(HOOK)
    assert hook == Webhook("hooks.example.com", "https://hooks.example.com/llm", (b"k" * 32,), frozenset(STREAMS))
    assert (hook.timeout, hook.text, hook.allow_loopback) == (3.0, False, False)
    assert len(STREAMS) == len(get_args(Status)) == 7


def test_no_secret_in_a_repr() -> None:
    assert "kkk" not in repr(made(HOOK)) + repr(Webhooks(made(HOOK)))
    assert SECRET[10:20] not in repr(made(HOOK))


def test_secrets_that_rotate(tmp_path: Path) -> None:
    file = tmp_path / "secrets"
    file.write_text(f"{OTHER}\n\n{SECRET}\n", encoding="utf-8")
    (hook,) = made(HOOK.replace('"S"', '["S", "T"]') + f'secret_file = "{file}"', T=OTHER)
    assert hook.keys == (b"k" * 32, b"j" * 24, b"j" * 24, b"k" * 32)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("urll = 'x'", r"unknown key webhooks\[0\].urll, did you mean 'url'"),
        ("url = 5", "url: Expected `str`"),
        ("url = 'https://a.example'", r"webhooks\[0\] has no secret: name the variable"),
        ("url = 'https://a.example'\nsecret_env = ''", "has no secret"),
        ("url = 'https://a.example'\nsecret_env = []", "has no secret"),
        ("url = 'http://a.example'", r"webhooks\[0\].url is http://: use https://"),
        ("url = 'ftp://a.example'", "is no URL of an endpoint"),
        ("url = 'hooks.example'", "is no URL of an endpoint"),
        ("url = 'https://a.example/a b'", "is no URL of an endpoint"),
        ("url = 'https://a.example:99999'", "is no URL: Port out of range"),
        ("url = 'https://[a.example'", "is no URL: "),
        ("url = 'https:///path'", "names '', which is missing"),
        ("url = 'https://u:p@a.example'", "holds a user or a password"),
        ("url = 'https://a.example/#x'", "has a fragment"),
        ("url = 'https://10.0.0.1/'", "names '10.0.0.1', which is private"),
        ("url = 'https://127.0.0.1/'", "is loopback: set allow_loopback = true"),
        ("url = 'https://[::1]/'", "is loopback: set allow_loopback = true"),
        ("url = 'https://169.254.169.254/'", "link-local"),
        ("url = 'https://127.1/'", "an address in an odd form"),
        ("url = 'https://0x7f.1/'", "an address in an odd form"),
        ("url = 'https://bücher.example/'", "not ASCII"),
        (HOOK[13:] + "events = []", "events is empty"),
        (HOOK[13:] + "events = ['stream.complete']", "events names 'stream.complete', did you mean 'stream.completed'"),
        (HOOK[13:] + "timeout = '31s'", "timeout is '31s': give 0.1 s to 30 s"),
        (HOOK[13:] + "timeout = 0", "timeout is 0.0: give 0.1 s to 30 s"),
        (HOOK[13:] + "timeout = 'soon'", r"webhooks\[0\].timeout is 'soon': give seconds"),
        (HOOK[13:] + "name = ''", "name is '': each webhook needs a name of its own"),
        (HOOK[13:] + HOOK, r"webhooks\[1\].name is 'hooks.example.com': each webhook needs a name of its own"),
    ],
)
def test_a_mistake_is_found_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_text("[[webhooks]]\n" + text)


def test_this_machine_where_it_is_allowed() -> None:
    for url in ("http://127.0.0.1:8000/", "http://localhost:8000/", "https://[::1]/", "http://[::1]:8000/hook"):
        load_text(HOOK.replace("https://hooks.example.com/llm", url) + "allow_loopback = true")
    with pytest.raises(ConfigError, match="private"):
        load_text(HOOK.replace("hooks.example.com", "10.0.0.1") + "allow_loopback = true")


@pytest.mark.parametrize(
    ("secret", "message"),
    [
        ("", r"webhooks\[0\].secret_env: S is not set"),
        ("hunter2hunter2", "S is no webhook secret: it must begin with whsec_"),
        ("whsec_aHVudGVyMg==", "S is a webhook secret of 7 bytes"),
    ],
)
def test_a_secret_that_cannot_be_used_is_not_shown(secret: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        made(HOOK, S=secret)
    assert "hunter2" not in str(raised.value)
    assert "aHVudGVyMg" not in str(raised.value)


def test_a_file_of_secrets_that_cannot_be_used(tmp_path: Path) -> None:
    text = f"[[webhooks]]\nurl = 'https://a.example'\nsecret_file = '{tmp_path}/secrets'"
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        made(text)
    (tmp_path / "secrets").write_text("\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="is empty"):
        made(text)
    (tmp_path / "secrets").write_text(f"{SECRET}\nnope", encoding="utf-8")
    with pytest.raises(ConfigError, match="secret 2 is no webhook secret"):
        made(text)


def test_the_configuration_shows_them_and_checks_their_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "streamweir.toml"
    served = '[upstreams.u]\ndialect = "openai"\nbase_url = "http://127.0.0.1:1"\n[profiles.p]\nupstream = "u"\nmodel = "m"\n'
    file.write_text(HOOK + 'name = "a"\n' + HOOK + served, encoding="utf-8")
    shown = CliRunner().invoke(config_verb, ["show", "-c", str(file)], catch_exceptions=False)
    assert 'webhooks = [{ url = "https://hooks.example.com/llm", name = "a", secret_env = "S", ' in shown.stdout
    assert "null" not in shown.stdout
    with pytest.raises(ConfigError, match="S is not set"):
        CliRunner().invoke(config_verb, ["check", "-c", str(file)], catch_exceptions=False)
    monkeypatch.setenv("S", SECRET)
    assert CliRunner().invoke(config_verb, ["check", "-c", str(file)]).exit_code == 0


def data(row: Any) -> dict[str, Any]:
    return json.loads(row.body)


@pytest.mark.parametrize("status", get_args(Status))
def test_each_end_goes_to_those_who_want_it(status: Status) -> None:
    hooks = [
        Webhook("all", "https://a.example", (b"k",), frozenset(STREAMS)),
        Webhook("one", "https://b.example", (b"k",), frozenset({f"stream.{status}"})),
        Webhook("other", "https://c.example", (b"k",), frozenset(STREAMS) - {f"stream.{status}"}),
        Webhook("log", "https://d.example", (b"k",), frozenset({"checkpoint.signed"})),
    ]
    rows = Webhooks(hooks).deliver(closed(status))
    assert [(row.target, row.kind, row.message_id, row.subject) for row in rows] == [
        ("all", "webhook", "msg_rec_1", "jane"),
        ("one", "webhook", "msg_rec_1", "jane"),
    ]
    assert {(data(row)["type"], data(row)["timestamp"]) for row in rows} == {
        (f"stream.{status}", "2027-01-15T08:00:00.250Z")
    }


def test_text_only_where_it_is_wanted_and_findings_as_they_are() -> None:
    hooks = [
        Webhook(name, "https://a.example", (b"k",), frozenset(STREAMS), text=text)
        for name, text in (("with", True), ("without", False))
    ]
    first, second = Webhooks(hooks).deliver(closed(text="[EMAIL] wrote"))
    assert data(first)["data"]["text"] == "[EMAIL] wrote"
    assert "text" not in data(second)["data"]
    assert b"wrote" not in second.body
    assert data(second)["data"]["guard"]["findings"] == [{"kind": "EMAIL", "start": 0, "end": 7}]


def test_what_is_no_stream() -> None:
    hooks = made(HOOK + 'events = ["checkpoint.signed"]\n' + HOOK + 'name = "streams"')
    (row,) = Webhooks(hooks).event("checkpoint.signed", "msg_checkpoint_3", 1_800_000_000.0, {"size": 3})
    assert (row.target, row.message_id, row.subject) == ("hooks.example.com", "msg_checkpoint_3", None)
    assert data(row) == {"type": "checkpoint.signed", "timestamp": "2027-01-15T08:00:00.000Z", "data": {"size": 3}}
    assert [row.target for row in Webhooks(hooks).deliver(closed())] == ["streams"]
