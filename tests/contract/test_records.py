"""Every stream of the proxy leaves one record, whatever its face and its end, and its last event says so."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from streamweir.client.aio.upstream import UpstreamClient
from streamweir.server.keys import digest_of
from streamweir.server.life import Server
from streamweir.simulator.app import RunningSimulator
from streamweir.wire.sse import SseDecoder
from tests.proxies import FACES, HELLO, Downstream, Told, body_of, profile, upstream
from tests.recorded import Log, recording_proxy

pytestmark = pytest.mark.usefixtures("cleared")

SECRET = "the prompt is nobody's business"
SOON = {"first_token_timeout": "1s", "idle_timeout": "500ms"}
LONG = {"first_token_timeout": "60s", "idle_timeout": "60s", "inactivity_timeout": "60s"}

MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "p": ("sim:none?rate=0", {}),
    "length": ("sim:length?rate=0", {}),
    "cut": ("sim:cut?at=3&rate=0", {}),
    "reset": ("sim:reset?at=3&rate=0", {}),
    "stall": ("sim:stall?at=3&rate=0", SOON),
    "late": ("sim:slow?wait=30", SOON),
    "error": ("sim:error?at=3&rate=0", {}),
    "malformed": ("sim:malformed?at=3&rate=0", {}),
    "401": ("sim:401", {}),
    "429": ("sim:429-always", {}),
    "503": ("sim:503", {}),
    "blocked": ("sim:none?rate=0", {"guard": "strict"}),
    "silent": ("sim:slow?wait=30", LONG),
    "middle": ("sim:stall?at=3&rate=0", LONG),
    "huge": ("sim:none?rate=0&tokens=2000000", LONG),
    "fallen": ("sim:503", {"fallback": ["p"]}),
    "window": ("sim:none?rate=0", {"context_window": 8}),
}
GUARD = '[guards.strict]\noutput = "block"\nterms = ["hello", "Hello", "you", "the", "help"]\nmatch = "substring"\n'
STATUS = {
    "p": "completed", "length": "truncated", "cut": "interrupted", "reset": "interrupted", "stall": "timed_out",
    "late": "timed_out", "error": "failed", "malformed": "failed", "401": "failed", "429": "failed", "503": "failed",
    "blocked": "blocked", "fallen": "completed",
}  # fmt: skip
KEY = f'[[server.keys]]\nname = "web"\nsha256 = "{digest_of("k")}"\n'


def config(simulator: RunningSimulator, server: str = "", more: str = "") -> str:
    profiles = "".join(profile(name, model, **keys) for name, (model, keys) in MODELS.items())
    return upstream(simulator, max_tries=1) + profiles + GUARD + f"[server]\n{server}\n{more}"


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "records.db")


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
async def server(simulator: RunningSimulator, told: Told, log: Log) -> AsyncIterator[Server]:
    async with recording_proxy(config(simulator), log, told) as server:
        yield server


@pytest.fixture
async def http(server: Server) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(server.url) as session:
        yield session


async def created(http: aiohttp.ClientSession, name: str, prompt: str) -> tuple[int, bytes]:
    body = {"configurationId": name, "messages": [{"role": "user", "content": prompt}]}
    async with http.post("/api/llm/streams", json=body) as answer:
        url = (await answer.json())["url"]
    async with http.get(url) as answer:
        return answer.status, await answer.read()


async def websocket(http: aiohttp.ClientSession, name: str, prompt: str) -> tuple[int, bytes]:
    said: list[str] = []
    async with http.ws_connect("/ws", protocols=["streamweir.v1"]) as socket:
        await socket.send_json({"type": "init", "payload": body_of("websocket", name, prompt)})
        async for message in socket:
            said.append(message.data)
            if json.loads(message.data).get("type") in ("complete", "blocked", "error"):
                break
    return 200, "\n".join(said).encode()


async def asked(http: aiohttp.ClientSession, face: str, name: str, prompt: str = "hello") -> tuple[int, bytes]:
    """All that a client of that face gets."""
    if face == "created":
        return await created(http, name, prompt)
    if face == "websocket":
        return await websocket(http, name, prompt)
    body = body_of(face, name, prompt)
    if face == "responses whole":
        body.pop("stream")
    async with http.post(FACES[face.removesuffix(" once")][0], json=body) as answer:
        return answer.status, await answer.read()


ALL = (*FACES, "created")
ROUTES = {"created": "/api/llm/streams"}


@pytest.mark.parametrize("name", STATUS)
@pytest.mark.parametrize("face", ALL)
async def test_every_end_in_every_face(
    http: aiohttp.ClientSession, log: Log, told: Told, simulator: RunningSimulator, face: str, name: str
) -> None:
    async with asyncio.timeout(30):
        _, data = await asked(http, face, name, SECRET)
    report = await told.next(10)
    record = await log.come(lambda: log.records and log.only)
    assert record["report"]["status"] == STATUS[name] == report.status
    assert (report.recorded, report.record_id) == (True, record["record_id"])
    assert record["report"]["request_id"] == report.request_id
    assert record["report"]["attempts"] == report.attempts == len(simulator.simulator.seen)
    assert record["report"]["profile"] == ("p" if name == "fallen" else name)
    assert record["report"]["guard"]["mode"] == ("block" if name == "blocked" else "redact")
    assert record["scanned"] == {"output": "block" if name == "blocked" else "redact"}
    assert record["asked"] == {"key": None, "client": "127.0.0.1", "route": ROUTES.get(face, FACES.get(face, [""])[0])}
    assert "text" not in record["report"]
    if b'"record_id"' in data:
        # faces that carry the report say what the log says, and only then
        assert f'"record_id":"{record["record_id"]}"'.encode() in data.replace(b": ", b":")
    # a receipt has the id alone
    assert b'"recorded":false' not in data.replace(b": ", b":")
    whole = b"".join(path.read_bytes() for path in log.path.parent.glob("records.db*") if path.is_file())
    assert SECRET.encode() not in whole
    if report.text:
        assert str(report.text).encode() not in whole


async def test_the_browsers_last_event_says_the_record(http: aiohttp.ClientSession, log: Log) -> None:
    for face in ("sse", "created", "websocket"):
        _, data = await asked(http, face, "p")
        if face == "websocket":
            last = json.loads(data.splitlines()[-1])
        else:
            last = [json.loads(frame.data) for frame in SseDecoder().feed(data)][-1]
        report = last["auditLog"]["report"] if face == "websocket" else last["report"]
        assert (report["recorded"], report["record_id"]) == (True, log.ids[-1])
    assert len(log.ids) == 3


async def test_wrong_requests_leave_nothing(http: aiohttp.ClientSession, log: Log) -> None:
    for face in ALL:
        for body in ({}, {"messages": 3}, {**body_of(face if face in FACES else "sse", "nobody")}):
            path = FACES[face][0] if face in FACES else "/api/llm/streams"
            if face == "websocket":
                async with http.ws_connect("/ws", protocols=["streamweir.v1"]) as socket:
                    await socket.send_json({"type": "init", "payload": body})
                    assert "error" in (await socket.receive()).data
                continue
            async with http.post(path, json=body) as answer:
                assert 400 <= answer.status < 500
    # one that does not fit is found out in the handshake
    for face in ALL:
        await asked(http, face, "window", "hello " * 50)
    assert (log.ids, log.open) == ([], [])


async def test_a_row_is_open_while_the_upstream_holds_back(
    http: aiohttp.ClientSession, log: Log, simulator: RunningSimulator
) -> None:
    for number, face in enumerate(ALL):
        asking = asyncio.create_task(asked(http, face, "late"))
        (row,) = await log.come(lambda: log.open)
        # it was there before the upstream was asked
        await log.come(lambda n=number: len(simulator.simulator.seen) == n + 1)
        assert row["asked"]["client"] == "127.0.0.1"
        assert len(log.ids) == number
        await asking
        assert log.open == []
        assert len(log.ids) == number + 1


@pytest.mark.parametrize("name", ["silent", "middle", "huge"])
@pytest.mark.parametrize("face", FACES)
async def test_a_client_that_leaves(simulator: RunningSimulator, log: Log, told: Told, face: str, name: str) -> None:
    async with recording_proxy(config(simulator, 'resume_window = "0s"'), log, told) as server:
        client = await Downstream.ask(server, face, name)
        await log.come(lambda: log.open)
        if name == "middle" and face != "openai whole":
            await client.read(200)
        client.leave()
        report = await told.next(15)
        record = await log.come(lambda: log.records and log.only)
        assert record["report"]["status"] == "cancelled" == report.status
        assert record["report"]["cancelled_by"] == "client"
        assert record["record_id"] == report.record_id
        assert not server.shared.census.streams
        assert not server.shared.slots.admission.live


async def test_a_cancel_in_a_websocket_and_by_delete(server: Server, http: aiohttp.ClientSession, log: Log) -> None:
    async with http.ws_connect("/ws", protocols=["streamweir.v1"]) as socket:
        for number, name in enumerate(("silent", "middle")):
            await socket.send_json({"type": "init", "payload": body_of("websocket", name)})
            await log.come(lambda: log.open)
            await asyncio.sleep(0.1)
            for _ in range(3):
                await socket.send_json({"type": "cancel"})
            await log.come(lambda n=number: len(log.ids) == n + 1)
        await socket.close()
    for number, name in enumerate(("silent", "middle"), 2):
        async with http.post("/api/llm/streams", json={"configurationId": name, "messages": HELLO}) as answer:
            url = (await answer.json())["url"]
        await log.come(lambda: log.open)
        reading = asyncio.create_task(_read(http, url))
        await asyncio.sleep(0.1)
        for _ in range(3):
            async with http.delete(url) as answer:
                assert answer.status == 204
        data = await reading
        assert len(log.ids) == number + 1
        assert log.ids[-1].encode() in data
    assert [record["report"]["status"] for record in log.records] == ["cancelled"] * 4
    assert log.open == []
    assert not server.shared.census.streams


async def _read(http: aiohttp.ClientSession, url: str) -> bytes:
    async with http.get(url) as answer:
        return await answer.read()


async def test_a_resumed_stream_and_one_that_is_read_twice_have_one_record(
    http: aiohttp.ClientSession, log: Log
) -> None:
    async with http.post("/api/llm/streams", json={"configurationId": "p", "messages": HELLO}) as answer:
        url = (await answer.json())["url"]
    first, second = await asyncio.gather(_read(http, url), _read(http, url))
    assert first == second
    async with http.get(url, headers={"Last-Event-ID": "2"}) as answer:
        assert first.endswith(await answer.read())
    assert len(log.ids) == 1
    assert log.ids[0].encode() in first


@pytest.mark.parametrize("face", [*FACES, "created"])
@pytest.mark.parametrize("name", ["silent", "middle"])
async def test_a_drain_ends_streams_with_their_records(
    simulator: RunningSimulator, log: Log, told: Told, face: str, name: str
) -> None:
    async with recording_proxy(config(simulator), log, told) as server, aiohttp.ClientSession(server.url) as http:
        asking = asyncio.create_task(asked(http, face, name))
        await log.come(lambda: log.open)
        if name == "middle":
            await asyncio.sleep(0.2)
        await server.stop()
        report = await told.next(10)
        await asyncio.gather(asking, return_exceptions=True)
    assert report.status == "cancelled"
    assert (report.recorded, report.record_id) == (True, log.only["record_id"])
    assert log.only["report"]["cancelled_by"] == "server"


async def test_a_slow_client(simulator: RunningSimulator, log: Log, told: Told) -> None:
    text = config(simulator, 'slow_client = "1s"\nresume_window = "0s"')
    async with recording_proxy(text, log, told) as server:
        client = await Downstream.ask(server, "sse", "huge", limit=1024)
        report = await told.next(30)
        client.leave()
        assert report.cancelled_by == "slow_client"
        assert log.only["record_id"] == report.record_id


async def test_who_asked_is_the_keys_name_and_the_subject_is_nowhere_in_it(
    simulator: RunningSimulator, log: Log
) -> None:
    async with recording_proxy(config(simulator, more=KEY), log) as server:
        async with aiohttp.ClientSession(server.url) as http:
            body = {**body_of("sse", "p"), "conversationId": "c-7"}
            async with http.post("/api/llm/stream", json=body) as answer:
                assert answer.status == 401
            assert log.ids == []
            async with http.post("/api/llm/stream", json=body, headers={"X-API-Key": "k"}) as answer:
                assert answer.status == 200
                await answer.read()
        assert log.only["asked"]["key"] == "web"


async def test_who_gets_no_slot_leaves_nothing(simulator: RunningSimulator, log: Log) -> None:
    text = config(simulator, "max_streams = 1\nqueue = 0")
    async with recording_proxy(text, log) as server, aiohttp.ClientSession(server.url) as http:
        asking = asyncio.create_task(asked(http, "sse", "silent"))
        await log.come(lambda: log.open)
        for face in ALL:
            if face == "websocket":
                continue
            path = FACES[face][0] if face in FACES else "/api/llm/streams"
            async with http.post(path, json=body_of(face if face in FACES else "sse", "p")) as answer:
                assert answer.status == 503
        assert len(log.open) == 1
        assert log.ids == []
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await log.come(lambda: log.ids)


@pytest.mark.parametrize("face", ALL)
async def test_a_mistake_of_our_own_behind_the_opening_leaves_one_record(
    http: aiohttp.ClientSession, log: Log, told: Told, monkeypatch: pytest.MonkeyPatch, face: str
) -> None:
    async def mistaken(*_: object) -> None:
        raise ValueError("a mistake")

    monkeypatch.setattr(UpstreamClient, "_post", mistaken)
    async with asyncio.timeout(30):
        status, _ = await asked(http, face, "p")
    report = await told.next(10)
    record = await log.come(lambda: log.records and log.only)
    assert (record["record_id"], report.status, report.error.code) == (report.record_id, "failed", "stream_failed")
    assert status == (200 if face in ("created", "websocket") else 502)
