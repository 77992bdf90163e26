"""Recordings that are made under a guard: no value is in the file, and a replay is the stream with asterisks."""

import json
import re
import stat
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

from streamweir import AsyncGateway, Gateway, errors
from streamweir.dialects import BUILTIN
from streamweir.events import Delta, Numbered, UsageUpdate
from streamweir.wire.sse import encode_event
from tests.contract.both import HELLO, Driver
from tests.contract.test_guard import TEXT, VALUES, leaks
from tests.contract.upstreams import answering
from tests.relays import completed, wire
from tests.unit.recordings.masked import covered, reads, runs

REPLAYS = {"async": AsyncGateway.replay, "sync": Gateway.replay}
CUT = "It is jane.doe@example.com and 4111 1111 1111"


def body(dialect: str, text: str, *, end: bool = True) -> bytes:
    content: list[Any] = [Delta(char) for char in text]
    if dialect == "sse-gateway":
        content = [Numbered(number, (event,)) for number, event in enumerate(content)]
    return wire(dialect, [*content, UsageUpdate(1, 2, 3), *([completed()] if end else [])])


def played(kind: str, stream: Any) -> tuple[Any, Exception | None]:
    driver = Driver(kind, None, dialect="openai", base_url="http://replay.invalid/v1")
    try:
        return finished(driver, stream)
    finally:
        driver.close()


def finished(driver: Driver, stream: Any) -> tuple[Any, Exception | None]:
    error: Exception | None = None
    try:
        driver.enter(stream)
        driver.read(stream)
    except errors.StreamweirError as raised:
        error = raised
    driver.leave(stream)
    return stream.report, error


def recorded(kind: str, dialect: str, path: Path, *answers: list[bytes], **ask: Any) -> tuple[Any, Exception | None]:
    """The report of a call whose reply is recorded, and what reading it raised."""
    ask = {"guard": "redact", "model": "some-model", **ask}
    with answering(dialect, *answers) as url:
        keys = {"api_key": "sk-a-secret-key"} if dialect == "openai" else {"access_token": "a-secret-token"}
        driver = Driver(kind, None, dialect=dialect, base_url=url, **keys)
        more = {"prompt_id": "p"} if dialect == "ws-gateway" else {}
        out = finished(driver, driver.gateway.stream(messages=HELLO, record=path, **more, **ask))
        driver.close()
    return out


def data_of(path: Path) -> str:
    """All that a recording holds of the body, JSON-unescaped once."""
    pieces = [json.loads(line) for line in path.read_text().splitlines()]
    data = b"".join(b64decode(one["base64"]) if "base64" in one else one.get("text", "").encode() for one in pieces)
    return data.decode("utf-8", "replace")


def clean(path: Path) -> None:
    """No value, and no run of six of its digits, neither in the file nor in what its lines say in a row."""
    text = path.read_text()
    assert leaks(data_of(path)) == []
    assert not runs(data_of(path).encode())
    assert all(value not in text for value in VALUES.values())
    assert "6789" not in re.sub(r'"at":[0-9.]+|"started_at":"[^"]+"|"request_id":"[^"]+"', "", text)


@pytest.mark.parametrize("kind", ["async", "sync"])
@pytest.mark.parametrize("dialect", BUILTIN)
@pytest.mark.parametrize("mode", ["redact", "block", "observe"])
def test_no_value_is_in_the_file_and_a_replay_shows_where_they_were(
    tmp_path: Path, kind: str, dialect: str, mode: str
) -> None:
    path = tmp_path / "r.jsonl"
    report, _ = recorded(kind, dialect, path, reads(body(dialect, TEXT), [100]), guard=mode)
    clean(path)
    head, *lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert head["masked"] is True
    assert [line["at"] for line in lines] == sorted(line["at"] for line in lines)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again, error = played(kind, REPLAYS[kind](path, speed=0))
    if mode == "block":
        # the stream was left where the value began
        assert report.status == "blocked"
        assert again.text.startswith("Here you are: ")
        assert again.text == covered(TEXT[: len(again.text)], whole=False)
        return
    assert error is None
    assert again.text == covered(TEXT)
    for field in ("status", "usage", "dialect", "request_id"):
        assert getattr(again, field) == getattr(report, field), field
    # a WebSocket's reads without a message are pings in the recording
    assert again.bytes == report.bytes or dialect == "ws-gateway"


@pytest.mark.parametrize("kind", ["async", "sync"])
@pytest.mark.parametrize("dialect", BUILTIN)
def test_a_reply_that_breaks_off_in_a_value(tmp_path: Path, kind: str, dialect: str) -> None:
    path = tmp_path / "r.jsonl"
    report, error = recorded(kind, dialect, path, reads(body(dialect, CUT, end=False), [50]))
    clean(path)
    again, error2 = played(kind, REPLAYS[kind](path, speed=0))
    assert type(error) is type(error2) is errors.StreamInterrupted
    assert report.text == "It is [EMAIL] and [CARD]"
    assert again.text == covered(CUT, whole=False)
    assert (again.status, again.error.code) == (report.status, report.error.code)


