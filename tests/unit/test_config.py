from pathlib import Path
from typing import Any

import pytest

from streamweir.client.outside import look_outside
from streamweir.client.resolve import resolve_client as resolve_with
from streamweir.config import load_file, load_text, seconds
from streamweir.errors import ConfigError
from streamweir.flows.budget import BudgetPolicy

GOOD = """
[upstreams.a]
dialect = "openai"
base_url = "http://127.0.0.1:1/v1"
idle_timeout = "5s"
[profiles.p]
upstream = "a"
model = "m"
deadline = "1m"
[records]
url = "off"
"""


def resolve_client(arguments, environ, **options):
    return resolve_with(arguments, look_outside(environ, env_file=False), **options)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[upstream.a]", "unknown key upstream, did you mean 'upstreams'"),
        ("[upstreams.a]\nregoin = 'x'", "unknown key upstreams.a.regoin, did you mean 'region'"),
        ("[upstreams.a]\ndialect = 'sse-gatway'", "dialect is 'sse-gatway', did you mean 'sse-gateway'"),
        ("[upstreams.a]\nidle_timeout = 'soon'", "idle_timeout is 'soon': give seconds"),
        ("[upstreams.a]\nmax_tries = 'x'", "upstreams.*max_tries|max_tries"),
        ("[upstreams.a]\nrequests_per_minute = -1", "upstreams.a.requests_per_minute is -1: give a number of requests"),
        ("[upstreams.a]\nconcurrent = -3", "upstreams.a.concurrent is -3: .* 0 is no limit"),
        ("[upstreams.a]\nrequests_per_minute = '60/min'", "upstreams.a.requests_per_minute: Expected `int"),
        ("[upstreams.a]\nrequests_per_minute = 1.5", "upstreams.a.requests_per_minute: Expected `int"),
        ("[upstreams.a]\nrequest_per_minute = 5", "did you mean 'requests_per_minute'"),
        ("[upstreams.a]\n[profiles.p]\nupstream = 'b'\nmodel = 'm'", "profiles.p.upstream is 'b'"),
        ("[upstreams.a]\n[profiles.p]\nupstream = 'a'", "profiles.p: Object missing required field `model`"),
        ("[webhooks]\nurl = 'https://x.example'", r"webhooks is one table, .* write \[\[webhooks\]\]"),
        ("[server]\ndefault_profile = 'x'", "default_profile is 'x'"),
        ("[server]\nprot = 1", "unknown key server.prot"),
        (
            "[upstreams.a]\n[profiles.p]\nupstream = 'a'\nmodel = 'm'\nguard = 'default'",
            "did you mean|known are block, observe, off, redact",
        ),
        (
            "[guards.redact]\noutput = 'off'",
            "guards.redact: 'redact' is a guard that needs no table: give this one another",
        ),
        ("[guards.block]", "guards.block: 'block' is a guard that needs no table"),
        ("[guards.observe]", "guards.observe: "),
        ("[guards.off]", "guards.off: "),
        ("[guards.g]\nrestore = true", "guards.g.restore puts back what input = \"mask\" took out, and input is 'off'"),
        ("[guards.g]\ninput = 'block'\nrestore = true", "guards.g.restore .* input is 'block'"),
        ("[live.default]", "unknown key live.default, known are limit, url"),
        ("[live]\nlimit = 5", "live.limit is 5: give bytes, at least 1048576"),
        ("x =", "is not TOML"),
    ],
)
def test_a_mistake_is_found_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_text(text, "f.toml")


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_file(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_file(tmp_path / "bad.toml")


@pytest.mark.parametrize(
    ("value", "expected"),
    [(5, 5.0), (0.5, 0.5), ("250ms", 0.25), ("20s", 20.0), ("2m", 120.0), ("1.5h", 5400.0), ("7", 7.0)],
)
def test_durations(value: float | str, expected: float) -> None:
    assert seconds(value, "x") == expected


def test_limits_of_profile_over_upstream(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(GOOD)
    client = resolve_client({}, {}, config=str(tmp_path / "s.toml"))
    assert (client.profile, client.model) == ("p", "m")
    assert (client.settings.limits.idle_timeout, client.settings.limits.deadline) == (5.0, 60.0)


ID = {"client_id": "i", "client_secret": "s"}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({**ID, "region": "eu-west-1"}, BudgetPolicy(300, assumed=True)),
        (ID, BudgetPolicy(300, assumed=True)),
        ({**ID, "region": "eu-west-1", "dialect": "ws-gateway", "concurrent": 4}, BudgetPolicy(300, 4, assumed=True)),
        ({**ID, "base_url": "http://127.0.0.1:1"}, BudgetPolicy(0, assumed=True)),
        ({"dialect": "openai", "region": "eu-west-1", "api_key": "k"}, BudgetPolicy(0, assumed=True)),
        ({**ID, "region": "eu-west-1", "requests_per_minute": 0}, BudgetPolicy()),
        ({**ID, "base_url": "http://127.0.0.1:1", "requests_per_minute": 60}, BudgetPolicy(60)),
    ],
)
def test_the_budget_of_an_upstream(arguments: dict[str, Any], expected: BudgetPolicy) -> None:
    assert resolve_client(arguments, {}).settings.budget == expected


def test_a_budget_below_nothing_is_refused_in_arguments_too() -> None:
    with pytest.raises(ConfigError, match="requests_per_minute is -1: give a number"):
        resolve_client({**ID, "requests_per_minute": -1}, {})


def test_arguments_win_over_the_environment() -> None:
    environ = {"STREAMWEIR_REGION": "us-west-2", "STREAMWEIR_CLIENT_ID": "e", "STREAMWEIR_CLIENT_SECRET": "s"}
    client = resolve_client({"region": "eu-west-1", "client_id": "a", "client_secret": "b"}, environ)
    assert (client.settings.hosts.api, client.settings.client_id) == ("https://api.mypurecloud.ie", "a")
    assert resolve_client({"base_url": "http://127.0.0.1:1"}, environ).settings.hosts.api == "http://127.0.0.1:1"


def test_what_is_missing_is_named() -> None:
    with pytest.raises(ConfigError, match="client_id and client_secret. Set STREAMWEIR_CLIENT_ID"):
        resolve_client({"region": "us-west-2"}, {})
    with pytest.raises(ConfigError, match="needs a base URL"):
        resolve_client({"dialect": "openai"}, {})
    with pytest.raises(ConfigError, match="known are|did you mean"):
        resolve_client({"dialect": "nope", "region": "us-west-2"}, {})


def test_what_is_assumed_is_said() -> None:
    client = resolve_client({"client_id": "a", "client_secret": "b"}, {})
    assert client.settings.hosts.api == "https://api.mypurecloud.com"
    assert any("mypurecloud.com" in note for note in client.notes)


def test_no_secret_in_a_repr() -> None:
    client = resolve_client({"client_id": "a", "client_secret": "geheim", "region": "us-west-2"}, {})
    assert "geheim" not in repr(client)


@pytest.mark.parametrize(
    ("key", "value", "dialect"),
    [
        ("content", "cumulative", "sse-gateway"),
        ("token_in", "subprotocol", "sse-gateway"),
        ("max_message_chars", 5, "ws-gateway"),
        ("end_marker", "finish_reason", "ndjson-chat"),
    ],
)
def test_a_key_that_a_dialect_does_not_know(key: str, value: object, dialect: str) -> None:
    given = {"dialect": dialect, "base_url": "http://127.0.0.1:1", "client_id": "a", "client_secret": "b", key: value}
    with pytest.raises(ConfigError, match=f"{key} means nothing to {dialect}"):
        resolve_client(given, {})
