"""Error bodies: the platform's own, OpenAI's, and whatever a load balancer sends. Pure."""

from __future__ import annotations

from typing import Any, cast

import msgspec

MAX_MESSAGE = 500
"""Characters of an upstream's message that are kept; a load balancer's HTML page is not a message."""


class UpstreamError(msgspec.Struct, frozen=True):
    """What an error body said. Source: the official SDKs' ErrorBody, and RFC 6749 for the token endpoint."""

    message: str = ""
    code: str | None = None
    status: int | None = None
    context_id: str | None = None


def parse_error(body: bytes | str) -> UpstreamError:
    """What an error body says; a body that is empty or no JSON gives its first line as the message."""
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
        first = next((line.strip() for line in text.splitlines() if line.strip()), "")
        return UpstreamError("" if first.startswith("<") else first[:MAX_MESSAGE])
    return error_of(decoded)


def error_of(value: Any) -> UpstreamError:
    """What a decoded error object says, in any of the shapes that are met."""
    if isinstance(value, str):
        return UpstreamError(value[:MAX_MESSAGE])
    if not isinstance(value, dict):
        return UpstreamError()
    found = cast("dict[str, Any]", value)
    # a loop, since how deep the peer's objects stand in each other is the peer's choice
    while isinstance(inner := found.get("error"), dict):
        found = cast("dict[str, Any]", inner)
    message = _first(found, "message", "error_description", "description", "detail")
    if isinstance(inner, str):
        return UpstreamError(message or inner[:MAX_MESSAGE], code=inner[:MAX_MESSAGE])
    code = found.get("code") or found.get("type")
    status = found.get("status")
    context = found.get("contextId")
    return UpstreamError(
        message,
        code=str(code)[:MAX_MESSAGE] if isinstance(code, str | int) else None,
        status=status if isinstance(status, int) else None,
        context_id=context if isinstance(context, str) else None,
    )


def _first(found: dict[str, Any], *keys: str) -> str:
    for key in keys:
        text = found.get(key)
        if isinstance(text, str) and text:
            return text[:MAX_MESSAGE]
    return ""
