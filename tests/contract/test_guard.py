"""The guard from end to end: planted values, deltas of one character, every dialect and face, and nothing of them leaves."""

import asyncio
import json
import pickle
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

from streamweir import APIStatusError, AsyncGateway, StreamBlocked, StreamInterrupted
from streamweir.dialects import BUILTIN
from streamweir.events import Found, Text
from streamweir.report import Report
from streamweir.server.log import told as log
from streamweir.simulator.app import RunningSimulator
from tests.contract.both import Driver
from tests.planted import REDACTED, TEXT, VALUES, Upstream, channels, content, heard, leaking, leaks, prompt_of
from tests.proxies import FACES, Told, body_of, profile, proxy_with, upstream
from tests.simulators import threaded_simulator


async def proxied(deltas: list[dict[str, Any]], guard: str, face: str, **more: Any) -> tuple[list[Any], Told]:
    told = Told()
    async with Upstream(deltas, **more) as url:
        text = f'[upstreams.u]\ndialect = "openai"\nbase_url = "{url}"\n' + profile("p", "m", "u", guard=guard)
        server = await proxy_with(text, told)
        objects = await heard(server, face, "p")
        await server.stop()
    return objects, told


def test_a_leak_is_seen_however_it_is_cut() -> None:
    value = VALUES["CARD"]
    assert leaking([{"a": {"b": char}} for char in f"x {value} y"]) == [value]
    assert leaking([{"a": [{"b": char}]} for char in json.dumps(f"x {value.replace(' ', '-')}")]) == [value]
    assert leaking([{"a": {"b": char}} for char in f"x {value[:7]} y"]) == [value]
    assert leaking([{"a": {"b": char}} for char in REDACTED]) == []
    for cut in range(6, len(value)):
        assert leaking([{"at": 1.5, "text": value[:cut]}]) == (
            [value] * 2 if len(re.sub(" ", "", value[:cut])) > 5 else []
        )


def test_a_clock_and_a_chance_are_no_leak() -> None:
    at, run = "2026-11-21T20:13:00.123Z", "0132013f" * 4
    assert leaking([{"started_at": at, "took": 201.300, "created": 1893704000, "hash": run}] * 2) == []
    assert leaking([{"id": "89370400-4405-4201-8300-013000532013"}]) == []
    assert leaks(f"Report(started_at='{at}', took=2013.005, hash='{run}')") == []
    for leaked in ('{"iban": 893704004405320130}', "{'iban': '370400 44'}", "hash=370400440532"):
        assert leaks(leaked) == [VALUES["IBAN"]]


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("dialect", BUILTIN)
async def test_nothing_planted_leaves(simulator: RunningSimulator, dialect: str, face: str, capsys: Any) -> None:
    told = Told()

    def telling(report: Report, request: web.Request) -> None:
        log(report, request)
        told(report, request)

    # no guard is named: what a profile has by default
    text = upstream(simulator, dialect) + profile("p", "sim:none?echo=1&chars=1&rate=0", **prompt_of(dialect))
    server = await proxy_with(text, telling)
    objects = await heard(server, face, "p", TEXT)
    await server.stop()
    assert leaking(objects) == []
    assert REDACTED in channels(objects).values() or REDACTED in json.dumps(objects, ensure_ascii=False)
    assert leaks("".join(capsys.readouterr())) == []
    report = told.reports[0]
    assert report.text == REDACTED
    assert [finding["kind"] for finding in report.guard.findings] == list(VALUES)
    for finding, value in zip(report.guard.findings, VALUES.values(), strict=True):
        assert TEXT[finding["start"] : finding["end"]] == value
    assert (report.guard.pii_found, report.guard.safety_passed, report.guard.mode) == (True, True, "redact")
    assert leaks(repr(report)) == []


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("dialect", BUILTIN)
async def test_a_block_ends_before_the_first_value(simulator: RunningSimulator, dialect: str, face: str) -> None:
    told = Told()
    model = "sim:none?echo=1&chars=1&rate=200"
    text = upstream(simulator, dialect) + profile("p", model, guard="block", **prompt_of(dialect))
    server = await proxy_with(text, told)
    objects = await heard(server, face, "p", TEXT)
    await server.stop()
    assert leaking(objects) == []
    report = told.reports[0]
    assert (report.status, report.text, report.error.code) == ("blocked", "Here you are: ", "stream_blocked")
    assert report.timing.first_token_ms is not None
    assert report.integrity.verified is (True if dialect == "sse-gateway" else None)
    assert len(TEXT) > report.chunks > len("Here you are: 123-45-6789")
    said = json.dumps(objects)
    assert "Anything" not in said
    if face in ("sse", "websocket"):
        assert (objects[-1]["type"], objects[-1]["reason"]) == ("blocked", "PII detected")
    elif face == "openai whole":
        assert objects[0]["choices"][0]["finish_reason"] == "content_filter"
    else:
        assert "stream_blocked" in said


