"""`sse-gateway`: SSE with sequence numbers. Wire contract 2.1."""

from __future__ import annotations

from typing import Any

from streamweir.dialects.chunk_stream import ChunkDecoder
from streamweir.dialects.ends import DecodeOptions
from streamweir.request import Bounds, Request, merged, refuse, shape_problems, uncarried

PATH = "/api/v2/ai/llm/gateway/chat/completions"
SCOPES = ("ai:llm:gateway:use",)

DEFAULT_MAX_TOKENS = 500
DEFAULT_TEMPERATURE = 0.7


def encode_body(request: Request, bounds: Bounds) -> dict[str, Any]:
    """The JSON body. `max_tokens` and `temperature` are always sent, since the gateway's sample always has them."""
    refuse(shape_problems(request) + uncarried("sse-gateway", request, "stop", "prompt_id"))
    body: dict[str, Any] = {
        "model": request.model,
        "messages": request.messages,
        "max_tokens": request.max_tokens if request.max_tokens is not None else DEFAULT_MAX_TOKENS,
        "stream": True,
        "temperature": request.temperature if request.temperature is not None else DEFAULT_TEMPERATURE,
        "stream_options": {"include_usage": True, "include_chunk_size": 16, "encoding": "utf-8"},
        "metadata": {"request_id": request.request_id, "timestamp": request.timestamp} | request.metadata,
    }
    return merged(body, request.options)


def decoder(options: DecodeOptions) -> ChunkDecoder:
    """A decoder for one stream."""
    return ChunkDecoder(options, numbered=True)
