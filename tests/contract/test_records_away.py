"""The store of records goes away in the middle of streams, and comes back: locked, full, deleted. A real file."""

import asyncio
import contextlib
import json
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from streamweir.simulator.app import RunningSimulator
from streamweir.wire.sse import SseDecoder
from tests.proxies import FACES, body_of, profile, upstream
from tests.recorded import Log, recording_proxy

pytestmark = pytest.mark.usefixtures("cleared")

LOCKS = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.readline()
database.execute("ROLLBACK")
database.close()
"""


class Lock:
    """Another process that holds the file."""

    def __init__(self, log: Log) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", LOCKS, str(log.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"locked\n"

    def end(self) -> None:
        self._process.communicate(b"\n", timeout=30)


def config(simulator: RunningSimulator) -> str:
    profiles = profile("p", "sim:none?rate=0") + profile("long", "sim:none?rate=40&tokens=60")
    return upstream(simulator, max_tries=1) + profiles


async def events(server_url: str, name: str) -> tuple[int, dict[str, Any], list[float]]:
    """The status, the last event, and when each piece of text came."""
    came: list[float] = []
    async with (
        aiohttp.ClientSession(server_url) as http,
        http.post("/api/llm/stream", json=body_of("sse", name)) as answer,
    ):
        if answer.status != 200:
            assert answer.headers["Retry-After"] == "1"
            return answer.status, await answer.json(), came
        decoder, last = SseDecoder(), {}
        async for piece in answer.content.iter_any():
            for frame in decoder.feed(piece):
                last = json.loads(frame.data)
                came += [time.monotonic()] if last["type"] == "token" else []
        came.append(time.monotonic())
        return 200, last, came


async def ready(url: str) -> str:
    async with aiohttp.ClientSession(url) as http, http.get("/readyz") as answer:
        return (await answer.json())["status"]


async def ready_again(url: str) -> None:
    async with asyncio.timeout(20):
        while await ready(url) != "ready":
            await asyncio.sleep(0.05)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system that is soon full."""
    where = tmp_path / "small"
    where.mkdir()
    if shutil.which("mount") is None or os.geteuid():
        pytest.skip("only root can mount a file system that is soon full")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(where)], check=False)
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    yield where
    subprocess.run(["umount", "-l", str(where)], check=True)


Break = Callable[[Log], Callable[[], None]]


def locked(log: Log) -> Callable[[], None]:
    return Lock(log).end


def full(log: Log) -> Callable[[], None]:
    ballast = log.path.parent / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return ballast.unlink


def gone(log: Log) -> Callable[[], None]:
    """The folder with all that is in it."""
    folder = log.path.parent
    shutil.rmtree(folder)
    return folder.mkdir


BREAKS: dict[str, Break] = {"locked": locked, "full": full, "gone": gone}


