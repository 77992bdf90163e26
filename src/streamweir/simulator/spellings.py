"""What keep-alives, errors and rubbish look like in each dialect, and how each puts its request. Pure."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from streamweir.dialects import Dialect
from streamweir.wire.sse import encode_comment, encode_event
from streamweir.wire.websocket import encode_message

OVERSIZED = 1024 * 1024 + 1
OVERLOADED = '{"message":"The model is overloaded","code":"overloaded","type":"server_error"}'


class Spelling(msgspec.Struct, frozen=True):
    """The bytes of one dialect for what carries no text. `comment` keeps a connection alive and says nothing."""

    content_type: str
    comment: bytes
    error: bytes
    error_event: bytes
    malformed: bytes
    oversized: bytes
    unknown: bytes


def spelling(dialect: Dialect) -> Spelling:
    """How `dialect` says it."""
    error = f'{{"error":{OVERLOADED}}}'
    broken, unknown = '{"id":"sim","choices":[{"delta":{"content":"unfini', '{"unknown_key":"kept"}'
    if dialect.framing == "sse":
        if dialect.name != "sse-generative":
            unknown = '{"choices":[],"unknown_key":"kept"}'
        return Spelling(
            "text/event-stream",
            encode_comment("keep-alive"),
            encode_event(error),
            encode_event(OVERLOADED, event="error"),
            encode_event(broken),
            encode_event("x" * OVERSIZED),
            encode_event(unknown),
        )
    if dialect.framing == "ndjson":
        typed = f'{{"type":"error","error":{OVERLOADED}}}\n'.encode()
        # an unfinished object would only wait for its end; a raw line end in a string can never be JSON
        return Spelling(
            "application/x-ndjson",
            b"\n",
            error.encode() + b"\n",
            typed,
            b'{"type":"token","content":"unfini\n"}\n',
            b'{"x":"' + b"x" * OVERSIZED,
            b'{"type":"unknown"}\n',
        )
    return Spelling(
        "",
        encode_message(b"", 9),
        encode_message(error.encode()),
        encode_message(f'{{"type":"error","error":{OVERLOADED}}}'.encode()),
        encode_message(broken.encode()),
        encode_message(b"x" * OVERSIZED),
        encode_message(unknown.encode()),
    )


class Put(msgspec.Struct, frozen=True):
    """A request as a gateway reads it. `request_id` is the one in its body, where the dialect has a place for one."""

    model: str
    messages: list[dict[str, Any]]
    request_id: str | None = None
    tools: list[dict[str, Any]] = []


def read_put(dialect: Dialect, body: bytes) -> Put:
    """The request in a body. Raises KeyError, TypeError or msgspec.DecodeError where it is none."""
    found = msgspec.json.decode(body, type=dict[str, Any])
    match dialect.name:
        case "ndjson-chat":
            return Put(str(found["configurationId"]), list(found["input"]["messages"]))
        case "sse-generative":
            return Put(str(found["model"]), list(found["input"]["messages"]), found["request_id"])
        case "ws-gateway":
            context: dict[str, Any] = found["context"]
            system = [{"role": "system", "content": context["system"]}] if "system" in context else []
            if not found["prompt_id"]:
                raise KeyError("prompt_id")
            return Put(str(found["model"]), [*system, *context.get("messages", [])])
        case _:
            metadata = cast("dict[str, Any]", found.get("metadata") or {})
            return Put(
                str(found["model"]), list(found["messages"]), metadata.get("request_id"), list(found.get("tools") or [])
            )
