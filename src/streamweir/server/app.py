"""The proxy's application: its routes."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiohttp import web

from streamweir.server.asyncapi import asyncapi
from streamweir.server.chat_routes import chat, chat_again, chat_cancel
from streamweir.server.gate import gate
from streamweir.server.openapi import openapi
from streamweir.server.pages import console, healthz, metrics, readyz, static, to_console, version
from streamweir.server.routes import browser_stream, chat_completions, models, responses
from streamweir.server.shared import SHARED, Shared
from streamweir.server.sockets import websocket
from streamweir.server.stream_routes import cancel, create, read
from streamweir.server.ticket_route import tickets

ROUTES = (
    web.post("/api/llm/stream", browser_stream),
    web.post("/api/llm/streams", create),
    web.get("/api/llm/streams/{id}", read, allow_head=False),
    web.delete("/api/llm/streams/{id}", cancel),
    web.get("/ws", websocket),
    web.post("/v1/chat/completions", chat_completions),
    web.post("/v1/responses", responses),
    web.get("/v1/models", models),
    web.post("/api/chat", chat),
    web.get("/api/chat/{id}/stream", chat_again, allow_head=False),
    web.delete("/api/chat/{id}/stream", chat_cancel),
    web.post("/api/llm/tickets", tickets),
    web.get("/openapi.json", openapi),
    web.get("/asyncapi.json", asyncapi),
    web.get("/healthz", healthz),
    web.get("/readyz", readyz),
    web.get("/metrics", metrics),
    web.get("/version", version),
    web.get("/static/{part}", static),
    web.get("/console", to_console),
    web.get("/console/", console),
    web.get("/console/{part}", console),
)


def make_app(shared: Shared) -> web.Application:
    """The application over what its requests share."""
    app = web.Application(middlewares=[gate], client_max_size=shared.body_limit)
    app[SHARED] = shared
    app.router.add_routes(ROUTES)
    app.cleanup_ctx.append(_upstreams)
    return app


async def _upstreams(app: web.Application) -> AsyncIterator[None]:
    yield
    await app[SHARED].pool.close()
