"""Both clients leave one record a stream, however it ended, and say so. Over real sockets, into a real file."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streamweir import AsyncGateway, Gateway
from streamweir.client.aio import carrier as aio_carrier
from streamweir.client.sync import carrier as sync_carrier
from streamweir.client.sync import entries as sync_entries
from streamweir.dialects import BUILTIN
from streamweir.errors import ConfigError, RequestError, StreamCancelled, StreamweirError
from streamweir.events import Ended, Text
from streamweir.records import records as module
from streamweir.records.writer import Writer
from streamweir.simulator.app import RunningSimulator
from streamweir.simulator.replies import SCRIPTS
from tests.conftest import ROOT
from tests.contract.both import HELLO, Driver
from tests.recorded import Log
from tests.simulators import threaded_simulator

KINDS = ("async", "sync")
SECRET = "the prompt is nobody's business"

ENDS = {
    # model: status, error code
    "sim:none?rate=0": ("completed", None),
    "sim:length?rate=0": ("truncated", None),
    "sim:cut?at=3&rate=0": ("interrupted", "stream_interrupted"),
    "sim:reset?at=3&rate=0": ("interrupted", "upstream_lost"),
    "sim:stall?at=3&rate=0": ("timed_out", "stream_stalled"),
    "sim:slow?wait=30": ("timed_out", "stream_timed_out"),
    "sim:error?at=3&rate=0": ("failed", None),
    "sim:malformed?at=3&rate=0": ("failed", "protocol_error"),
    "sim:gaps?rate=0": ("failed", None),
    "sim:401": ("failed", None),
    "sim:403": ("failed", None),
    "sim:429-always": ("failed", None),
    "sim:500": ("failed", None),
    "sim:503": ("failed", None),
    "sim:json": ("failed", "protocol_error"),
}
NAMED = next(name for name, dialect in BUILTIN.items() if dialect.request_id_header is not None)
SOON = {"idle_timeout": 0.3, "first_token_timeout": 0.6, "max_tries": 1}


@pytest.fixture(scope="module")
def simulator() -> Iterator[RunningSimulator]:
    with threaded_simulator() as running:
        yield running


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "records.db")


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def driver(kind: str, simulator: RunningSimulator, log: Log) -> Iterator[Driver]:
    driver = Driver(kind, simulator, records=log.url, **SOON)
    yield driver
    driver.close()


def matches(record: dict[str, Any], stream: Any) -> None:
    """The record is this stream's report without its text, and both clients' callers know it."""
    report = stream.report
    assert report.recorded is True
    assert report.record_id == record["record_id"]
    kept = record["report"]
    assert "text" not in kept
    assert (kept["status"], kept["request_id"], kept["model"]) == (report.status, stream.request_id, stream.model)
    assert kept["integrity"]["sha256"] == report.integrity.sha256
    assert kept["attempts"] == report.attempts
    assert record["asked"] == {"client": None, "key": None, "route": None}


@pytest.mark.parametrize("model", ENDS)
def test_every_end_leaves_one_record(driver: Driver, log: Log, model: str) -> None:
    audited: list[Any] = []
    messages = [{"role": "user", "content": SECRET}]
    stream = driver.gateway.stream(messages=messages, model=model, on_audit=audited.append, conversation_id="c-1")
    events: list[Any] = []
    raised: list[StreamweirError] = []
    try:
        driver.enter(stream)
        driver.read(stream, events)
    except StreamweirError as error:
        raised.append(error)
    driver.leave(stream)
    assert all(error.report is stream.report for error in raised)
    record = log.only
    matches(record, stream)
    status, code = ENDS[model]
    assert record["report"]["status"] == status
    assert record["report"]["conversation_id"] == "c-1"
    if code is not None:
        assert record["report"]["error"]["code"] == code
    if events:
        assert isinstance(events[-1], Ended)
        assert events[-1].report.record_id == record["record_id"]
    assert [(one["recorded"], one["record_id"]) for one in audited] == [(True, record["record_id"])]
    whole = b"".join(path.read_bytes() for path in log.path.parent.glob("records.db*") if path.is_file())
    assert SECRET.encode() not in whole
    if stream.report.text:
        assert stream.report.text.encode() not in whole


def test_no_connection_and_a_token_that_cannot_be_fetched_leave_one_record(kind: str, log: Log) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    for number, options in enumerate(({"access_token": "t"}, {"client_id": "a", "client_secret": "b"})):
        driver = Driver(kind, None, base_url=url, dialect="sse-gateway", records=log.url, max_tries=2, **options)
        stream = driver.stream(model="m")
        with pytest.raises(StreamweirError):
            driver.enter(stream)
        driver.close()
        assert len(log.records) == number + 1
        matches(log.records[-1], stream)
        assert log.open == []


def test_a_row_is_open_from_the_request_to_the_end(driver: Driver, simulator: RunningSimulator, log: Log) -> None:
    before = len(simulator.simulator.seen)
    stream = driver.gateway.with_options(first_token_timeout=30, idle_timeout=30).stream(
        messages=HELLO, model="sim:stall?at=3&rate=0"
    )
    driver.enter(stream)
    assert len(simulator.simulator.seen) == before + 1
    (row,) = log.open
    assert row["identity"]["request_id"] == stream.request_id
    assert log.ids == []
    driver.run(stream.cancel)
    driver.leave(stream)
    matches(log.only, stream)
    assert log.only["report"]["status"] == "cancelled"


def test_requests_that_are_wrong_leave_nothing(driver: Driver, log: Log) -> None:
    for ask in (
        {"options": {"x": object()}},
        {"context_window": 4, "messages": [HELLO[0]] * 40},
    ):
        with pytest.raises(RequestError):
            driver.run(driver.gateway.complete, **{"model": "sim:none", "messages": HELLO, **ask})
    assert (log.ids, log.open) == ([], [])


def test_a_head_that_cannot_be_written_leaves_nothing(kind: str, simulator: RunningSimulator, log: Log) -> None:
    """It is found out when the request is to be sent, and nothing is open by then."""
    driver = Driver(kind, simulator, dialect=NAMED, records=log.url)
    with pytest.raises(RequestError):
        driver.run(driver.gateway.complete, model="sim:none", messages=HELLO, request_id="a\nb")
    assert (log.ids, log.open) == ([], [])
    driver.close()


AGAIN = {
    "retries": {"model": "sim:503-twice?rate=0"},
    "continuation": {"model": "sim:cut-once?at=3&rate=0", "on_cut": "continue"},
    "restart": {"model": "sim:cut-once?at=4&rate=0", "on_cut": "restart"},
}


@pytest.mark.parametrize("what", AGAIN)
def test_what_is_asked_several_times_is_one_record(kind: str, log: Log, what: str) -> None:
    with threaded_simulator() as simulator:
        driver = Driver(kind, simulator, records=log.url)
        stream = driver.stream(**AGAIN[what])
        driver.enter(stream)
        driver.read(stream)
        driver.leave(stream)
        matches(log.only, stream)
        assert stream.report.attempts == len(simulator.simulator.seen) > 1
        report = log.only["report"]
        assert (report["status"], report["restarts"]) == ("completed", int(what == "restart"))
        assert report["continuations"] == int(what == "continuation")
        driver.close()


def test_text_comes_before_the_store_answers(driver: Driver, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """The text and the end marker come in one read: the text is there although the record is not written."""
    gate = threading.Event()
    write = Writer._write

    def held(writer: Writer, batch: list[Any]) -> bool:
        if any(callable(job.row) for job in batch):
            gate.wait(30)
        return write(writer, batch)

    monkeypatch.setattr(Writer, "_write", held)
    stream = driver.stream(model="sim:none?rate=0")
    driver.enter(stream)
    texts: list[str] = []
    ended: list[Any] = []

    def take(event: Any) -> None:
        if isinstance(event, Text):
            assert log.ids == []
            texts.append(event.content)
        elif isinstance(event, Ended):
            ended.append(event)

    driver.read(_each(stream, take) if driver.kind == "sync" else _aeach(stream, take))
    assert texts
    (end,) = ended
    # the store did not answer within a second
    assert end.report.recorded is False
    assert log.ids == []
    gate.set()
    driver.leave(stream)
    log.wait(lambda: log.ids == [end.report.record_id])
    assert log.open == []


def _each(stream: Any, take: Any) -> Iterator[None]:
    for event in stream:
        take(event)
        yield


async def _aeach(stream: Any, take: Any) -> Any:
    async for event in stream:
        take(event)
        yield


def test_the_store_answers_only_when_the_text_is_there(
    driver: Driver, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for the reader to have the text: were the text to wait for it, neither would come in time."""
    for shell in (aio_carrier, sync_entries, sync_carrier):
        monkeypatch.setattr(shell, "CLOSE_WITHIN", 15.0)
    gate = threading.Event()
    write = Writer._write

    def held(writer: Writer, batch: list[Any]) -> bool:
        if any(callable(job.row) for job in batch):
            gate.wait(30)
        return write(writer, batch)

    monkeypatch.setattr(Writer, "_write", held)
    stream = driver.stream(model="sim:none?rate=0")
    driver.enter(stream)

    def take(_: Any) -> None:
        if stream.snapshot == SCRIPTS["hello"]:
            gate.set()

    driver.read(_each(stream, take) if driver.kind == "sync" else _aeach(stream, take))
    driver.leave(stream)
    matches(log.only, stream)


