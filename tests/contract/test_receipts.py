"""Receipts over real sockets: both clients behind a proxy, behind two of them, and behind one who changes what it says."""

import asyncio
import json
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from streamweir import AsyncGateway, Gateway
from streamweir.errors import StreamError, StreamIntegrityError
from streamweir.events import Ended, Text
from streamweir.report import Report
from streamweir.server.life import Server
from streamweir.server.log import told as log
from streamweir.server.shared import Asked
from streamweir.simulator.app import RunningSimulator
from streamweir.simulator.replies import SCRIPTS
from streamweir.stages.report import Conclude
from tests.changing import Changer
from tests.contract.both import HELLO, Driver
from tests.planted import REDACTED, TEXT, Upstream, content, heard
from tests.proxies import FACES, Told, profile, proxy_with, upstream

KINDS = pytest.mark.parametrize("kind", ["async", "sync"])
WHOLE = SCRIPTS["hello"]


@pytest.fixture(autouse=True)
def recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each profile's streams have a record, as where the proxy keeps them; a client's own have none."""
    conclude = Conclude._conclude

    def with_record(self: Conclude, *given: Any) -> Ended:
        ended = conclude(self, *given)
        if self.identity.profile is not None:
            ended.report.recorded, ended.report.record_id = True, f"rec-{self.identity.profile}"
        return ended

    monkeypatch.setattr(Conclude, "_conclude", with_record)


@pytest.fixture
async def proxy(simulator: RunningSimulator) -> AsyncIterator[Server]:
    async with Upstream(content(TEXT)) as planted:
        text = upstream(simulator) + f'[upstreams.planted]\ndialect = "openai"\nbase_url = "{planted}"\n'
        for fault in ("none", "length", "tools", "cut", "stall", "error"):
            text += profile(fault, f"sim:{fault}?rate=0", idle_timeout="500ms")
        text += profile("redacted", "m", "planted", guard="redact") + profile("blocked", "m", "planted", guard="block")
        server = await proxy_with(text)
        yield server
        await server.stop()


def one(kind: str, url: str, model: str, **ask: Any) -> tuple[Report, Exception | None, str]:
    """What a client makes of a reply: its report, what reading raised, and the text that came."""
    driver = Driver(kind, None, dialect="openai", base_url=f"{url}/v1", api_key="k")
    return read(driver, driver.gateway.stream(messages=HELLO, model=model, **ask))


def replayed(kind: str, path: Path) -> Report:
    """The report of a recording's reply."""
    driver = Driver(kind, None, dialect="openai", base_url="http://replay.invalid/v1")
    return read(driver, (AsyncGateway if kind == "async" else Gateway).replay(path, speed=0))[0]


def read(driver: Driver, stream: Any) -> tuple[Report, Exception | None, str]:
    driver.enter(stream)
    events: list[Any] = []
    error = None
    try:
        driver.read(stream, events)
    except StreamError as raised:
        error = raised
    report = stream.report
    driver.leave(stream)
    driver.close()
    return report, error, "".join(event.content for event in events if isinstance(event, Text))


@KINDS
@pytest.mark.parametrize(
    ("model", "status", "text"),
    [
        ("none", "completed", WHOLE),
        ("length", "truncated", None),
        ("tools", "completed", ""),
        ("redacted", "completed", REDACTED),
        ("cut", "failed", None),
        ("stall", "failed", None),
        ("error", "failed", None),
        ("blocked", "failed", None),
    ],
)
async def test_a_receipt_is_checked(proxy: Server, kind: str, model: str, status: str, text: str | None) -> None:
    report, error, came = await asyncio.to_thread(one, kind, proxy.url, model)
    assert (report.status, report.receipt_verified) == (status, True)
    assert (report.upstream_record_id, report.record_id, report.recorded) == (f"rec-{model}", None, None)
    assert (error is None) == report.complete
    assert came == report.text
    assert text is None or came == text


