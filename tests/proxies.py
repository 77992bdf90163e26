"""A proxy over a simulator, and what a client of each face sends and reads. Over real sockets."""

import asyncio
import contextlib
import json
from typing import Any

from streamweir.config import load_text
from streamweir.faces.browser_ws import SUBPROTOCOL
from streamweir.report import Report
from streamweir.server.life import Server
from streamweir.server.shared import Asked
from streamweir.simulator.app import RunningSimulator

HELLO = [{"role": "user", "content": "hello"}]

FACES: dict[str, tuple[str, dict[str, Any]]] = {
    # face: its path, and what it takes beside the profile
    "sse": ("/api/llm/stream", {"messages": HELLO}),
    "openai": ("/v1/chat/completions", {"messages": HELLO, "stream": True}),
    "openai whole": ("/v1/chat/completions", {"messages": HELLO}),
    "responses": ("/v1/responses", {"input": "hello", "stream": True}),
    "ai-sdk": ("/api/chat", {"id": "c", "messages": [{"role": "user", "parts": [{"type": "text", "text": "hello"}]}]}),
    "websocket": ("/ws", {"messages": HELLO}),
}
NAMES = {"sse": "configurationId", "ai-sdk": "profile", "websocket": "modelId"}


def body_of(face: str, profile: str, prompt: str = "hello") -> dict[str, Any]:
    body = {NAMES.get(face, "model"): profile, **FACES[face][1]}
    return json.loads(json.dumps(body).replace('"hello"', json.dumps(prompt)))


def post(face: str, profile: str, prompt: str = "hello", **headers: str) -> bytes:
    """The bytes of a request over HTTP."""
    body = json.dumps(body_of(face, profile, prompt)).encode()
    lines = [f"POST {FACES[face][0]} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def masked(message: bytes, opcode: int = 1) -> bytes:
    """A frame as a client sends it."""
    size = bytes((0x80 | len(message),)) if len(message) < 126 else bytes((0xFE,)) + len(message).to_bytes(2)
    return bytes((0x80 | opcode,)) + size + b"\0\0\0\0" + message


class Downstream:
    """A client of any face on a socket of its own."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def ask(
        cls, server: Server, face: str, profile: str, limit: int = 65536, prompt: str = "hello"
    ) -> "Downstream":
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=limit)
        if face != "websocket":
            writer.write(post(face, profile, prompt))
            return cls(reader, writer)
        writer.write(
            b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: %b\r\n\r\n" % SUBPROTOCOL.encode()
        )
        assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
        init = json.dumps({"type": "init", "payload": body_of(face, profile, prompt)}).encode()
        writer.write(masked(init))
        return cls(reader, writer)

    async def read(self, at_least: int) -> bytes:
        data = b""
        async with asyncio.timeout(10):
            while len(data) < at_least:
                piece = await self.reader.read(65536)
                if not piece:
                    break
                data += piece
        return data

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()

    def leave(self) -> None:
        """As a killed process leaves: without a word."""
        self.writer.transport.abort()


class Told:
    """Collects the reports that a server tells."""

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self.news = asyncio.Event()

    def __call__(self, report: Report, asked: Asked) -> None:
        self.reports.append(report)
        self.news.set()

    async def next(self, seconds: float) -> Report:
        async with asyncio.timeout(seconds):
            while not self.reports:
                self.news.clear()
                await self.news.wait()
        return self.reports.pop(0)


async def proxy_with(text: str, told: Told | None = None, environ: dict[str, str] | None = None) -> Server:
    server = Server(load_text(text), environ or {}, "127.0.0.1", 0, told=told)
    await server.start()
    return server


def upstream(simulator: RunningSimulator, dialect: str = "openai", name: str = "sim", **keys: Any) -> str:
    url = simulator.url + ("/v1" if dialect == "openai" else "")
    own = "" if dialect == "openai" else 'client_id = "sim-client"\nclient_secret = "sim-secret"\n'
    more = "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())
    return f'[upstreams.{name}]\ndialect = "{dialect}"\nbase_url = "{url}"\n{own}{more}'


def profile(name: str, model: str, upstream: str = "sim", **keys: Any) -> str:
    more = "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())
    return f'[profiles."{name}"]\nupstream = "{upstream}"\nmodel = "{model}"\n{more}'