@pytest.mark.parametrize("kind", ["async", "sync"])
@pytest.mark.parametrize(
    ("dialect", "last"),
    [
        ("openai", b'data: {"error": {"message": "card 4111 1111 1111 1111 is bad", "code": "bad"}}\n\n'),
        ("sse-chat", b"event: error\ndata: the SSN 123-45-6789 is bad\n\n"),
        ("sse-generative", b"data: {broken 123-45-6789\n\n"),
        ("ndjson-chat", b'{"type":"error","error":{"message":"SSN 123-45-6789"}}\n'),
        ("sse-gateway", b'data: ["123-45-6789"\n\n'),
    ],
)
def test_errors_and_broken_frames_say_no_value(tmp_path: Path, kind: str, dialect: str, last: bytes) -> None:
    path = tmp_path / "r.jsonl"
    report, error = recorded(kind, dialect, path, [body(dialect, "Hello, you.", end=False), last])
    clean(path)
    again, error2 = played(kind, REPLAYS[kind](path, speed=0))
    assert type(error) is type(error2) is not None
    assert (again.text, again.status, again.error.code) == ("Hello, you.", report.status, report.error.code)
    assert leaks(repr(again)) == []
    stars = re.sub(r"\*+", "*", again.error.message)
    assert stars == re.sub(r"\[[A-Z_]+\]", "*", report.error.message)


@pytest.mark.parametrize("kind", ["async", "sync"])
@pytest.mark.parametrize("on_cut", ["continue", "restart"])
@pytest.mark.parametrize("dialect", BUILTIN)
def test_a_value_across_two_answers(tmp_path: Path, kind: str, on_cut: str, dialect: str) -> None:
    path = tmp_path / "r.jsonl"
    first, second = "The card is 4111", " 1111 1111 1111, and 123-45-6789."
    whole = first + second if on_cut == "continue" else second
    answers = [[body(dialect, first, end=False)], [body(dialect, second)]]
    report, error = recorded(kind, dialect, path, *answers, on_cut=on_cut)
    assert error is None
    clean(path)
    again, error = played(kind, REPLAYS[kind](path, speed=0, on_cut=on_cut))
    assert error is None
    assert (again.status, again.restarts, again.continuations) == ("completed", report.restarts, report.continuations)
    assert len(again.text) == len(whole)
    assert not re.search("[0-9]{2}", again.text)
    assert on_cut == "restart" or again.text == covered(whole)


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_raw_is_raw_and_off_is_off(tmp_path: Path, kind: str) -> None:
    data = body("openai", TEXT)
    for ask in ({"record_raw": True}, {"guard": "off"}, {"guard": "off", "record_raw": True}):
        path = tmp_path / "r.jsonl"
        recorded(kind, "openai", path, [data], **ask)
        assert data_of(path).encode() == data
        assert "masked" not in json.loads(path.read_text().splitlines()[0])


@pytest.mark.parametrize("kind", ["async", "sync"])
@pytest.mark.parametrize(("table", "shown"), [
    ('output = "redact"\nrecognisers = ["EMAIL"]', False),
    ('output = "off"\ninput = "mask"\nrecognisers = ["EMAIL"]', False),
    ('output = "off"\ninput = "mask"\nrestore = true\nrecognisers = ["EMAIL"]', False),
    ('output = "off"\nrecognisers = ["EMAIL"]', True),
])  # fmt: skip
def test_a_table_of_ones_own(tmp_path: Path, kind: str, table: str, shown: bool) -> None:
    config, path = tmp_path / "streamweir.toml", tmp_path / "r.jsonl"
    said = "a@b.de has 123-45-6789"
    with answering("openai", [body("openai", said)]) as url:
        config.write_text(
            f'[upstreams.u]\ndialect = "openai"\nbase_url = "{url}"\n'
            f'[profiles.p]\nupstream = "u"\nmodel = "m"\nguard = "mine"\n[guards.mine]\n{table}\n'
        )
        driver = Driver(kind, None, config=str(config), profile="p", env_file=False)
        driver.run(driver.gateway.complete, messages=[{"role": "user", "content": "I am c@d.de"}], record=path)
        driver.close()
    again, _ = played(kind, REPLAYS[kind](path, speed=0))
    assert again.text == (said if shown else "****** has 123-45-6789")


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_no_place_of_a_chunk_holds_a_value(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "r.jsonl"
    chunks = [
        {
            "id": "chat-abc",
            "choices": [
                {
                    "index": 0,
                    "delta": {"content": char},
                    "logprobs": {"content": [{"token": char, "bytes": list(char.encode()), "logprob": -0.5}]},
                    "message": {"content": TEXT},
                }
            ],
            "odd": {char: TEXT, "number": 4111111111111111},
        }
        for char in TEXT
    ]
    data = b"".join(encode_event(json.dumps(chunk)) for chunk in chunks) + encode_event("[DONE]")
    recorded(kind, "openai", path, reads(data, [5000]))
    clean(path)
    again, _ = played(kind, REPLAYS[kind](path, speed=0))
    assert again.text == covered(TEXT)


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_a_masked_recording_keeps_the_pace(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "r.jsonl"
    report, _ = recorded(kind, "sse-chat", path, reads(body("sse-chat", TEXT[:26]), [300]))
    again, _ = played(kind, REPLAYS[kind](path))
    assert again.text == covered(TEXT[:26])
    assert again.timing.total_ms > report.timing.total_ms * 0.5