async def test_other_channels() -> None:
    key = VALUES["API_KEY"]
    arguments = json.dumps({"mail": "jane.doe+x\u0040sub.example.co.uk", "ssn": 123, "key": key}).replace(
        "@", "\\u0040"
    )
    deltas = content("I think of 123-45-6789.", "reasoning_content") + content("No: 123-45-6789.", "refusal")
    deltas.append(
        {"tool_calls": [{"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}]}
    )
    deltas += [{"tool_calls": [{"index": 0, "function": {"arguments": char}}]} for char in arguments]
    for face in ("openai", "openai whole", "responses", "ai-sdk", "websocket"):
        objects, told = await proxied(deltas, "redact", face)
        assert leaking(objects) == [], face
        channels = [finding["channel"] for finding in told.reports[0].guard.findings]
        assert sorted(channels) == ["reasoning", "refusal", "tool_call", "tool_call"]


async def test_a_reply_that_breaks_off_shows_no_half_of_a_value() -> None:
    for end in (b"", b"data: {broken\n\n", b'data: {"error": {"message": "my SSN is 123-45-6789"}}\n\n'):
        objects, told = await proxied(content("It is 4111 1111 1111"), "redact", "sse", end=end)
        assert leaking(objects) == []
        assert told.reports[0].text == "It is [CARD]"
        assert leaks(repr(told.reports[0])) == []


@pytest.fixture(scope="module")
def threaded() -> Iterator[RunningSimulator]:
    with threaded_simulator() as running:
        yield running


def client(kind: str, simulator: RunningSimulator, dialect: str) -> Driver:
    if dialect == "openai":
        return Driver(kind, None, dialect=dialect, base_url=simulator.url + "/v1", api_key="k")
    return Driver(kind, simulator, dialect=dialect)


@pytest.mark.parametrize("kind", ["async", "sync"])
@pytest.mark.parametrize("dialect", BUILTIN)
@pytest.mark.parametrize("guard", ["redact", "block", "observe", "off"])
def test_both_clients(threaded: RunningSimulator, kind: str, dialect: str, guard: str) -> None:
    driver = client(kind, threaded, dialect)
    events: list[Any] = []
    stream = driver.gateway.stream(
        model="sim:none?echo=1&chars=1&rate=0",
        messages=[{"role": "user", "content": TEXT}],
        guard=guard,
        **prompt_of(dialect),
    )
    error = None
    try:
        driver.enter(stream)
        driver.read(stream, events)
    except StreamBlocked as raised:
        error = raised
    driver.leave(stream)
    driver.close()
    report = stream.report
    expected = {"redact": REDACTED, "block": "Here you are: ", "observe": TEXT, "off": TEXT}
    assert "".join(e.content for e in events if isinstance(e, Text)) == report.text == expected[guard]
    assert [e.seq for e in events] == list(range(len(events)))
    assert (error is not None) == (report.status == "blocked") == (guard == "block")
    found = [e for e in events if isinstance(e, Found)]
    assert [e.kind for e in found] == {"redact": list(VALUES), "block": ["US_SSN"], "observe": list(VALUES), "off": []}[
        guard
    ]
    assert [(f["start"], f["end"], f["hash"]) for f in report.guard.findings] == [
        (e.start, e.end, e.hash) for e in found
    ]
    assert report.guard.pii_found is (None if guard == "off" else True)
    if guard in ("redact", "block"):
        assert leaking([msgspec.to_builtins(e) for e in events]) == []
        assert leaks(repr(events) + repr(report) + repr(error) + str(error)) == []
        # a finding comes before the placeholder that it speaks of
        for e in found:
            if guard == "redact":
                said = "".join(x.content for x in events[: e.seq] if isinstance(x, Text))
                assert f"[{e.kind}]" not in said


@pytest.mark.parametrize("kind", ["async", "sync"])
@pytest.mark.parametrize("dialect", BUILTIN)
def test_a_cut_at_any_place_shows_no_half_of_a_value(threaded: RunningSimulator, kind: str, dialect: str) -> None:
    driver = client(kind, threaded, dialect)
    for at in range(10, 75, 5 if kind == "async" else 11):
        stream = driver.gateway.stream(
            model=f"sim:cut?echo=1&chars=1&rate=0&at={at}",
            messages=[{"role": "user", "content": TEXT}],
            guard="redact",
            **prompt_of(dialect),
        )
        events: list[Any] = []
        with pytest.raises(StreamInterrupted) as cut:
            driver.enter(stream)
            driver.read(stream, events)
        driver.leave(stream)
        assert leaking([msgspec.to_builtins(e) for e in events]) == []
        assert leaks(repr(cut.value.report) + str(cut.value)) == []
        # all that is no part of a value is kept
        shown = re.sub(r"\[[A-Z_]+\]", "", cut.value.report.text)
        assert TEXT.startswith(shown[:14])
        assert len(cut.value.report.text) >= min(at, 14) - 1
    driver.close()


async def test_the_library_raises_where_a_guard_blocks() -> None:
    async with (
        Upstream(content(TEXT)) as url,
        AsyncGateway(dialect="openai", base_url=url, api_key="k", model="m") as gateway,
    ):
        stream = gateway.stream(messages=[{"role": "user", "content": "x"}], guard="block")
        with pytest.raises(StreamBlocked) as blocked:
            async with stream:
                async for _ in stream.text:
                    pass
        assert blocked.value.report.text == "Here you are: "
        assert leaks(repr(blocked.value) + str(blocked.value)) == []


@pytest.mark.usefixtures("failing_guard")
async def test_a_guard_that_fails_lets_nothing_out() -> None:
    objects, told = await proxied(content("It is 123-45-6789, you know."), "redact", "sse")
    assert leaking(objects) == []
    assert told.reports[0].text in ("", "It is ")
    assert told.reports[0].status == "failed"


async def test_a_table_of_ones_own(simulator: Any) -> None:
    text = '[guards.mine]\nrecognisers = ["EMAIL"]\nlabels = { EMAIL = "<mail>" }\nterms = ["Zürich"]\nlists = ["tutorial"]\n'
    text += '[[guards.mine.patterns]]\nname = "ORDER"\npattern = "ORD-[0-9]{4}"\nlabel = "<order>"\n'
    async with Upstream(content("a@b.de ORD-1234 ZÜRICH 123-45-6789 a bomb")) as url:
        base = f'[upstreams.u]\ndialect = "openai"\nbase_url = "{url}"\n' + profile("p", "m", "u", guard="mine")
        server = await proxy_with(base + text)
        async with (
            aiohttp.ClientSession() as http,
            http.post(f"{server.url}/api/llm/stream", json=body_of("sse", "p")) as answer,
        ):
            data = (await answer.read()).decode()
        await server.stop()
    tokens = "".join(json.loads(line[6:]).get("content", "") for line in data.splitlines() if line.startswith("data: "))
    assert tokens == "<mail> <order> [TERM] 123-45-6789 a [TERM]"


class Refusing(Upstream):
    """Refuses, and says the prompt again; with `times`, so often."""

    status = 400
    asked = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.asked += 1
        body = json.dumps({"error": {"message": f"bad prompt: my SSN is {VALUES['US_SSN']}", "code": VALUES["US_SSN"]}})
        head = f"HTTP/1.1 {self.status} No\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"
        writer.write((head + body).encode())
        await writer.drain()
        writer.close()


@pytest.mark.parametrize("status", [400, 429, 500])
async def test_what_an_upstream_says_where_it_refuses_is_read_too(status: int) -> None:
    upstream = Refusing([])
    upstream.status = status
    async with upstream as url:
        for guard in ("redact", "block", "off"):
            # each asks for itself: behind a 429 a gateway's next request would wait for its pause
            async with AsyncGateway(dialect="openai", base_url=url, api_key="k", model="m", max_tries=1) as gateway:
                with pytest.raises(APIStatusError) as refused:
                    await gateway.complete(messages=[{"role": "user", "content": "x"}], guard=guard, deadline=1)
            error = refused.value
            said = (
                repr(error)
                + str(error)
                + repr(error.args)
                + repr(error.report)
                + repr(pickle.loads(pickle.dumps(error)))
            )
            assert leaks(said) == ([VALUES["US_SSN"]] if guard == "off" else [])
            assert error.report is not None
            assert error.report.error.message == error.message


async def test_a_profile_that_names_no_guard_is_under_none_in_the_library(tmp_path: Path) -> None:
    async with Upstream(content(TEXT)) as url:
        file = tmp_path / "streamweir.toml"
        file.write_text(f'[upstreams.u]\ndialect = "openai"\nbase_url = "{url}"\n' + profile("p", "m", "u"))
        async with AsyncGateway(config=file, profile="p", api_key="k") as gateway:
            report = await gateway.complete(messages=[{"role": "user", "content": "x"}])
            assert (report.text, report.guard.mode) == (TEXT, "off")
