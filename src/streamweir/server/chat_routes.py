"""The AI SDK's chats: a reply on its way, which the chat finds again by its own id."""

from __future__ import annotations

import asyncio
import uuid
from hashlib import sha256
from typing import Final

from aiohttp import web

from streamweir.client.opening import Opening
from streamweir.faces import ai_sdk_request
from streamweir.faces.ai_sdk import HEADERS, AiSdk
from streamweir.server.attached import attach
from streamweir.server.kept import new_capability
from streamweir.server.resumable import Resumable
from streamweir.server.shared import FOUND, SHARED, body_of, opening_of, request_id_of, who_of
from streamweir.server.stream_routes import checked, position_of
from streamweir.server.streams import id_headers, stream

CANCELLED_WITHIN: Final = 1.0
"""Seconds in which a handshake that is cancelled is over: the loop's next rounds."""


async def chat(request: web.Request) -> web.StreamResponse:
    """`POST /api/chat`: the AI SDK's UI message stream. One that names its chat goes on without its client."""
    shared = request.app[SHARED]
    body = body_of(request)
    asked = ai_sdk_request.read_request(body)
    message_id = asked.continues or f"msg-{request_id_of(request)}"
    # a page has what is its own, and its key has all pages' chats
    if asked.chat is None or who_of(request).ticket or not shared.serving.resume_window:
        opening = await opening_of(request, asked.wanted, withdraw=False)
        return await stream(request, opening, AiSdk(message_id=message_id), HEADERS)
    digest = sha256(body).digest()
    # no idempotency key of a client's begins so
    async with shared.kept.making(who_of(request).name, f"\0{digest.hex()}"):
        kept = _same(request, asked.chat, digest)
        if kept is None:
            opening = await opening_of(request, asked.wanted, withdraw=False)
            kept = await _make(request, opening, asked.chat, AiSdk(message_id=message_id, numbered=True))
            kept.digest = digest
    headers = dict(HEADERS)
    try:
        latest = await kept.opened(shared.serving.commit_after)
    except asyncio.CancelledError:
        kept.abandon()
        raise
    if latest is not None:
        if latest.error is not None:
            kept.forget()
            request[FOUND].told = True
            raise latest.error
        headers |= id_headers(latest)
    return await attach(request, kept, -1, headers=headers)


def _same(request: web.Request, chat: str, digest: bytes) -> Resumable | None:
    """What the same request made of which nobody was sent anything: browsers send some again by themselves."""
    before = request.app[SHARED].kept.streams.of_chat(who_of(request).name, chat)
    return before if before is not None and before.digest == digest and before.unread and not before.over else None


async def _make(request: web.Request, opening: Opening, chat: str, face: AiSdk) -> Resumable:
    shared, who = request.app[SHARED], who_of(request)
    shared.kept.check()
    before = shared.kept.streams.of_chat(who.name, chat)
    if before is not None and before.abandoned:
        # a chat has one reply at a time: what nobody reads any more was stopped
        before.end("client_gone")
        if not before.over:
            # its handshake is cancelled a moment later: the key may have but this one
            await before.opened(CANCELLED_WITHIN)
    return Resumable(
        request,
        opening,
        face.frames,
        id=str(uuid.uuid4()),
        owner=who.name,
        capability=new_capability(),
        wire="ai-sdk",
        place=await shared.slots.take(who),
        chat=chat,
    )


async def chat_again(request: web.Request) -> web.StreamResponse:
    """`GET /api/chat/{id}/stream`: the reply that is on its way in a chat, from its start or from behind a position."""
    kept = _of_chat(request)
    after = position_of(request)
    if kept is None or (kept.delivered and after is None):
        return web.Response(status=204)
    after = checked(kept, after)
    if kept.over and after + 1 >= kept.log.next:
        return web.Response(status=204)
    return await attach(request, kept, after, headers=HEADERS)


async def chat_cancel(request: web.Request) -> web.Response:
    """`DELETE /api/chat/{id}/stream`: the reply is not wanted any more."""
    kept = _of_chat(request)
    if kept is not None:
        kept.end("client_gone")
    return web.Response(status=204)


def _of_chat(request: web.Request) -> Resumable | None:
    if who_of(request).ticket:
        return None
    return request.app[SHARED].kept.streams.of_chat(who_of(request).name, request.match_info["id"])