@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize("how", BREAKS)
async def test_it_goes_in_the_middle_and_comes_back(
    simulator: RunningSimulator, tmp_path: Path, request: pytest.FixtureRequest, how: str, required: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    caplog.set_level(logging.WARNING, "streamweir.records")
    folder = request.getfixturevalue("small") if how == "full" else tmp_path / "folder"
    folder.mkdir(exist_ok=True)
    log = Log(folder / "records.db")
    async with recording_proxy(config(simulator), log, required=required) as server:
        assert (await events(server.url, "p"))[1]["report"]["recorded"] is True
        before = log.ids
        living = asyncio.create_task(events(server.url, "long"))
        await log.come(lambda: log.open)
        mend = await asyncio.to_thread(BREAKS[how], log)
        _, last, came = await living
        assert last["type"] == "stop"
        assert last["report"]["recorded"] is False
        late = last["report"]["record_id"]
        # the text was not held up by it, and neither was the end for long
        assert len(came) > 40
        assert max(b - a for a, b in pairwise(came)) < 5
        if required:
            for _ in range(2):
                status, body, _ = await events(server.url, "p")
                assert (status, body["code"]) == (503, "records_unavailable")
            assert await ready(server.url) == "records_unavailable"
            assert len(simulator.simulator.seen) == 2
        else:
            for _ in range(2):
                status, body, _ = await events(server.url, "p")
                assert (status, body["report"]["recorded"]) == (200, False)
            assert await ready(server.url) == "ready"
        mend()
        await log.come(lambda: late in log.ids)
        await ready_again(server.url)
        status, body, _ = await events(server.url, "p")
        assert (status, body["report"]["recorded"]) == (200, True)
        # what was refused, and what went on unrecorded, was written late too
        await log.come(lambda: len(log.records) == 2 + 2 + (0 if how == "gone" else 1))
        assert log.open == []
        # the old log is gone with its folder, and a new one begins
        assert set(before) & set(log.ids) == (set() if how == "gone" else set(before))
        statuses = [record["report"]["status"] for record in log.records]
        assert statuses.count("failed") == (2 if required else 0)
    said = [one.getMessage() for one in caplog.records if one.name == "streamweir.records"]
    assert sum("it is tried again" in one for one in said) == sum("written again" in one for one in said) == 1


async def test_a_short_lock_is_waited_for(simulator: RunningSimulator, tmp_path: Path) -> None:
    log = Log(tmp_path / "records.db")
    async with recording_proxy(config(simulator), log) as server:
        for _ in range(3):
            lock = await asyncio.to_thread(Lock, log)
            asking = asyncio.create_task(events(server.url, "p"))
            await asyncio.sleep(0.3)
            await asyncio.to_thread(lock.end)
            status, last, _ = await asking
            # on a machine that stops for longer, the lock was not short
            assert status in (200, 503)
            if status == 200:
                assert last["report"]["record_id"] in await log.come(lambda: log.ids)
        assert log.records is not None
        await log.come(lambda: not log.open)


@pytest.mark.parametrize("how", ["deleted", "replaced"])
async def test_a_file_that_is_deleted_is_noticed_at_the_next_row(
    simulator: RunningSimulator, tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    log = Log(tmp_path / "records.db")
    async with recording_proxy(config(simulator), log) as server:
        assert (await events(server.url, "p"))[0] == 200
        living = asyncio.create_task(events(server.url, "long"))
        await log.come(lambda: log.open)
        if how == "deleted":
            log.path.unlink()
        else:
            log.path.rename(tmp_path / "old.db")
        _, last, _ = await living
        # written to the new file, in time or late, and never to the one that is gone
        await log.come(lambda: last["report"]["record_id"] in log.ids)
        await ready_again(server.url)
        status, last, _ = await events(server.url, "p")
        assert (status, last["report"]["recorded"]) == (200, True)
        await log.come(lambda: last["report"]["record_id"] in log.ids)
        assert log.records
        assert log.open == []
    assert any("deleted or replaced" in one.getMessage() for one in caplog.records)


@pytest.mark.parametrize("face", [*FACES, "created"])
async def test_every_face_has_its_own_word_for_it(simulator: RunningSimulator, tmp_path: Path, face: str) -> None:
    log = Log(tmp_path / "records.db")
    async with recording_proxy(config(simulator), log) as server, aiohttp.ClientSession(server.url) as http:
        lock = await asyncio.to_thread(Lock, log)
        try:
            if face == "websocket":
                async with http.ws_connect("/ws", protocols=["streamweir.v1"]) as socket:
                    await socket.send_json({"type": "init", "payload": body_of("websocket", "p")})
                    said = [json.loads((await socket.receive()).data) for _ in range(2)]
                assert said[-1]["type"] == "error"
                assert said[-1]["code"] == "records_unavailable"
                assert said[-1]["retryable"] is True
            elif face == "created":
                async with http.post("/api/llm/streams", json=body_of("sse", "p")) as answer:
                    url = (await answer.json())["url"]
                async with http.get(url) as answer:
                    (last,) = [json.loads(frame.data) for frame in SseDecoder().feed(await answer.read())]
                assert (last["type"], last["code"], last["retryable"]) == ("error", "records_unavailable", True)
            else:
                async with http.post(FACES[face][0], json=body_of(face, "p")) as answer:
                    assert answer.status == 503
                    assert answer.headers["Retry-After"] == "1"
                    body = await answer.json()
                error = body["error"] if FACES[face][0].startswith("/v1/") else body
                assert error["code"] == "records_unavailable"
        finally:
            await asyncio.to_thread(lock.end)
        await log.come(lambda: log.ids)
        assert log.only["report"]["error"]["code"] == "records_unavailable"
        assert log.only["report"]["attempts"] == 0
        assert simulator.simulator.seen == []
        assert not server.shared.census.streams
        assert not server.shared.slots.admission.live
