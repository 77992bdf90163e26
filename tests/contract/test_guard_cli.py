"""`streamweir guard`: what people pipe into it, and what they get told."""

import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contract.test_cli import run

TEXT = "My SSN is 123-45-6789,\nmy mail jane@example.com. Zürich 😊"
OUT = "My SSN is [US_SSN],\nmy mail [EMAIL]. Zürich 😊"

CONFIG = """
[guards.strict]
output = "block"
recognisers = ["EMAIL"]
terms = ["nimbus"]

[guards.silent]
output = "off"

[guards.prompts]
output = "off"
input = "mask"
"""


def test_text_in_text_out() -> None:
    done = run("guard", "test", stdin=TEXT)
    assert (done.returncode, done.stdout, done.stderr) == (0, OUT, "")
    assert run("guard", "test", stdin="").stdout == ""


def test_as_json_and_by_the_line() -> None:
    one = json.loads(run("guard", "test", "--json", stdin=TEXT).stdout)
    assert one["output"] == OUT
    assert [(f["kind"], TEXT[f["start"] : f["end"]]) for f in one["findings"]] == [
        ("US_SSN", "123-45-6789"),
        ("EMAIL", "jane@example.com"),
    ]
    assert one["held_max"] == 0
    lines = [{"text": TEXT}, {"chunks": list(TEXT)}, {"chunks": []}]
    done = run("guard", "test", "--jsonl", stdin="\n".join(json.dumps(line) for line in lines) + "\n\n")
    whole, cut, none = [json.loads(line) for line in done.stdout.splitlines()]
    assert whole["output"] == cut["output"] == OUT
    assert (whole["held_max"], cut["held_max"]) == (0, 16)
    # positions and hashes too: the key is one process's
    assert whole["findings"] == cut["findings"]
    assert none == {"output": "", "findings": [], "held_max": 0}


@pytest.mark.parametrize(("mode", "out"), [("block", "My SSN is "), ("observe", TEXT), ("redact", OUT)])
def test_modes(mode: str, out: str) -> None:
    assert run("guard", "test", "--mode", mode, stdin=TEXT).stdout == out
    assert run("guard", "test", "--guard", mode, stdin=TEXT).stdout == out


def test_a_table(tmp_path: Path) -> None:
    path = tmp_path / "streamweir.toml"
    path.write_text(CONFIG)
    ask = ("guard", "test", "-c", str(path), "--guard")
    assert run(*ask, "strict", stdin=TEXT).stdout == TEXT.partition("jane")[0]
    assert run(*ask, "strict", "--mode", "redact", stdin=f"Nimbus! {TEXT}").stdout == f"[TERM]! {TEXT}".replace(
        "jane@example.com", "[EMAIL]"
    )
    assert run(*ask, "prompts", stdin=TEXT).stdout == TEXT
    for name, message in (("silent", "the guard 'silent' reads nothing"), ("strcit", "did you mean 'strict'")):
        done = run(*ask, name, stdin=TEXT)
        assert (done.returncode, done.stdout) == (3, "")
        assert message in done.stderr


LINES = ["{", "[]", "{}", '{"text": 1}', '{"chunks": "x"}', '{"txt": "x"}', '{"text": "a", "chunks": ["b"]}', "\ufffd"]


@pytest.mark.parametrize("line", LINES)
def test_a_line_that_is_none(line: str) -> None:
    done = run("guard", "test", "--jsonl", stdin=f'{{"text": "a"}}\n{line}\n')
    assert done.returncode == 2
    assert "line 2 of stdin" in done.stderr
    assert 'give {"text": "…"}' in done.stderr


def piped(data: bytes | None, *arguments: str) -> tuple[int, bytes, str]:
    """What comes of bytes on stdin; None: it is closed."""
    command = [sys.executable, "-m", "streamweir", "guard", *arguments]
    if data is None:
        command = ["sh", "-c", 'exec "$@" <&-', "sh", *command]
    done = subprocess.run(command, input=data, capture_output=True, timeout=60)
    return done.returncode, done.stdout, done.stderr.decode()


