"""Where settings come from, and which source wins."""

from pathlib import Path
from typing import Any

import pytest

from streamweir.client.outside import look_outside
from streamweir.client.resolve import resolve_client
from streamweir.errors import ConfigError
from streamweir.genesys.credentials import from_archy, from_environment, from_gc, merge, parse_env

GC = """
[default]
  environment = "usw2.pure.cloud"
  client_credentials = "gc-id"
  client_secret = "gc-secret"
  access_token = ""
[other]
  environment = "mypurecloud.ie"
  access_token = "gc-token"
"""


def values(layer: dict[str, Any]) -> dict[str, str]:
    return {setting: found.value for setting, found in layer.items()}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"GENESYS_CLIENT_ID": "b", "GENESYSCLOUD_OAUTHCLIENT_ID": "a"}, {"client_id": "a"}),
        ({"STREAMWEIR_REGION": "r", "GENESYS_BASE_URL": "u"}, {"region": "r"}),
        ({"GENESYS_REGION": "r", "STREAMWEIR_BASE_URL": "u"}, {"base_url": "u"}),
        ({"STREAMWEIR_REGION": "r", "STREAMWEIR_BASE_URL": "u"}, {"base_url": "u"}),
        ({"GENESYS_CLOUD_ENVIRONMENT": "e", "GENESYS_CLOUD_REGION": "r"}, {"region": "r"}),
        ({"STREAMWEIR_CLIENT_ID": ""}, {}),
        # a secret goes with its own id
        (
            {"STREAMWEIR_CLIENT_ID": "a", "GENESYS_CLIENT_ID": "b", "GENESYS_CLIENT_SECRET": "of b"},
            {"client_id": "a"},
        ),
        ({"STREAMWEIR_CLIENT_ID": "a", "GENESYS_CLIENT_SECRET": "s"}, {"client_id": "a", "client_secret": "s"}),
        # a token of a lower source does not replace credentials of a higher one
        (
            {"STREAMWEIR_CLIENT_ID": "a", "STREAMWEIR_CLIENT_SECRET": "s", "GENESYSCLOUD_ACCESS_TOKEN": "t"},
            {"client_id": "a", "client_secret": "s"},
        ),
        (
            {"STREAMWEIR_CLIENT_ID": "a", "STREAMWEIR_CLIENT_SECRET": "s", "STREAMWEIR_ACCESS_TOKEN": "t"},
            {"client_id": "a", "client_secret": "s", "access_token": "t"},
        ),
    ],
)
def test_the_environment(environ: dict[str, str], expected: dict[str, str]) -> None:
    assert values(merge(from_environment(environ))) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A=1\nB = two words \n# C=3\n\nexport D=4\n", {"A": "1", "B": "two words", "D": "4"}),
        ("A='x # y'\nB=\"x # y\" # c\nC=x # y\nD=x#y\n", {"A": "x # y", "B": "x # y", "C": "x", "D": "x#y"}),
        (r'A="l\nm\"q\\\$"' + "\nB='l\\n'\n", {"A": 'l\nm"q\\$', "B": "l\\n"}),
        ("A=\nB=''\nC= # nothing\n", {"A": "", "B": "", "C": ""}),
        ("\ufeffA=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
        ("A=$HOME\nA=last\n", {"A": "last"}),
    ],
)
def test_env_files(text: str, expected: dict[str, str]) -> None:
    assert parse_env(text, ".env") == expected


@pytest.mark.parametrize(("text", "line"), [("A=1\nnonsense\n", 2), ("A='open\n", 1), ('A="x" y\n', 1), ("1A=2\n", 1)])
def test_an_env_file_that_is_none_names_the_line(text: str, line: int) -> None:
    with pytest.raises(ConfigError, match=f"line {line}"):
        parse_env(text, ".env")


@pytest.mark.parametrize("text", ["x = " + "[" * 5000, "x = " + "{a=" * 5000, "x = " + "9" * 5000, "x = 2021-02-30"])
def test_a_gc_file_that_no_parser_takes(text: str) -> None:
    with pytest.raises(ConfigError, match="gc is not TOML"):
        from_gc(text, "DEFAULT", "gc")


def test_an_archy_file_that_no_parser_takes() -> None:
    with pytest.raises(ConfigError, match="archy is not JSON"):
        from_archy('{"a":' * 5000, "archy")


