"""Clients of every wire, that note what they saw of a stream's end. Whatever breaks off, they note no end."""

import asyncio
import contextlib
import json
import random
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

import aiohttp

from tests.acceptance.accounts import Saw
from tests.proxies import body_of

READ = 3
"""Events of a created stream that its client reads before it loses its connection, and comes back."""

CLIENTS = 12

Ask = Callable[[aiohttp.ClientSession, Saw], Awaitable[None]]


def ended(saw: Saw, report: dict[str, Any]) -> None:
    saw.end, saw.recorded, saw.record_id = report["status"], report.get("recorded"), report.get("record_id")


def headers(saw: Saw) -> dict[str, str]:
    return {"X-Request-Id": saw.request_id}


async def refused(saw: Saw, answer: aiohttp.ClientResponse) -> bool:
    """Whether it is no stream: then the status is its end, once all of it is there."""
    if answer.status < 300:
        return False
    await answer.read()
    saw.end = "failed"
    return True


async def data(answer: aiohttp.ClientResponse):
    """The data of events that came whole: a line that was cut off has no end."""
    async for line in answer.content:
        if line.startswith(b"data: ") and line.endswith(b"\n"):
            yield line[6:].strip()


async def over_post(http: aiohttp.ClientSession, saw: Saw) -> None:
    async with http.post("/api/llm/stream", json=body_of("sse", saw.model), headers=headers(saw)) as answer:
        if not await refused(saw, answer):
            async for line in data(answer):
                if "report" in (said := json.loads(line)):
                    ended(saw, said["report"])


async def created(http: aiohttp.ClientSession, saw: Saw) -> None:
    async with http.post("/api/llm/streams", json=body_of("sse", saw.model), headers=headers(saw)) as answer:
        if await refused(saw, answer):
            return
        url = (await answer.json())["url"]
    last = -1
    while saw.end is None:
        async with http.get(url, headers={"Last-Event-ID": str(last)}) as answer:
            if answer.status != 200:
                return
            async for line in data(answer):
                last += 1
                if "report" in (said := json.loads(line)):
                    ended(saw, said["report"])
                elif last % READ == READ - 1:
                    answer.close()
                    break


async def websocket(http: aiohttp.ClientSession, saw: Saw) -> None:
    async with http.ws_connect("/ws", protocols=("streamweir.v1",), headers=headers(saw)) as socket:
        await socket.send_json({"type": "init", "payload": body_of("websocket", saw.model)})
        async for message in socket:
            if "auditLog" in (said := message.json()):
                ended(saw, said["auditLog"]["report"])
                return


async def openai(http: aiohttp.ClientSession, saw: Saw) -> None:
    async with http.post("/v1/chat/completions", json=body_of("openai", saw.model), headers=headers(saw)) as answer:
        if not await refused(saw, answer):
            async for line in data(answer):
                if line == b"[DONE]" or "error" in json.loads(line):
                    saw.end = "whole" if line == b"[DONE]" else "failed"


async def complete(http: aiohttp.ClientSession, saw: Saw) -> None:
    async with http.post(
        "/v1/chat/completions", json=body_of("openai whole", saw.model), headers=headers(saw)
    ) as answer:
        if not await refused(saw, answer):
            await answer.json()
            saw.end = "whole"


WIRES: dict[str, Ask] = {
    "sse": over_post,
    "created": created,
    "websocket": websocket,
    "openai": openai,
    "complete": complete,
}


async def ask(http: aiohttp.ClientSession, wire: str, request_id: str, model: str) -> Saw:
    """One stream, as far as it came."""
    saw = Saw(wire, request_id, model)
    with contextlib.suppress(aiohttp.ClientError, OSError, json.JSONDecodeError):
        await WIRES[wire](http, saw)
    return saw


class Load:
    """Clients that ask one thing after the other, whatever became of the last."""

    def __init__(self, url: str, models: list[str], *, seed: int) -> None:
        self.url, self.models = url, models
        self.saws: list[Saw] = []
        self._random = random.Random(seed)
        self._numbers = count()
        self._tasks = [asyncio.create_task(self._client(n)) for n in range(CLIENTS)]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        for ended in await asyncio.gather(*self._tasks, return_exceptions=True):
            assert isinstance(ended, asyncio.CancelledError), ended

    async def _client(self, number: int) -> None:
        wires = list(WIRES)
        async with aiohttp.ClientSession(self.url) as http:
            for turn in count(number):
                model = self._random.choice(self.models)
                self.saws.append(await ask(http, wires[turn % len(wires)], f"load-{next(self._numbers)}.", model))
                # while nobody listens, nothing else would give the others a turn
                await asyncio.sleep(0.01)
