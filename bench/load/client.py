"""Clients of one face: each reads one stream to its end, and notes what it lost, what came twice and how late."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import time
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from bench.load.marks import marks

MESSAGES = [{"role": "user", "content": "Where is my order?"}]
BODIES: dict[str, tuple[str, str]] = {
    "sse": ("/api/llm/stream", "configurationId"),
    "openai": ("/v1/chat/completions", "model"),
    "resumable": ("/api/llm/streams", "configurationId"),
    "direct": ("/v1/chat/completions", "model"),
}


@dataclass
class Result:
    """What one stream gave. `late` is in microseconds, an entry an event."""

    late: list[int] = field(default_factory=list)
    lost: int = 0
    repeated: int = 0
    failed: str = ""
    cuts: int = 0


class Text:
    """The text of a stream, marks taken out as they come."""

    def __init__(self, result: Result) -> None:
        self.result = result
        self.rest = ""
        self.next = 0

    def add(self, text: str) -> None:
        self.rest += text
        found = marks(self.rest)
        if not found:
            return
        now = time.monotonic_ns() // 1000
        self.rest = self.rest[self.rest.rindex("z ") + 2 :]
        for number, written in found:
            self.result.late.append(now - written)
            self.result.lost += max(0, number - self.next)
            self.result.repeated += number < self.next
            self.next = max(self.next, number + 1)


class Sse:
    """Reads one SSE body: the text, the last id, and whether the end came."""

    def __init__(self, text: Text) -> None:
        self.text = text
        self.rest = b""
        self.last = -1
        self.ended = False

    def feed(self, data: bytes) -> None:
        whole, _, self.rest = (self.rest + data).rpartition(b"\n\n")
        for block in whole.split(b"\n\n"):
            for line in block.split(b"\n"):
                if line.startswith(b"id: "):
                    self.last = int(line[4:])
                elif line == b"data: [DONE]":
                    self.ended = True
                elif line.startswith(b"data: "):
                    self.take(json.loads(line[6:]))

    def take(self, message: dict[str, Any]) -> None:
        if message.get("type") == "token":
            self.text.add(message["content"])
        elif message.get("choices"):
            self.text.add(message["choices"][0]["delta"].get("content") or "")
        elif message.get("type") == "stop":
            self.ended = True
        elif message.get("type") == "error" or "error" in message:
            self.text.result.failed = json.dumps(message)[:200]


async def one(http: aiohttp.ClientSession, base: str, face: str, events: int, cuts: int, seed: int) -> Result:
    """One client, from its request to the end of its stream."""
    result = Result()
    text = Text(result)
    try:
        if face == "ws":
            await _socket(http, base, text)
        elif face == "resumable":
            await _resumable(http, base, Sse(text), cuts, random.Random(seed))
        else:
            await _post(http, base, face, Sse(text))
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        result.failed = f"{type(error).__name__}: {error}"
    result.lost += events - text.next if not result.failed else 0
    return result


async def _post(http: aiohttp.ClientSession, base: str, face: str, sse: Sse) -> None:
    path, name = BODIES[face]
    async with http.post(base + path, json={name: "paced", "messages": MESSAGES, "stream": True}) as answer:
        answer.raise_for_status()
        async for data in answer.content.iter_any():
            sse.feed(data)
    _whole(sse)


async def _resumable(http: aiohttp.ClientSession, base: str, sse: Sse, cuts: int, dice: random.Random) -> None:
    path, name = BODIES["resumable"]
    async with http.post(base + path, json={name: "paced", "messages": MESSAGES}) as answer:
        answer.raise_for_status()
        url = base + (await answer.json())["url"]
    while not sse.ended and not sse.text.result.failed:
        cut_at = time.monotonic() + dice.uniform(0.1, 3) if sse.text.result.cuts < cuts else float("inf")
        async with http.get(url, headers={"Last-Event-ID": str(sse.last)} if sse.last >= 0 else {}) as answer:
            answer.raise_for_status()
            async for data in answer.content.iter_any():
                sse.feed(data)
                if time.monotonic() > cut_at:
                    sse.text.result.cuts += 1
                    sse.rest = b""
                    break
    _whole(sse)


async def _socket(http: aiohttp.ClientSession, base: str, text: Text) -> None:
    async with http.ws_connect(base + "/ws", protocols=["streamweir.v1"]) as socket:
        await socket.send_json({"type": "init", "payload": {"modelId": "paced", "messages": MESSAGES}})
        async for frame in socket:
            message = json.loads(frame.data)
            if message["type"] == "chunk":
                text.add(message["data"]["choices"][0]["delta"].get("content") or "")
            elif message["type"] in ("complete", "error", "blocked"):
                text.result.failed = "" if message["type"] == "complete" else json.dumps(message)[:200]
                return
    text.result.failed = "closed before the end"


def _whole(sse: Sse) -> None:
    if not sse.ended and not sse.text.result.failed:
        sse.text.result.failed = "the body ended before the stream"


async def silent(host: str, port: int) -> asyncio.StreamWriter:
    """A client that asks for a flood and never reads a byte of it."""
    body = json.dumps({"configurationId": "flood", "messages": MESSAGES}).encode()
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, (host, port))
    head = b"POST /api/llm/stream HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    _reader, writer = await asyncio.open_connection(sock=raw, limit=1)
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    writer.write(head + body)
    return writer
