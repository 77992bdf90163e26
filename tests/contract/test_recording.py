"""Recordings: kept as they come, without secrets, and played again through the same decoders, in both clients."""

import base64
import json
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamweir import AsyncGateway, Gateway, errors
from streamweir.client.recording import SecretMask, parse_recording
from streamweir.dialects import BUILTIN
from streamweir.simulator.app import RunningSimulator
from tests.contract.both import HELLO, Driver
from tests.simulators import threaded_simulator

REPLAYS = {"async": AsyncGateway.replay, "sync": Gateway.replay}


@pytest.fixture(scope="module")
def simulator() -> Iterator[RunningSimulator]:
    with threaded_simulator() as running:
        yield running


def made(kind: str, simulator: RunningSimulator, dialect: str) -> Driver:
    if dialect != "openai":
        return Driver(kind, simulator, dialect=dialect)
    return Driver(kind, None, dialect=dialect, base_url=simulator.url + "/v1", api_key="sk-secret-key")


def finished(driver: Driver, stream: Any) -> tuple[list[Any], Any, Exception | None]:
    events: list[Any] = []
    error: Exception | None = None
    try:
        driver.enter(stream)
        driver.read(stream, events)
    except errors.StreamweirError as raised:
        error = raised
    driver.leave(stream)
    return events, stream.report, error


@pytest.mark.parametrize("kind", ["async", "sync"])
@pytest.mark.parametrize("dialect", BUILTIN)
@pytest.mark.parametrize("fault", ["none", "cut", "reset", "error", "cut-once", "malformed"])
def test_a_replay_is_what_was_recorded(
    simulator: RunningSimulator, tmp_path: Path, kind: str, dialect: str, fault: str
) -> None:
    path, driver = tmp_path / "r.jsonl", made(kind, simulator, dialect)
    ask = {"prompt_id": "p"} if dialect == "ws-gateway" else {}
    ask |= {"on_cut": "restart"} if fault == "cut-once" else {}
    model = f"sim:{fault}?rate=0&key={kind}-{dialect}"
    stream = driver.stream(model=model, record=path, **ask)
    events, report, error = finished(driver, stream)
    for replayer in REPLAYS:
        other = Driver(replayer, None, dialect="openai", base_url="http://replay.invalid/v1")
        again = REPLAYS[replayer](path, speed=0, on_cut=ask.get("on_cut"))
        events2, report2, error2 = finished(other, again)
        assert type(error2) is type(error)
        assert texts(events2) == texts(events)
        for field in (
            "status",
            "text",
            "model",
            "dialect",
            "request_id",
            "restarts",
            "bytes",
            "correlation_id",
            "usage",
        ):
            assert getattr(report2, field) == getattr(report, field), field
        assert (report2.error and report2.error.code) == (report.error and report.error.code)
        other.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_text()
    assert all(secret not in text for secret in ("sim-secret", "sk-secret-key", "sim-token"))
    driver.close()


