"""The command line as people and scripts use it: exit codes, streams, sentences."""

import json
import os
import signal
import socket
import subprocess
import sys
import tomllib
from hashlib import sha256
from pathlib import Path

import pytest

from streamweir.simulator.replies import SCRIPTS, tokens_of

FIRST = "".join(tokens_of(SCRIPTS["hello"])[:5])


def start(*arguments: str, say: str) -> tuple[subprocess.Popen[str], str]:
    """A verb that serves, and the address in the line that says so."""
    process = subprocess.Popen([sys.executable, "-m", "streamweir", *arguments], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if say in line:
            return process, line.partition("listening on ")[2].split()[0]
    raise AssertionError(f"{arguments} ended without saying {say!r}")


def stop(process: subprocess.Popen[str]) -> int:
    process.send_signal(signal.SIGTERM)
    code = process.wait(10)
    assert process.stderr is not None
    process.stderr.close()
    return code


@pytest.fixture(scope="module")
def address() -> object:
    process, url = start("simulate", "--port", "0", say="listening on")
    yield url
    assert stop(process) == 0


def run(*arguments: str, url: str = "", stdin: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith(("STREAMWEIR", "GENESYS", "OPENAI"))} | environ
    if url:
        env |= {
            "STREAMWEIR_BASE_URL": url,
            "STREAMWEIR_CLIENT_ID": "sim-client",
            "STREAMWEIR_CLIENT_SECRET": "sim-secret",
        }
    return subprocess.run(
        [sys.executable, "-m", "streamweir", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        env=env,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize(
    ("model", "code", "text"),
    [
        ("sim-1", 0, SCRIPTS["hello"]),
        ("sim:length?rate=0", 0, SCRIPTS["hello"]),
        ("sim:filter?rate=0", 8, SCRIPTS["hello"]),
        ("sim:cut?rate=0", 7, FIRST),
        ("sim:reset?rate=100", 7, FIRST),
        ("sim:stall", 7, FIRST),
        ("sim:error?rate=0", 7, FIRST),
        ("sim:error?at=0", 6, ""),
        ("sim:gzip", 6, ""),
        ("sim:slow?wait=9", 6, ""),
        ("sim:401", 4, ""),
        ("sim:403", 4, ""),
        ("sim:429-always", 5, ""),
        ("sim:400", 1, ""),
        ("sim:500", 6, ""),
    ],
)
def test_exit_codes(address: str, model: str, code: int, text: str) -> None:
    done = run("chat", "hello", "-m", model, "--idle-timeout", "500ms", "--first-token-timeout", "1s", url=address)
    assert done.returncode == code, done.stderr
    assert done.stdout == (text + "\n" if text else "")
    assert "Traceback" not in done.stderr
    assert ("streamweir: error:" in done.stderr) == (code != 0)


def test_the_deadline_has_its_own_code(address: str) -> None:
    assert run("chat", "hello", "-m", "sim:none?rate=2", "--deadline", "700ms", url=address).returncode == 124


def test_json_and_jsonl(address: str) -> None:
    report = json.loads(run("chat", "-m", "sim:cut?rate=0", "--json", url=address, stdin="hello").stdout)
    assert (report["status"], report["text"], report["error"]["code"]) == ("interrupted", FIRST, "stream_interrupted")
    lines = [
        json.loads(line) for line in run("chat", "hello", "-m", "sim:503", "--jsonl", url=address).stdout.splitlines()
    ]
    assert [line["type"] for line in lines if line["type"] != "rate_limit"] == ["retrying", "retrying", "ended"]
    assert [line["seq"] for line in lines] == list(range(len(lines)))


def test_ctrl_c(address: str) -> None:
    env = os.environ | {
        "STREAMWEIR_BASE_URL": address,
        "STREAMWEIR_CLIENT_ID": "sim-client",
        "STREAMWEIR_CLIENT_SECRET": "sim-secret",
    }
    with subprocess.Popen(
        [sys.executable, "-m", "streamweir", "chat", "hello", "-m", "sim:none?rate=5&tokens=100"],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # what a shell runs in the background ignores it, and so would its children
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stdout is not None
        process.stdout.read(3)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=10)
    assert process.returncode == 130
    assert b"Traceback" not in errors


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("chat", "hello", "-m", "m", "--region", "us-west-2"), 3, "credentials are missing"),
        (("chat", "hello", "-m", "m", "--region", "us-wst-2"), 3, "did you mean us-west-2"),
        (("chat", "hello", "--dialect", "openai", "--base-url", "http://127.0.0.1:9/v1"), 3, "no model"),
        (("chat", "hello", "-m", "m", "--dialect", "sse-gatway"), 2, "sse-gateway"),
        (("chat", "hello", "-m", "m", "--base-url", "nonsense", "--dialect", "openai"), 3, "is not a URL"),
        (("chat", "-m", "m"), 2, "no prompt"),
        (("chat", "hello", "-c", "none.toml"), 3, "cannot be read"),
        (
            ("chat", "hello", "-m", "m", "--dialect", "openai", "--base-url", "http://127.0.0.1:9/v1", "-t", "9"),
            2,
            "temperature is 9",
        ),
        (("serve",), 3, "no configuration"),
        (("serve", "-c", "none.toml"), 3, "none.toml cannot be read"),
        (("simulate", "--scenario", "none.toml"), 3, "none.toml cannot be read"),
        (("nonsense",), 2, "No such command"),
    ],
)
def test_mistakes_get_a_sentence(tmp_path: Path, arguments: tuple[str, ...], code: int, sentence: str) -> None:
    done = run(*arguments)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
    assert sentence in done.stderr
    assert done.stdout == ""


