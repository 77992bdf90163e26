"""Values that must not leave: upstreams that send them, clients that put together what they get, and what leaked."""

import asyncio
import json
import re
from typing import Any

import aiohttp

from streamweir.guard.fold import fold
from streamweir.server.life import Server
from streamweir.wire.sse import SseDecoder
from tests.proxies import FACES, body_of

VALUES = {
    "US_SSN": "123-45-6789",
    "CARD": "4111 1111 1111 1111",
    "EMAIL": "jane.doe+x@sub.example.co.uk",
    "IBAN": "DE89 3704 0044 0532 0130 00",
    "API_KEY": "ghp_" + "a1B2" * 9,
}
TEXT = "Here you are: " + ", and ".join(VALUES.values()) + ". Anything else, Zürich 😊?"
REDACTED = "Here you are: " + ", and ".join(f"[{kind}]" for kind in VALUES) + ". Anything else, Zürich 😊?"


# What is the clock's or chance's own: some second of the day is 20:13:00, and six digits of the IBAN are 201300.
OWN = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z"  # when it was
    r"|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"  # which it was
    r"|(?<![0-9A-Za-z])(?:[0-9a-f]{32})+(?![0-9A-Za-z])"  # what it was, keyed
    r"|(?<=: )\d+\.\d{1,3}(?=[,}])|(?<==)\d+\.\d{1,3}(?=[,)])"  # how long it took
    r'|(?<="created": )\d{10}(?=[,}])'
)


class Upstream:
    """An OpenAI-style server whose reply is what a test gives it, a character a chunk."""

    def __init__(self, choices: list[dict[str, Any]], end: bytes = b"data: [DONE]\n\n") -> None:
        self.choices, self.end = choices, end

    async def __aenter__(self) -> str:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}/v1"

    async def __aexit__(self, *_: object) -> None:
        self.server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        for delta in self.choices:
            choice = {
                "index": 0,
                "delta": delta,
                "logprobs": {"content": [{"token": delta.get("content")}]},
                "odd": str(delta),
            }
            writer.write(b"data: " + json.dumps({"choices": [choice], "note": str(delta)}).encode() + b"\n\n")
        writer.write(self.end)
        await writer.drain()
        writer.close()


def content(text: str, key: str = "content") -> list[dict[str, Any]]:
    return [{key: char} for char in text]


def leaks(data: str) -> list[str]:
    """The values, or runs of six of their digits, that a text holds once escapes and separators are taken out."""
    plain = re.sub(r"\\u([0-9a-fA-F]{4})", lambda m: chr(int(m[1], 16)), data)
    plain = "".join(map(fold, OWN.sub(" own ", plain)))
    bare = re.sub(r"[^0-9A-Za-z@]", "", plain)
    out = []
    for value in VALUES.values():
        digits = re.sub(r"[^0-9]", "", value)
        runs = {digits[at : at + 6] for at in range(len(digits) - 5)}
        if value in plain or re.sub(r"[^0-9A-Za-z@]", "", value) in bare or any(run in bare for run in runs):
            out.append(value)
    return out


async def heard(server: Server, face: str, name: str, prompt: str = "hello") -> list[Any]:
    """Every JSON object that a client of a face gets."""
    body = body_of(face, name, prompt)
    async with asyncio.timeout(20), aiohttp.ClientSession() as http:
        if face == "websocket":
            out: list[Any] = []
            async with http.ws_connect(f"{server.url}/ws") as socket:
                await socket.send_json({"type": "init", "payload": body})
                while not out or out[-1]["type"] not in ("complete", "blocked", "error"):
                    out.append((await socket.receive()).json())
            return out
        async with http.post(server.url + FACES[face][0], json=body) as answer:
            data = await answer.read()
    if answer.content_type == "application/json":
        return [json.loads(data)]
    return [json.loads(frame.data) for frame in SseDecoder().feed(data) if frame.data != "[DONE]"]


def prompt_of(dialect: str) -> dict[str, str]:
    return {"prompt_id": "x"} if dialect == "ws-gateway" else {}


def channels(objects: list[Any]) -> dict[str, str]:
    """The texts that are spread over the objects: for each path of keys, what stands there, one behind the other."""
    out: dict[str, str] = {}

    def walk(value: Any, path: str) -> None:
        if isinstance(value, dict):
            for key, one in value.items():
                walk(one, f"{path}.{key}")
        elif isinstance(value, list):
            for one in value:
                walk(one, path)
        elif isinstance(value, str):
            out[path] = out.get(path, "") + value

    for one in objects:
        walk(one, "")
    return out


def leaking(objects: list[Any]) -> list[str]:
    """The values that a client could put together."""
    return [value for text in (*channels(objects).values(), json.dumps(objects)) for value in leaks(text)]


class Echo(Upstream):
    """Answers with what it was asked, a character a chunk, and remembers it."""

    asked = ""
    body: dict[str, Any] | None = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        body = json.loads(
            await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))
        )
        self.body, self.asked = body, body["messages"][-1]["content"]
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        for char in f"You said: {self.asked}":
            writer.write(
                b"data: " + json.dumps({"choices": [{"index": 0, "delta": {"content": char}}]}).encode() + b"\n\n"
            )
        writer.write(self.end)
        await writer.drain()
        writer.close()
