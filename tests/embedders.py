"""An embedder that answers as a test tells it, on a free port of this machine."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from streamweir.simulator.embedding import embedded

Rows = Callable[[list[str]], Any]


class EmbedderServer:
    """`seen` are the bodies that came, `keys` their Authorization. The rest says what is answered."""

    def __init__(self) -> None:
        self.url = ""
        self.seen: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.size = 16
        self.status = 200
        self.headers: dict[str, str] = {}
        self.body: bytes | None = None
        self.rows: Callable[[list[dict[str, Any]]], list[dict[str, Any]]] = lambda rows: rows
        self.hold: asyncio.Event | None = None
        self.cut = False

    async def answer(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        self.seen.append(asked)
        self.keys.append(request.headers.get("Authorization"))
        if self.hold is not None:
            await self.hold.wait()
        rows = [
            {"object": "embedding", "index": at, "embedding": embedded(text, self.size).tolist()}
            for at, text in enumerate(asked["input"])
        ]
        body = json.dumps({"object": "list", "data": self.rows(rows)}).encode() if self.body is None else self.body
        if self.cut:
            reply = web.StreamResponse(headers={"Content-Length": str(len(body))})
            await reply.prepare(request)
            await reply.write(body[:20])
            assert request.transport is not None
            request.transport.abort()
            return reply
        return web.Response(status=self.status, body=body, headers=self.headers, content_type="application/json")

    @property
    def texts(self) -> list[str]:
        return [text for body in self.seen for text in body["input"]]


@asynccontextmanager
async def embedder_server(port: int = 0) -> AsyncIterator[EmbedderServer]:
    server = EmbedderServer()
    app = web.Application()
    app.router.add_post("/v1/embeddings", server.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield server
    finally:
        await runner.cleanup()
