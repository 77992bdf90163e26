"""The routes that stream over HTTP: they read a request, streams.py does the rest, the gate answers what is raised."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web

from streamweir.client.opening import Opening
from streamweir.faces import browser_sse, openai_completion, responses_request
from streamweir.faces.browser_sse import BrowserSse
from streamweir.faces.openai_chat import OpenAIChat
from streamweir.faces.openai_responses import OpenAIResponses, answer
from streamweir.server.gathering import gather
from streamweir.server.shared import SHARED, body_of, opening_of, request_id_of, who_of
from streamweir.server.streams import id_headers, stream


async def browser_stream(request: web.Request) -> web.StreamResponse:
    """`POST /api/llm/stream`: SSE for browsers."""
    wanted = browser_sse.read_request(body_of(request))
    return await stream(request, await opening_of(request, wanted, withdraw=True), BrowserSse())


async def chat_completions(request: web.Request) -> web.StreamResponse:
    """`POST /v1/chat/completions`: OpenAI-compatible, streamed and not."""
    wanted = openai_completion.read_request(body_of(request))
    opening = await opening_of(request, wanted, withdraw=not wanted.stream)
    named = _named(f"chatcmpl-{request_id_of(request)}", opening)
    if wanted.stream:
        return await stream(request, opening, OpenAIChat(**named, include_usage=wanted.include_usage))
    events, opened = await gather(request, opening)
    return _json(*openai_completion.completion(events, **named), id_headers(opened))


async def responses(request: web.Request) -> web.StreamResponse:
    """`POST /v1/responses`: OpenAI's newer interface, streamed and not. Nothing is stored."""
    asked = responses_request.read_request(body_of(request))
    opening = await opening_of(request, asked.wanted, withdraw=not asked.wanted.stream)
    face = OpenAIResponses(**_named(request_id_of(request), opening), echo=asked.echo)
    if asked.wanted.stream:
        return await stream(request, opening, face)
    events, opened = await gather(request, opening)
    return _json(*answer(events, face), id_headers(opened))


async def models(request: web.Request) -> web.Response:
    """`GET /v1/models`: the profiles that the key may use."""
    names = request.app[SHARED].serving.profiles.names(who_of(request))
    data = [{"id": name, "object": "model", "created": 0, "owned_by": "streamweir"} for name in names]
    return web.json_response({"object": "list", "data": data})


def _named(id: str, opening: Opening) -> dict[str, Any]:
    return {"id": id, "model": opening.profile, "created": int(time.time())}


def _json(status: int, body: Mapping[str, Any], headers: Mapping[str, str]) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(body), content_type="application/json", headers=headers)