@KINDS
@pytest.mark.parametrize("guard", ["off", "redact"])
async def test_one_character_that_is_changed_on_its_way(proxy: Server, kind: str, guard: str) -> None:
    async with Changer(proxy.port, "thank", "Thank") as between:
        report, error, came = await asyncio.to_thread(one, kind, between.url, "none", guard=guard)
        assert between.changed == 1
    assert (report.status, report.receipt_verified) == ("failed", False)
    assert report.error is not None
    assert (report.error.code, report.error.type) == ("receipt_mismatch", "StreamIntegrityError")
    assert isinstance(error, StreamIntegrityError)
    assert (error.code, error.retryable) == ("receipt_mismatch", False)
    assert came == report.text == WHOLE.replace("thank", "Thank")


@KINDS
async def test_one_that_changes_nothing_is_not_seen(proxy: Server, kind: str) -> None:
    async with Changer(proxy.port, "not in any reply", "not in any REPLY") as between:
        report, error, _ = await asyncio.to_thread(one, kind, between.url, "none")
    assert (report.status, report.receipt_verified, error) == ("completed", True, None)


@KINDS
@pytest.mark.parametrize("guard", ["off", "redact"])
async def test_a_replay_checks_none(proxy: Server, kind: str, guard: str, tmp_path: Path) -> None:
    """A recording holds asterisks where the text had a value, or a credential: here each "k"."""
    path = tmp_path / "r.jsonl"
    report, _, _ = await asyncio.to_thread(one, kind, proxy.url, "none", guard=guard, record=path)
    assert (report.status, report.receipt_verified) == ("completed", True)
    again = await asyncio.to_thread(replayed, kind, path)
    assert (again.status, again.receipt_verified) == ("completed", None)
    assert again.text == WHOLE.replace("k", "*")


@pytest.mark.parametrize("face", FACES)
async def test_every_face_has_it(proxy: Server, face: str) -> None:
    for model, text in (("none", WHOLE), ("redacted", REDACTED)):
        *_, last = [one for one in map(receipt_of, await heard(proxy, face, model)) if one]
        assert last == (sha256(text.encode()).hexdigest(), f"rec-{model}")


def receipt_of(message: dict[str, Any]) -> tuple[str, str] | None:
    """What a face's message says."""
    where = message.get("response", message)
    if receipt := where.get("streamweir", {}).get("receipt"):
        return receipt["sha256"], receipt["record_id"]
    report = message.get("report") or message.get("auditLog", {}).get("report")
    if message.get("type") == "data-report":
        report = message["data"]
    return (report["integrity"]["sha256"], report["record_id"]) if report else None


@KINDS
async def test_a_proxy_behind_a_proxy(proxy: Server, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each one checks what it gets, answers for what it sends, and tells its operator."""
    told = Told()
    async with Changer(proxy.port, "thank", "Thank") as between:
        text = f'[upstreams.u]\ndialect = "openai"\nbase_url = "{proxy.url}/v1"\napi_key = "k"\n'
        text += f'[upstreams.changed]\ndialect = "openai"\nbase_url = "{between.url}/v1"\napi_key = "k"\n'
        text += profile("outer", "none", "u") + profile("worse", "none", "changed")
        outer = await proxy_with(text, told)
        good, _, came = await asyncio.to_thread(one, kind, outer.url, "outer")
        ours = await told.next(5)
        bad, error, _ = await asyncio.to_thread(one, kind, outer.url, "worse")
        theirs = await told.next(5)
        await outer.stop()
    assert (good.status, good.receipt_verified, good.upstream_record_id) == ("completed", True, "rec-outer")
    assert came == WHOLE
    assert (ours.receipt_verified, ours.record_id, ours.upstream_record_id) == (True, "rec-outer", "rec-none")
    assert (theirs.status, theirs.receipt_verified, theirs.error and theirs.error.code) == (
        "failed", False, "receipt_mismatch",
    )  # fmt: skip
    log(theirs, Asked("/", "/", "127.0.0.1", None))
    line = json.loads(capsys.readouterr().err.splitlines()[-1])
    assert (line["level"], line["report"]["receipt_verified"]) == ("error", False)
    # what left the outer proxy came as it left; that it is no whole reply it says itself
    assert (bad.status, bad.receipt_verified, bad.upstream_record_id) == ("failed", True, "rec-worse")
    assert error is not None
