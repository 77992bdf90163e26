"""`openai`: any OpenAI-compatible server (vLLM, llama.cpp, LiteLLM, Azure, OpenAI). Wire contract 2.6."""

from __future__ import annotations

from typing import Any

from streamweir.dialects.chunk_stream import ChunkDecoder
from streamweir.dialects.ends import DecodeOptions
from streamweir.request import Bounds, Request, merged, refuse, shape_problems

PATH = "/chat/completions"


def encode_body(request: Request, bounds: Bounds) -> dict[str, Any]:
    """The JSON body. Tools, content parts and any other key of the caller's request go through as they are."""
    refuse(shape_problems(request))
    body: dict[str, Any] = {**request.passthrough, "model": request.model, "messages": request.messages, "stream": True}
    body["stream_options"] = {"include_usage": True} | request.passthrough.get("stream_options", {})
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.max_tokens is not None and "max_completion_tokens" not in body:
        body["max_tokens"] = request.max_tokens
    if request.stop:
        body["stop"] = list(request.stop)
    if request.metadata:
        body["metadata"] = request.metadata
    return merged(body, request.options)


def decoder(options: DecodeOptions) -> ChunkDecoder:
    """A decoder for one stream."""
    return ChunkDecoder(options, numbered=False)