CONFIG = """[upstreams.u]
dialect = "openai"
base_url = "http://127.0.0.1:9/v1"
[profiles.p]
upstream = "u"
model = "m"
"""


def test_serve_says_where_and_ends_on_sigterm(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(CONFIG)
    process, url = start("serve", "-c", str(tmp_path / "c.toml"), "--port", "0", say="listening on")
    taken = run("serve", "-c", str(tmp_path / "c.toml"), "--port", url.rpartition(":")[2])
    assert (taken.returncode, "is in use" in taken.stderr) == (1, True)
    assert stop(process) == 0
    beyond = run("serve", "-c", str(tmp_path / "c.toml"), "--host", "0.0.0.0")
    assert (beyond.returncode, "--insecure" in beyond.stderr) == (3, True)
    (tmp_path / "c.toml").write_text(CONFIG.replace("base_url", "base_ur"))
    assert "did you mean 'base_url'" in run("serve", "-c", str(tmp_path / "c.toml")).stderr


def test_demo_once_needs_no_free_port() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        done = run("demo", "--once", "--port", str(taken.getsockname()[1]))
    assert done.returncode == 0, done.stderr
    assert done.stdout == SCRIPTS["order"] + "\n"


def test_help_names_every_verb() -> None:
    out = run("--help").stdout
    assert all(verb in out for verb in ("demo", "chat", "serve", "simulate", "124 deadline"))


def test_a_recording_plays_again(address: str, tmp_path: Path) -> None:
    path = str(tmp_path / "r.jsonl")
    done = run("chat", "hello", "-m", "sim:cut?rate=0", "--record", path, url=address)
    again = run("replay", path, "--speed", "0")
    assert (again.returncode, again.stdout) == (done.returncode, done.stdout) == (7, FIRST + "\n")
    report = json.loads(run("replay", path, "--speed", "0", "--json").stdout)
    assert report["error"]["code"] == "stream_interrupted"
    lines = run("replay", path, "--speed", "0", "--jsonl").stdout.splitlines()
    assert json.loads(lines[-1])["type"] == "ended"
    assert (run("replay", "none.jsonl").returncode, run("replay", path, "--json", "--jsonl").returncode) == (3, 2)


@pytest.mark.parametrize("flags", [("--on-cut", "continue"), ("--on-cut", "restart")])
def test_what_follows_a_cut(address: str, flags: tuple[str, ...]) -> None:
    model = f"sim:cut-once?rate=0&key=cli{flags[1]}"
    done = run("chat", "hello", "-m", model, *flags, url=address)
    assert done.returncode == 0, done.stderr
    if flags[1] == "continue":
        assert done.stdout == SCRIPTS["hello"] + "\n"
    else:
        assert done.stdout == f"{FIRST}\n{SCRIPTS['hello']}\n"
        assert "the text above does not count" in done.stderr


@pytest.mark.parametrize(
    ("dialect", "flags"),
    [("ndjson-chat", ()), ("sse-chat", ("-t", "0.5")), ("sse-generative", ()),
     ("ws-gateway", ("--prompt-id", "p", "-t", "0.5", "-t", "0.9"))],
)  # fmt: skip
def test_every_dialect(address: str, dialect: str, flags: tuple[str, ...]) -> None:
    done = run("chat", "hello", "-m", "sim:none?rate=0", "--dialect", dialect, *flags, url=address)
    assert (done.returncode, done.stdout) == (0, SCRIPTS["hello"] + "\n"), done.stderr


def test_an_env_file(address: str, tmp_path: Path) -> None:
    (tmp_path / "x.env").write_text(
        f"STREAMWEIR_BASE_URL={address}\nSTREAMWEIR_CLIENT_ID=sim-client\nSTREAMWEIR_CLIENT_SECRET='sim-secret'\n"
    )
    assert run("chat", "hello", "-m", "sim-1", "--env-file", str(tmp_path / "x.env")).returncode == 0
    assert run("chat", "hello", "-m", "sim-1", "--env-file", str(tmp_path / "none")).returncode == 3


def test_the_doctor_finds_nothing_wrong(address: str) -> None:
    done = run("doctor", "-m", "sim-1", "--dialect", "sse-gateway", url=address)
    assert done.returncode == 0, done.stdout + done.stderr
    for line in (
        "client_id",
        "STREAMWEIR_CLIENT_SECRET",
        "ok    token: granted for 86400 s",
        "ok    first token: after",
    ):
        assert line in done.stdout
    assert "sim-secret" not in done.stdout
    assert "pieces came one by one" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "environ", "code", "check"),
    [
        (("-m", "sim-1"), {"STREAMWEIR_CLIENT_SECRET": "wrong"}, 4, "token"),
        (("-m", "sim:403"), {}, 4, "first token"),
        (("-m", "sim:cut?at=0"), {}, 7, "first token"),
        (("-m", "sim:cut"), {}, 7, "stream"),
        ((), {}, 3, "first token"),
        (("-m", "m", "--region", "us-wst-2"), {}, 3, "configuration"),
        (("-m", "m", "--base-url", "http://127.0.0.1:9"), {}, 6, "connection"),
        (("-m", "m", "--dialect", "ws-gateway"), {}, 2, "first token"),
    ],
)
def test_the_doctor_names_what_is_wrong_and_its_mend(
    address: str, arguments: tuple[str, ...], environ: dict[str, str], code: int, check: str
) -> None:
    url = {"STREAMWEIR_BASE_URL": address, "STREAMWEIR_CLIENT_ID": "sim-client"}
    done = run("doctor", "--json", *arguments, **{**url, "STREAMWEIR_CLIENT_SECRET": "sim-secret", **environ})
    found = json.loads(done.stdout) if done.stdout else {"findings": []}
    assert done.returncode == code, done.stdout + done.stderr
    failed = [finding for finding in found["findings"] if finding["verdict"] == "fail"]
    assert [finding["check"] for finding in failed] == [check]
    assert all(finding["fix"] for finding in failed)


