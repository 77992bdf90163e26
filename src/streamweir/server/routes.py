"""The routes that stream: they read a request, open the upstream, and hand over to streams.py."""

from __future__ import annotations

import time
import uuid
from typing import Any, Final

import msgspec
from aiohttp import web

from streamweir.client.aio.upstream import UpstreamClient
from streamweir.client.exchange import Opening
from streamweir.errors import StreamweirError
from streamweir.faces import browser_sse, openai_completion
from streamweir.faces.browser_sse import BrowserSse
from streamweir.faces.openai_chat import OpenAIChat
from streamweir.request import Request
from streamweir.server.problems import Problem, openai, plain, problem_of
from streamweir.server.profiles import Profile, Profiles
from streamweir.server.streams import forward, gather
from streamweir.stages.report import rfc3339

STREAM_HEADERS: Final = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
}

MAX_REQUEST_ID: Final = 128
"""Characters of a client's X-Request-Id; it goes into logs and upstream headers, so it is short and printable."""

PROFILES: Final = web.AppKey("profiles", Profiles)


def request_id_of(request: web.Request) -> str:
    """The client's own id for the request where it gave a usable one, else a new one."""
    given = request.headers.get("X-Request-Id", "")
    if given and len(given) <= MAX_REQUEST_ID and given.isascii() and given.isprintable():
        return given
    return str(uuid.uuid4())


async def browser_stream(request: web.Request) -> web.StreamResponse:
    """`POST /api/llm/stream`: SSE for browsers."""
    profiles = request.app[PROFILES]
    try:
        asked = browser_sse.read_request(await request.read())
        profile = profiles.get(asked.configuration_id)
        stop = (asked.stop,) if isinstance(asked.stop, str) else tuple(asked.stop or ())
        sent = Request(
            model=profile.model,
            messages=profile.with_system(asked.messages),
            request_id=request_id_of(request),
            timestamp=rfc3339(time.time()),
            temperature=asked.temperature,
            max_tokens=asked.max_tokens,
            stop=stop,
            conversation_id=asked.conversation_id,
            metadata=asked.metadata or {},
            options=profile.options,
            prompt_id=profile.prompt_id,
        )
        opening = await open_upstream(profile, sent)
    except (StreamweirError, Problem) as error:
        return plain(error if isinstance(error, Problem) else problem_of(error))
    headers = STREAM_HEADERS | id_headers(opening)
    return await forward(
        request, profile.client, opening, BrowserSse(), headers, profiles.wheel, profile=profile.name, withdraw=True
    )


async def chat_completions(request: web.Request) -> web.StreamResponse:
    """`POST /v1/chat/completions`: OpenAI-compatible, streamed and not."""
    profiles = request.app[PROFILES]
    try:
        asked = openai_completion.read_request(await request.read())
        profile = profiles.get(asked.model)
        sent = Request(
            model=profile.model,
            messages=profile.with_system(asked.messages),
            request_id=request_id_of(request),
            timestamp=rfc3339(time.time()),
            temperature=asked.temperature,
            max_tokens=asked.max_tokens,
            stop=asked.stop,
            metadata=asked.metadata,
            options=profile.options,
            prompt_id=profile.prompt_id,
            passthrough=asked.rest,
        )
        opening = await open_upstream(profile, sent)
    except (StreamweirError, Problem) as error:
        return openai(error if isinstance(error, Problem) else problem_of(error))
    shown: dict[str, Any] = {
        "id": f"chatcmpl-{sent.request_id}",
        "model": asked.model,
        "created": int(opening.started_at),
    }
    if asked.stream:
        face = OpenAIChat(**shown, include_usage=asked.include_usage)
        headers = STREAM_HEADERS | id_headers(opening)
        return await forward(
            request,
            profile.client,
            opening,
            face,
            headers,
            profiles.wheel,
            profile=profile.name,
            choices=asked.choices,
        )
    events = await gather(profile.client, opening, profiles.wheel, profile=profile.name, choices=asked.choices)
    status, body = openai_completion.completion(events, **shown)
    return web.Response(
        status=status,
        body=msgspec.json.encode(body),
        content_type="application/json",
        headers=id_headers(opening),
    )


async def models(request: web.Request) -> web.Response:
    """`GET /v1/models`: the profiles."""
    profiles = request.app[PROFILES]
    data = [{"id": name, "object": "model", "created": 0, "owned_by": "streamweir"} for name in profiles.names]
    return web.json_response({"object": "list", "data": data})


async def open_upstream(profile: Profile, sent: Request) -> Opening:
    """Get the request accepted by the profile's upstream. Raises StreamweirError where it is not."""
    opening = Opening(sent, profile.limits, time.monotonic(), time.time(), again=profile.again)
    opening.window, opening.on_overflow = profile.context_window, profile.on_overflow
    client: UpstreamClient = profile.client
    await client.open(opening)
    if opening.error is not None:
        raise opening.error
    return opening


def id_headers(opening: Opening) -> dict[str, str]:
    """The ids by which a stream is found in logs, here and at the upstream."""
    headers = {"X-Request-Id": opening.request.request_id}
    if opening.correlation_id is not None:
        headers["ININ-Correlation-Id"] = opening.correlation_id
    return headers