def test_a_sync_caller_who_polls_waits_for_nothing(
    simulator: RunningSimulator, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    come = sync_entries.Answer.come

    def noted(answer: Any, most: float) -> bool:
        waits.append(most)
        return come(answer, most)

    driver = Driver("sync", simulator, records=log.url)
    stream = driver.stream(model="sim:none?rate=0")
    driver.enter(stream)
    monkeypatch.setattr(sync_entries.Answer, "come", noted)
    while not stream.done:
        stream.take(100)
        driver.idle(0.005)
    assert set(waits) == {0.0}
    driver.leave(stream)
    driver.close()


def test_taking_never_waits_for_the_store(driver: Driver, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    write = Writer._write

    def held(writer: Writer, batch: list[Any]) -> bool:
        if any(callable(job.row) for job in batch):
            gate.wait(30)
        return write(writer, batch)

    monkeypatch.setattr(Writer, "_write", held)
    stream = driver.stream(model="sim:none?rate=0")
    driver.enter(stream)
    taken: list[str] = []
    while "".join(taken) != SCRIPTS["hello"]:
        taken += stream.take(100)
        driver.idle(0.005)
    driver.idle(0.1)
    assert stream.take(100) == []
    gate.set()
    while not stream.done:
        assert stream.take(100) == []
        driver.idle(0.005)
    log.wait(lambda: log.ids)
    driver.leave(stream)
    assert log.only["record_id"] == stream.report.record_id


def test_the_report_is_there_right_behind_a_cancel(driver: Driver, log: Log) -> None:
    stream = driver.gateway.with_options(first_token_timeout=30).stream(messages=HELLO, model="sim:none?rate=50")
    driver.enter(stream)
    driver.leave(stream)
    assert stream.report.status == "cancelled"
    matches(log.only, stream)


def test_a_stream_that_is_cancelled_before_its_answer(driver: Driver, log: Log, simulator: RunningSimulator) -> None:
    stream = driver.gateway.with_options(first_token_timeout=30).stream(messages=HELLO, model="sim:slow?wait=30")
    canceller = threading.Timer(0.3, stream.cancel)
    canceller.start()
    with pytest.raises(StreamCancelled):
        driver.enter(stream)
        driver.read(stream)
    driver.leave(stream)
    matches(log.only, stream)
    assert log.only["report"]["status"] == "cancelled"


@pytest.mark.parametrize("policy", [{}, {"on_cut": "continue"}, {"on_cut": "restart"}], ids=str)
def test_closing_the_gateway_records_what_still_ran(driver: Driver, log: Log, policy: dict[str, Any]) -> None:
    stream = driver.gateway.with_options(first_token_timeout=30, idle_timeout=30, **policy).stream(
        messages=HELLO, model="sim:none?rate=50"
    )
    driver.enter(stream)
    if driver.kind == "async":
        driver.run(driver.gateway.close)
        assert log.only["report"]["status"] == "interrupted"
    driver.leave(stream)
    driver.run(driver.gateway.close)
    driver.run(driver.gateway.close)
    assert len(log.records) == 1
    # what comes behind that is refused, and says why
    late = driver.stream(model="sim:none?rate=0")
    began = time.monotonic()
    with pytest.raises(StreamweirError, match="cannot be recorded") as refused:
        driver.enter(late)
    assert refused.value.code == "records_unavailable"
    assert time.monotonic() - began < 4


def test_replays_are_not_recorded(driver: Driver, log: Log, tmp_path: Path) -> None:
    file = str(tmp_path / "recording.jsonl")
    driver.run(driver.gateway.complete, messages=HELLO, model="sim:none?rate=0", record=file)
    assert len(log.ids) == 1
    stream = type(driver.gateway).replay(file, speed=0)
    driver.enter(stream)
    driver.read(stream)
    driver.leave(stream)
    assert (stream.report.recorded, stream.report.record_id) == (None, None)
    assert len(log.ids) == 1


def test_options_share_the_records_and_two_gateways_share_the_file(driver: Driver, log: Log, kind: str) -> None:
    other = Driver(kind, None, base_url=driver.gateway.api_host, client_id="sim-client", client_secret="sim-secret",
                   records={"url": log.url, "retention": "2d"})  # fmt: skip
    driver.run(driver.gateway.with_options(model="sim:none?rate=0").complete, messages=HELLO)
    other.run(other.gateway.complete, model="sim:none?rate=0", messages=HELLO)
    driver.run(driver.gateway.with_options(model="sim:none?rate=0").complete, messages=HELLO)
    other.close()
    assert [record["retention"] for record in log.records] == ["7d", "2d", "7d"]
    assert threading.active_count() < 30


@pytest.mark.parametrize(
    ("records", "words"),
    [
        ("nonsense", "records.url"),
        ("sqlite:////nowhere/at/all.db", "No such file or directory"),
        ({"retention": "1d"}, "names no url"),
        ("", "names no url"),
        ({"urll": "x"}, "did you mean 'url'"),
        ({"url": "sqlite:///x.db", "retention": "1s"}, "retention"),
    ],
)
def test_what_cannot_be_kept_is_a_config_error(
    kind: str, simulator: RunningSimulator, records: Any, words: str
) -> None:
    options = {"base_url": simulator.url, "client_id": "sim-client", "client_secret": "sim-secret", "records": records}

    async def ask() -> None:
        async with AsyncGateway(**options) as gateway:
            await gateway.complete(model="sim:none?rate=0", messages=HELLO)

    with pytest.raises(ConfigError, match=words):
        if kind == "async":
            asyncio.run(ask())
        else:
            with Gateway(**options) as gateway:
                gateway.complete(model="sim:none?rate=0", messages=HELLO)


@pytest.mark.parametrize("more", [{"webhooks": [{"url": "https://a.example"}]}, {"vectors": {"embedder": "x"}}])
@pytest.mark.parametrize("gateway", [AsyncGateway, Gateway])
def test_what_leaves_with_a_record_needs_records(gateway: Any, more: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        gateway(base_url="http://127.0.0.1:1", client_id="a", client_secret="b", **more)


CONFIG = """
[upstreams.sim]
base_url = "{url}"
client_id = "sim-client"
client_secret = "sim-secret"
[profiles.p]
upstream = "sim"
model = "sim:none?rate=0"
"""


def test_the_configuration_file_turns_it_on_and_an_argument_off(
    kind: str, simulator: RunningSimulator, log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "environ", {"PATH": "/usr/bin:/bin"})
    text = CONFIG.format(url=simulator.url)
    cases: list[tuple[str, Any, bool]] = [
        ("", None, False),
        ('[records]\nretention = "1d"\n', None, False),
        ('[records]\nurl = "off"\n', None, False),
        (f'[records]\nurl = "{log.url}"\n', False, False),
        (f'[records]\nurl = "{log.url}"\n', "off", False),
        ('[records]\nretention = "1d"\n', log.url, True),
        (f'[records]\nretention = "1d"\nurl = "{log.url}"\n', None, True),
    ]
    for more, given, on in cases:
        (tmp_path / "streamweir.toml").write_text(text + more)
        driver = Driver(kind, None, records=given)
        report = driver.run(driver.gateway.complete, messages=HELLO)
        driver.close()
        assert report.recorded is (True if on else None)
    assert [record["retention"] for record in log.records] == ["1d", "1d"]
    assert [record["report"]["profile"] for record in log.records] == [None, None]


def test_chat_says_why_it_cannot_record(simulator: RunningSimulator, tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text(CONFIG.format(url=simulator.url) + f'[records]\nurl = "sqlite:///{tmp_path}/no/such/folder.db"\n')
    done = subprocess.run(
        [sys.executable, "-m", "streamweir", "chat", "hello", "-c", str(config), "--json"],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT / "src")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert (done.returncode, done.stdout) == (3, ""), done.stderr
    assert f"{tmp_path}/no/such/folder.db: No such file or directory; give another records.url" in done.stderr


def test_chat_records_where_the_configuration_says_so(simulator: RunningSimulator, log: Log, tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT / "src")}
    chat = [sys.executable, "-m", "streamweir", "chat", "hello", "-c", str(config), "--json"]
    for more, records in (("", 0), (f'[records]\nurl = "{log.url}"\n', 1)):
        config.write_text(CONFIG.format(url=simulator.url) + more)
        done = subprocess.run(
            chat, env=environment, cwd=tmp_path, capture_output=True, check=True, stdin=subprocess.DEVNULL
        )
        assert json.loads(done.stdout)["recorded"] is (True if records else None)
        assert len(log.ids) == records
    assert not (tmp_path / "streamweir.db").exists()


async def test_the_loop_goes_on_while_the_store_is_opened(
    simulator: RunningSimulator, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening = module.open_database

    def slow(url: str) -> Any:
        time.sleep(0.5)
        return opening(url)

    monkeypatch.setattr(module, "open_database", slow)
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            await asyncio.sleep(0.01)
            beats += 1

    beating = asyncio.create_task(beat())
    gateway = AsyncGateway(base_url=simulator.url, client_id="sim-client", client_secret="sim-secret", records=log.url)
    async with gateway:
        reports = await asyncio.gather(*(gateway.complete(model="sim:none?rate=0", messages=HELLO) for _ in range(5)))
        beating.cancel()
        assert beats > 5
        assert [report.recorded for report in reports] == [True] * 5
        cancelled = gateway.stream(model="sim:none?rate=50", messages=HELLO)
        task = asyncio.create_task(cancelled.__aenter__())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert cancelled.report.recorded is True
    assert len(log.records) == 6
    assert log.open == []


def test_many_threads_open_the_store_once(simulator: RunningSimulator, log: Log) -> None:
    with Gateway(
        base_url=simulator.url, client_id="sim-client", client_secret="sim-secret", records=log.url
    ) as gateway:
        reports: list[Any] = []

        def ask() -> None:
            reports.append(gateway.complete(model="sim:none?rate=0", messages=HELLO))

        threads = [threading.Thread(target=ask) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [report.recorded for report in reports] == [True] * 6
        assert len(log.ask("SELECT * FROM runs")) == 1
    assert len(log.records) == 6
    assert log.ask("SELECT * FROM runs") == []


@pytest.mark.parametrize("gateway", [AsyncGateway, Gateway])
def test_webhooks_and_vectors_are_the_configurations_own_tables(gateway: Any, log: Log) -> None:
    options = {"base_url": "http://127.0.0.1:1", "client_id": "a", "client_secret": "b", "records": log.url}
    with pytest.raises(ConfigError, match="urll"):
        gateway(**options, webhooks=[{"urll": "https://hooks.example.com/llm"}])
    with pytest.raises(ConfigError, match=r"webhooks= is a list of tables"):
        gateway(**options, webhooks={"url": "https://hooks.example.com/llm"})
    with pytest.raises(ConfigError, match="NO_SUCH_SECRET"):
        gateway(**options, webhooks=[{"url": "https://hooks.example.com/llm", "secret_env": "NO_SUCH_SECRET"}])
    with pytest.raises(ConfigError, match="embeder"):
        gateway(**options, vectors={"embeder": "http://127.0.0.1:1/v1"})
    gateway(**options, vectors={"embedder": "http://127.0.0.1:1/v1", "model": "m"})
    # nothing is opened before the first stream
    assert not log.path.exists()