def test_the_gc_clis_file() -> None:
    layer = from_gc(GC, "default", "~/.gc/config.toml")
    assert values(layer) == {"region": "usw2.pure.cloud", "client_id": "gc-id", "client_secret": "gc-secret"}
    assert layer["client_id"].source == "~/.gc/config.toml: [default] client_credentials"
    assert values(from_gc(GC, "OTHER", "f")) == {"region": "mypurecloud.ie", "access_token": "gc-token"}
    assert from_gc(GC, "none", "f") == {}
    with pytest.raises(ConfigError, match="~/.gc/config.toml is not TOML"):
        from_gc("[", "default", "~/.gc/config.toml")


@pytest.mark.parametrize(
    "text",
    [
        'clientId: "a-id"\nclientSecret: a-secret\nlocation: mypurecloud.de\n# x: y\n',
        '{"clientId": "a-id", "clientSecret": "a-secret", "location": "mypurecloud.de"}',
    ],
)
def test_archys_file(text: str) -> None:
    assert values(from_archy(text, "f")) == {
        "client_id": "a-id",
        "client_secret": "a-secret",
        "region": "mypurecloud.de",
    }
    with pytest.raises(ConfigError, match="f is not JSON"):
        from_archy("{", "f")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with both files, and a working directory with a `.env`."""
    home, here = tmp_path / "home", tmp_path / "here"
    (home / ".gc").mkdir(parents=True)
    here.mkdir()
    (home / ".gc" / "config.toml").write_text(GC)
    (home / ".archy_config").write_text("clientId: a-id\nclientSecret: a-secret\nlocation: mypurecloud.de\n")
    (here / ".env").write_text("GENESYSCLOUD_OAUTHCLIENT_ID=env-id\nGENESYSCLOUD_OAUTHCLIENT_SECRET=env-secret\n")
    monkeypatch.chdir(here)
    return home


def resolved(home: Path, environ: dict[str, str], env_file: Any = False, **arguments: Any) -> Any:
    config = arguments.pop("config", None)
    return resolve_client(arguments, look_outside(environ, env_file=env_file, home=home), config=config)


def of(client: Any) -> tuple[str | None, str, str | None]:
    return client.settings.client_id, client.settings.hosts.api, client.settings.client_secret


def test_the_sources_in_their_order(home: Path) -> None:
    client = resolved(home, {})
    assert of(client) == ("gc-id", "https://api.usw2.pure.cloud", "gc-secret")
    assert client.sources["region"].source == "~/.gc/config.toml: [default] environment"
    assert client.sources["client_secret"].source == "~/.gc/config.toml: [default] client_secret"
    client = resolved(home, {}, env_file=None, region="us-west-2")
    assert of(client) == ("env-id", "https://api.usw2.pure.cloud", "env-secret")
    assert client.sources["client_id"].source == ".env: GENESYSCLOUD_OAUTHCLIENT_ID"
    assert client.sources["region"].source == "argument"
    environ = {"GENESYS_CLIENT_ID": "e-id", "GENESYS_CLIENT_SECRET": "e-secret", "GENESYS_REGION": "eu-west-1"}
    client = resolved(home, environ, env_file=None)
    assert of(client) == ("e-id", "https://api.mypurecloud.ie", "e-secret")
    client = resolved(home, environ, client_id="arg", client_secret="s")
    assert of(client) == ("arg", "https://api.mypurecloud.ie", "s")
    (home / ".gc" / "config.toml").unlink()
    assert of(resolved(home, {})) == ("a-id", "https://api.mypurecloud.de", "a-secret")


@pytest.mark.parametrize("place", [{"region": "eu-west-2"}, {"base_url": "http://127.0.0.1:8788"}])
def test_a_files_credentials_go_to_its_own_region_only(home: Path, place: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="credentials are missing: client_id and client_secret"):
        resolved(home, {}, **place)
    assert of(resolved(home, {}, region="api.usw2.pure.cloud"))[0] == "gc-id"


def test_one_files_credentials_do_not_go_to_the_region_of_another(home: Path) -> None:
    (home / ".gc" / "config.toml").write_text('[default]\nenvironment = "usw2.pure.cloud"\n')
    with pytest.raises(ConfigError, match="credentials are missing: client_id and client_secret"):
        resolved(home, {})
    (home / ".gc" / "config.toml").write_text('[default]\nclient_credentials = "gc-id"\nclient_secret = "s"\n')
    assert of(resolved(home, {}))[:2] == ("a-id", "https://api.mypurecloud.de")


def test_no_token_from_elsewhere_goes_where_an_upstreams_own_client_does(home: Path, tmp_path: Path) -> None:
    config = tmp_path / "streamweir.toml"
    config.write_text('[upstreams.g]\nregion = "mypurecloud.jp"\nclient_id = "own"\n')
    foreign = {"GENESYSCLOUD_ACCESS_TOKEN": "foreign", "GENESYSCLOUD_OAUTHCLIENT_SECRET": "half"}
    client = resolved(home, foreign, config=str(config), model="m")
    assert (client.settings.bearer, client.settings.client_secret) == (None, "half")
    with pytest.raises(ConfigError, match="credentials are missing: client_secret"):
        resolved(home, {"STREAMWEIR_ACCESS_TOKEN": "foreign"}, config=str(config), model="m")
    # a family of variables that names the same client is that client's
    same = {"GENESYSCLOUD_ACCESS_TOKEN": "its", "GENESYSCLOUD_OAUTHCLIENT_ID": "own"}
    assert resolved(home, same, config=str(config), model="m").settings.bearer == "its"


@pytest.mark.parametrize("place", [{"base_url": "https://u:hunter2@api.example"}, {"region": "https://u:hunter2@x.y"}])
def test_a_url_with_a_password_is_refused_and_not_shown(home: Path, place: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="holds a user name or a password") as refused:
        resolved(home, {}, client_id="i", client_secret="s", **place)
    assert "hunter2" not in str(refused.value)


def test_a_profile_of_the_gc_cli(home: Path) -> None:
    client = resolved(home, {"STREAMWEIR_GC_PROFILE": "other"})
    assert (client.settings.bearer, client.settings.hosts.region) == ("gc-token", "mypurecloud.ie")


def test_an_upstreams_own_keys_win_and_the_environment_fills_gaps(home: Path, tmp_path: Path) -> None:
    config = tmp_path / "streamweir.toml"
    config.write_text(
        '[upstreams.g]\nregion = "mypurecloud.jp"\nclient_id = "own"\nclient_secret_env = "MINE"\n'
        '[profiles.p]\nupstream = "g"\nmodel = "m"\n'
    )
    environ = {"GENESYS_REGION": "eu-west-1", "GENESYS_CLIENT_ID": "e", "MINE": "secret of own"}
    client = resolved(home, environ, config=str(config))
    assert of(client) == ("own", "https://api.mypurecloud.jp", "secret of own")
    assert client.sources["client_secret"].source == "streamweir.toml: upstreams.g.client_secret_env: MINE"
    assert client.sources["model"].source == "streamweir.toml: profiles.p.model"
    # over all of it: arguments
    client = resolved(home, environ, config=str(config), region="mypurecloud.de", model="other")
    assert (client.settings.hosts.api, client.model) == ("https://api.mypurecloud.de", "other")
    with pytest.raises(ConfigError, match="MINE, which is not set"):
        resolved(home, {}, config=str(config))


def test_env_files_that_are_asked_for(home: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not there: give another --env-file"):
        look_outside({}, env_file=str(tmp_path / "none"))
    other = tmp_path / "other.env"
    other.write_text("GENESYS_CLIENT_ID=o\nGENESYS_CLIENT_SECRET=s\n")
    assert of(resolved(home, {}, env_file=str(other), region="us-west-2"))[0] == "o"
    other.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="is not UTF-8"):
        look_outside({}, env_file=str(other))


def test_no_secret_is_shown(home: Path) -> None:
    client = resolved(home, {})
    assert "gc-secret" not in repr(client.settings)
    with pytest.raises(ConfigError) as caught:
        resolved(home, {"STREAMWEIR_CLIENT_SECRET": "hush"}, region="eu-west-2")
    assert "hush" not in str(caught.value)


def test_a_proxy_of_the_environment(home: Path) -> None:
    environ = {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "login.usw2.pure.cloud"}
    settings = resolved(home, environ).settings
    assert (settings.proxy, settings.token_proxy) == ("http://proxy:3128", None)
    assert resolved(home, environ, proxy="").settings.proxy is None