def texts(events: list[Any]) -> list[str]:
    return [event.content for event in events if type(event).__name__ == "Text"]


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_a_replay_at_speed_1_keeps_the_pace(simulator: RunningSimulator, tmp_path: Path, kind: str) -> None:
    path, driver = tmp_path / "r.jsonl", Driver(kind, simulator)
    driver.run(driver.gateway.complete, model="sim:none?rate=40", messages=HELLO, record=path)
    began = time.monotonic()
    _, report, _ = finished(driver, REPLAYS[kind](path))
    assert time.monotonic() - began > 0.3
    assert report.status == "completed"
    began = time.monotonic()
    finished(driver, REPLAYS[kind](path, speed=20))
    assert time.monotonic() - began < 0.25
    driver.close()


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_a_recorded_stall_stalls_again(simulator: RunningSimulator, tmp_path: Path, kind: str) -> None:
    path, driver = tmp_path / "r.jsonl", Driver(kind, simulator)
    with pytest.raises(errors.StreamStalled):
        driver.run(driver.gateway.complete, model="sim:stall?rate=0", messages=HELLO, record=path, idle_timeout=0.3)
    _, report, error = finished(driver, REPLAYS[kind](path, idle_timeout=0.3))
    assert isinstance(error, errors.StreamStalled)
    _, report, error = finished(driver, REPLAYS[kind](path, speed=0))
    assert isinstance(error, errors.StreamInterrupted)
    assert "ended from this side when it was recorded" in report.error.message
    driver.close()


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_a_file_that_cannot_be_made_stops_nothing_but_the_call(simulator: RunningSimulator, kind: str) -> None:
    driver = Driver(kind, simulator)
    seen = len(simulator.simulator.seen)
    with pytest.raises(errors.ConfigError, match="cannot be written"):
        driver.run(driver.gateway.complete, model="m", messages=HELLO, record="/nowhere/at/all.jsonl")
    assert len(simulator.simulator.seen) == seen
    driver.close()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "line 1 is no head"),
        (["{}"], "line 1 is no head"),
        (['{"recording":9,"dialect":"openai","model":"m","request_id":"r","started_at":"t"}'], "version 9"),
        (['{"recording":1,"dialect":"telex","model":"m","request_id":"r","started_at":"t"}'], "dialect 'telex'"),
        (
            ['{"recording":1,"dialect":"openai","model":"m","request_id":"r","started_at":"t"}', '{"at":"x"}'],
            "line 2 is no piece",
        ),
        (
            [
                '{"recording":1,"dialect":"openai","model":"m","request_id":"r","started_at":"t"}',
                '{"at":1,"base64":"?"}',
            ],
            "line 2 is no piece",
        ),
    ],
)
def test_what_is_no_recording_is_named_by_line(tmp_path: Path, lines: list[str], message: str) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text("".join(f"{line}\n" for line in lines))
    for replay in REPLAYS.values():
        with pytest.raises(errors.ConfigError, match=message):
            replay(path)
    with pytest.raises(errors.ConfigError, match="cannot be read"):
        Gateway.replay(tmp_path / "none")


def test_a_last_line_that_a_crash_cut_off_is_passed_over() -> None:
    head = b'{"recording":1,"dialect":"openai","model":"m","request_id":"r","started_at":"t"}\n'
    recording = parse_recording(iter([head, b'{"at":1,"text":"x"}\n', b'{"at":2,"te']), "r")
    assert [[piece.data for piece in pieces] for _, pieces in recording.answers] == [[b"x"]]


def test_the_lines_say_what_came_and_when(simulator: RunningSimulator, tmp_path: Path) -> None:
    path, driver = tmp_path / "r.jsonl", Driver("sync", simulator)
    with pytest.raises(errors.StreamInterrupted):
        driver.run(driver.gateway.complete, model="sim:cut?split=7&rate=0", messages=HELLO, record=path)
    head, *pieces = [json.loads(line) for line in path.read_text().splitlines()]
    assert (head["recording"], head["dialect"], head["model"]) == (1, "sse-gateway", "sim:cut?split=7&rate=0")
    assert pieces[-1]["end"] == "eof"
    times = [piece["at"] for piece in pieces]
    assert times == sorted(times)
    body = b"".join(
        base64.b64decode(piece["base64"]) if "base64" in piece else piece.get("text", "").encode() for piece in pieces
    )
    assert body.startswith(b"data: {")
    driver.close()


@given(st.binary(max_size=60), st.lists(st.integers(0, 9), max_size=12), st.sampled_from([b"secret", b"aab", b"ss"]))
@settings(deadline=None, max_examples=2000)
def test_a_secret_is_masked_under_every_chunking(noise: bytes, sizes: list[int], secret: bytes) -> None:
    data = noise[:20] + secret + noise[20:40] + secret + secret[:-1]
    mask, out, at = SecretMask((secret.decode(), None)), b"", 0
    for size in [*sizes, len(data)]:
        out += mask.push(data[at : at + size])
        at += size
    out += mask.flush()
    assert len(out) == len(data)
    assert secret not in out
