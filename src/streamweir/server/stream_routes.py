"""Streams that outlive a connection, over HTTP: create, attach, cancel. Wire contract 6.1."""

from __future__ import annotations

import time
import uuid
from hashlib import sha256
from typing import Final

import msgspec
from aiohttp import web

from streamweir.errors import RequestError
from streamweir.faces import browser_sse
from streamweir.faces.browser_sse import BrowserSse, Created
from streamweir.faces.problems import Problem
from streamweir.resumption.directory import MAX_KEY, Made, Reused
from streamweir.resumption.log import Trimmed
from streamweir.server.attached import attach
from streamweir.server.kept import new_capability
from streamweir.server.resumable import Resumable
from streamweir.server.shared import SHARED, body_of, opening_of, who_of

RETRY: Final = b"retry: 200\n\n"
"""Milliseconds after which an EventSource comes back; its own default is seconds."""


async def create(request: web.Request) -> web.Response:
    """`POST /api/llm/streams`: begin a reply, for whoever reads it then."""
    shared = request.app[SHARED]
    body = body_of(request)
    who = who_of(request)
    key = idempotency_key(request.headers.get("Idempotency-Key"))
    digest = sha256(body).digest()
    id, capability = str(uuid.uuid4()), new_capability()
    async with shared.kept.making(who.name, key):
        made = made_before(request, who.name, key, digest)
        if made is not None:
            return _created(made.id, made.capability, replayed=True)
        opening = await opening_of(request, browser_sse.read_request(body), withdraw=True)
        shared.kept.check()
        place = await shared.slots.take(who)
        if key is not None:
            shared.kept.streams.remember(who.name, key, Made(digest, id, capability, time.monotonic()))
        frames = BrowserSse(id).frames
        Resumable(request, opening, frames, id=id, owner=who.name, capability=capability, wire="sse", place=place)
    return _created(id, capability)


def _created(id: str, capability: str, *, replayed: bool = False) -> web.Response:
    body = msgspec.json.encode(Created(id, f"/api/llm/streams/{id}?cap={capability}"))
    headers = {"Cache-Control": "no-store", "Location": f"/api/llm/streams/{id}"}
    if replayed:
        headers["Idempotent-Replayed"] = "true"
    return web.Response(status=201, body=body, content_type="application/json", headers=headers)


async def read(request: web.Request) -> web.StreamResponse:
    """`GET /api/llm/streams/{id}`: a stream, from behind `Last-Event-ID` or `after` on."""
    stream = found(request)
    after = checked(stream, position_of(request))
    if stream.over and after + 1 >= stream.log.next:
        return web.Response(status=204)
    return await attach(request, stream, after, RETRY)


async def cancel(request: web.Request) -> web.Response:
    """`DELETE /api/llm/streams/{id}`: the reply is not wanted any more; those who read it are told."""
    found(request).end("client_gone")
    return web.Response(status=204)


def found(request: web.Request) -> Resumable:
    """The stream that a request names. Raises Problem where there is none for whoever asks."""
    who, capability = who_of(request), request.query.get("cap")
    stream = request.app[SHARED].kept.streams.find(request.match_info["id"], who.name, capability)
    if who.ticket and capability is None:
        # a page has what is its own, and its key has all pages'
        stream = None
    if stream is None or stream.wire != "sse":
        raise unknown()
    return stream


def unknown() -> Problem:
    """Whether it never was, is over, or belongs to another key is told to nobody."""
    return Problem(404, "stream_not_found", "there is no such stream here, or its window is over: ask for a new one")


def position_of(request: web.Request) -> int | None:
    """What the client has already, where it says so; -1: nothing. Raises RequestError."""
    given = request.headers.get("Last-Event-ID")
    name = "Last-Event-ID"
    if given is None:
        given, name = request.query.get("after"), "after"
    if given is None or given == "":
        return None
    if given == "-1":
        return -1
    if not (given.isascii() and given.isdigit() and len(given) < 16):
        raise RequestError(f"{name} is no position: give the id of the last event that you have")
    return int(given)


def checked(stream: Resumable, after: int | None) -> int:
    """A position from which a stream can be read; none given: its start. Raises RequestError or Problem."""
    after = -1 if after is None else after
    if after >= stream.log.next:
        if stream.over:
            return after
        raise RequestError(f"position {after} has not been sent yet: the last one is {stream.log.next - 1}")
    try:
        stream.log.read(after, 1)
    except Trimmed:
        raise Problem(
            404,
            "position_gone",
            f"the log of this stream begins behind position {stream.log.first - 1}: what comes before is kept no more",
        ) from None
    return after


def idempotency_key(given: str | None) -> str | None:
    """The key of a request that may come twice. Raises RequestError."""
    if given is None:
        return None
    if not given or len(given) > MAX_KEY or not given.isascii() or not given.isprintable():
        raise RequestError(f"Idempotency-Key must be 1 to {MAX_KEY} printable ASCII characters, such as a UUID")
    return given


def made_before(request: web.Request, owner: str | None, key: str | None, digest: bytes) -> Made | None:
    """What the same request made when it came before. Raises Problem where another one came with that key."""
    if key is None:
        return None
    try:
        return request.app[SHARED].kept.streams.made(owner, key, digest, time.monotonic())
    except Reused:
        raise Problem(
            422,
            "idempotency_key_reused",
            "this Idempotency-Key came with another request: give each request a key of its own",
        ) from None