@pytest.mark.parametrize("arguments", [("test",), ("test", "--json"), ("test", "--jsonl"), ("explain",), ("bench",)])
def test_no_stdin(arguments: tuple[str, ...]) -> None:
    assert piped(None, *arguments) == (2, b"", "streamweir: error: stdin is closed: pipe a text in\n")


def test_bytes_that_are_no_text() -> None:
    assert piped(b"\xff\xfe a@b.de\n", "test") == (0, "\ufffd\ufffd [EMAIL]\n".encode(), "")
    code, out, said = piped(b'{"text": "\xff a@b.de"}\n\xff\x00', "test", "--jsonl")
    assert (code, json.loads(out)["output"]) == (2, "\ufffd [EMAIL]")
    assert said.startswith("streamweir: error: line 2 of stdin: ")
    assert piped(b"\xff a@b.de", "explain")[1].startswith(b"line 1, column 3: EMAIL (pii), 6 characters\n")


def test_two_forms_at_once() -> None:
    done = run("guard", "test", "--json", "--jsonl", stdin="x")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--json and --jsonl are two forms of the result: give one of them" in done.stderr


def test_explain_never_shows_a_value() -> None:
    done = run("guard", "explain", stdin=TEXT)
    assert done.stdout.splitlines()[:2] == [
        "line 1, column 11: US_SSN (pii), 11 characters",
        "line 2, column 9: EMAIL (pii), 16 characters",
    ]
    assert "123-45" not in done.stdout


def test_bench() -> None:
    done = run("guard", "bench", stdin=TEXT * 20)
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == ["cold", "warm"]
    nothing = run("guard", "bench", stdin="")
    assert nothing.returncode == 2
    assert "nothing came on stdin" in nothing.stderr


def test_a_configuration_is_checked_for_guards_that_nobody_uses(tmp_path: Path) -> None:
    path = tmp_path / "streamweir.toml"
    text = '[upstreams.u]\ndialect = "openai"\nbase_url = "http://127.0.0.1:1/v1"\n[profiles.p]\nupstream = "u"\nmodel = "m"\n'
    path.write_text(text)
    assert (
        'profiles.p.guard = "redact"  # default of serve' in run("config", "show", "--origin", "-c", str(path)).stdout
    )
    for table, message in (
        ('[guards.g]\nrecognisers = ["EMIAL"]\n', "did you mean 'EMAIL'"),
        ('[guards.g]\nterms_file = "nowhere.txt"\n', "guards.g.terms_file: nowhere.txt cannot be read"),
        ('[guards.g]\nhash_key_env = "NO_SUCH_KEY"\n', "guards.g.hash_key_env names NO_SUCH_KEY, which is not set"),
        ('[[guards.g.patterns]]\nname = "X"\npattern = "(?=a)b"\n', "the pattern has a look-ahead"),
    ):
        path.write_text(text + table)
        done = run("config", "check", "-c", str(path))
        assert done.returncode == 3
        assert message in done.stderr


@pytest.mark.parametrize("guard", ['guard = "off"', ""])
def test_serve_says_what_no_guard_reads(tmp_path: Path, guard: str) -> None:
    path = tmp_path / "streamweir.toml"
    upstream = '[upstreams.u]\ndialect = "openai"\nbase_url = "http://127.0.0.1:1/v1"\n'
    path.write_text(f'{upstream}[profiles.open]\nupstream = "u"\nmodel = "m"\n{guard}\n')
    command = [sys.executable, "-m", "streamweir", "serve", "-c", str(path), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = list(itertools.takewhile(lambda line: "listening on" not in line, process.stderr))
        process.terminate()
    assert any("no guard reads the text of open" in line for line in said) == bool(guard)
