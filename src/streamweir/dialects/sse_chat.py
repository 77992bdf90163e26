"""`sse-chat`: OpenAI-style SSE with bounds that are checked before anything is sent. Wire contract 2.3."""

from __future__ import annotations

from typing import Any

from streamweir.dialects.chunk_stream import ChunkDecoder
from streamweir.dialects.ends import DecodeOptions
from streamweir.request import Bounds, Request, merged, refuse, role_problems, shape_problems, size_problems, uncarried

PATH = "/api/v2/ai/llm/chat/completions"
SCOPES = ("ai:llm:write", "ai:llm:read")
ROLES = ("system", "user", "assistant")

DEFAULT_TEMPERATURE = 0.7
MESSAGE_CHARS = 4096
"""Characters of one message's content; `max_message_chars` changes it."""


def encode_body(request: Request, bounds: Bounds) -> dict[str, Any]:
    """The JSON body."""
    refuse(
        shape_problems(request)
        + role_problems(request, ROLES)
        + size_problems(request, MESSAGE_CHARS if bounds.message_chars is None else bounds.message_chars)
        + uncarried("sse-chat", request, "prompt_id", "metadata")
    )
    body: dict[str, Any] = {
        "model": request.model,
        "messages": request.messages,
        "temperature": request.temperature if request.temperature is not None else DEFAULT_TEMPERATURE,
        "stream": True,
    }
    if request.max_tokens is not None:
        body["max_tokens"] = request.max_tokens
    if request.stop:
        body["stop"] = list(request.stop)
    return merged(body, request.options)


def decoder(options: DecodeOptions) -> ChunkDecoder:
    """A decoder for one stream."""
    return ChunkDecoder(options, numbered=False)