def test_the_doctor_sees_what_buffers(address: str) -> None:
    done = run("doctor", "-m", "sim:none?rate=0", "--dialect", "sse-gateway", url=address)
    assert "pieces came in one go" in done.stdout
    assert "proxy_buffering off" in done.stdout


def streamweir(
    *arguments: str, environ: dict[str, str] | None = None, code: int = 0
) -> subprocess.CompletedProcess[str]:
    done = run(*arguments, **(environ or {}))
    assert done.returncode == code, done.stderr
    return done


def test_a_new_key_is_shown_once_and_its_hash_opens(tmp_path: Path) -> None:
    shown = streamweir("keys", "new", "web", "--profile", "p")
    key, _, toml = shown.stdout.partition("\n")
    assert key.startswith("sw_")
    assert len(key) >= 43
    entry = tomllib.loads(toml)["server"]["keys"][0]
    assert entry == {"name": "web", "sha256": sha256(key.encode()).hexdigest(), "profiles": ["p"]}
    limited = streamweir("keys", "new", "web", "--rate", "60/min", "--concurrent", "20").stdout
    found = tomllib.loads(limited.partition("\n")[2])["server"]["keys"][0]
    assert (found["rate"], found["concurrent"]) == ("60/min", 20)
    streamweir("keys", "new", "web", "--rate", "60", code=3)
    again = json.loads(streamweir("keys", "new", "web", "--json").stdout)
    assert again["key"] != key
    assert again["sha256"] == sha256(again["key"].encode()).hexdigest()


SHOWN = """
[upstreams.a]
dialect = "sse-gateway"
client_id = "id"
idle_timeout = "7s"
[profiles.p]
upstream = "a"
model = "m"
options = { deep = { "odd key" = [1, "é"] } }
[server]
default_profile = "p"
"""


def test_the_configuration_shown_checked_and_described(tmp_path: Path) -> None:
    config = tmp_path / "streamweir.toml"
    config.write_text(SHOWN)
    environ = {"STREAMWEIR_REGION": "eu-west-1", "STREAMWEIR_CLIENT_SECRET": "hunter2"}
    shown = streamweir("config", "show", "-c", str(config), "--origin", environ=environ)
    assert "hunter2" not in shown.stdout + shown.stderr
    lines = shown.stdout.splitlines()
    assert f'upstreams.a.dialect = "sse-gateway"  # {config}' in lines
    assert 'upstreams.a.client_secret = "********"  # STREAMWEIR_CLIENT_SECRET' in lines
    assert 'upstreams.a.region = "eu-west-1"  # STREAMWEIR_REGION' in lines
    assert f'upstreams.a.idle_timeout = "7s"  # {config}' in lines
    assert "profiles.p.idle_timeout = 7.0  # upstreams.a" in lines
    assert "upstreams.a.deadline = 120.0  # default" in lines
    # what is shown is TOML, and says the same again
    tree = tomllib.loads(shown.stdout)
    assert tree["profiles"]["p"]["options"] == {"deep": {"odd key": [1, "é"]}}
    assert streamweir("config", "check", "-c", str(config), environ=environ).returncode == 0
    missing = streamweir("config", "check", "-c", str(config), code=3)
    assert "credentials are missing: client_secret" in missing.stderr
    config.write_text(SHOWN.replace("default_profile", "defualt_profile"))
    wrong = streamweir("config", "check", "-c", str(config), environ=environ, code=3)
    assert "unknown key server.defualt_profile, did you mean 'default_profile'?" in wrong.stderr
    schema = json.loads(streamweir("config", "schema").stdout)
    assert schema["$defs"]["ServerTable"]["properties"]["origins"]["type"] == "array"
    assert schema["$defs"]["ServerTable"]["additionalProperties"] is False
