"""`GET /asyncapi.json`: the WebSocket's messages, for tools."""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import version
from typing import Any, Final

import msgspec
from aiohttp import web

from streamweir.faces.browser_ws import SUBPROTOCOL
from streamweir.server.schemas import COUNT, OBJECT, TEXT, ref, schemas_of_types, shape

REFUSED: Final = (
    "invalid_handshake",
    "invalid_request",
    "context_window_exceeded",
    "prompt_blocked",
    "handshake_failed",
    "busy",
    "profile_missing",
    "profile_not_found",
    "profile_not_allowed",
    "key_missing",
    "invalid_key",
    "invalid_ticket",
    "key_rate_limited",
    "too_many_streams",
    "server_full",
    "server_draining",
    "cancelled",
    "stream_not_found",
    "position_gone",
    "idempotency_key_reused",
    "logs_full",
    "slow_client",
)
"""Codes by which a message of a WebSocket's client is not taken, or a stream is no longer sent to it."""


@lru_cache
def asyncapi_document() -> dict[str, Any]:
    """AsyncAPI 3.0 of the WebSocket."""
    clients = {
        "init": shape({"type": {"const": "init"}, "payload": ref("InitPayload")}),
        "resume": shape({"type": {"const": "resume"}, "payload": ref("Resume")}),
        "cancel": shape({"type": {"const": "cancel"}}),
        "ping": shape({"type": {"const": "ping"}}),
        "pong": shape({"type": {"const": "pong"}}),
    }
    log = {"auditLog": ref("AuditLog"), "seq": COUNT}
    # one type says two things: a terminal error has a position in the stream, a refused message has none
    error = {"type": {"const": "error"}, "message": TEXT, "code": TEXT}
    servers = {
        "handshake_ack": shape(
            {"type": {"const": "handshake_ack"}, "tokenCount": COUNT, "modelId": TEXT, "streamId": TEXT, "cap": TEXT}
        ),
        "chunk": shape({"type": {"const": "chunk"}, "seq": COUNT, "index": COUNT, "data": ref("ChatChunk")}),
        "joint": shape({"type": {"const": "joint"}, "at": COUNT, "seq": COUNT}),
        "restarted": shape({"type": {"const": "restarted"}, "seq": COUNT}),
        "complete": shape({"type": {"const": "complete"}, **log}),
        "blocked": shape({"type": {"const": "blocked"}, "reason": TEXT, **log}),
        "failed": shape(
            error | {"retryable": {"type": "boolean"}, "correlation_id": {"type": ["string", "null"]}, **log}
        ),
        "refused": _refused(error),
        "heartbeat": shape({"type": {"const": "ping"}}),
        "answer": shape({"type": {"const": "pong"}}),
    }
    messages = clients | servers
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "streamweir WebSocket", "version": version("streamweir")},
        "channels": {
            "ws": {
                "address": "/ws",
                "description": f"Offer {SUBPROTOCOL} beside streamweir.key.KEY or streamweir.ticket.TICKET.",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
                "bindings": {"ws": {"method": "GET", "bindingVersion": "0.1.0"}},
            }
        },
        "operations": {
            "fromClient": _operation("receive", clients),
            "toClient": _operation("send", servers),
        },
        "components": {
            "messages": {name: {"payload": schema} for name, schema in messages.items()},
            "schemas": schemas_of_types() | {"ChatChunk": OBJECT, "AuditLog": _audit_log()},
        },
    }


async def asyncapi(request: web.Request) -> web.Response:
    """`GET /asyncapi.json`."""
    return web.Response(body=msgspec.json.encode(asyncapi_document()), content_type="application/json")


def _refused(error: dict[str, Any]) -> dict[str, Any]:
    schema = shape(error)
    schema["properties"] |= {"detail": TEXT, "retryAfter": COUNT}
    return schema | {"not": {"required": ["seq"]}, "description": f"codes: {', '.join(REFUSED)}"}


def _operation(action: str, messages: dict[str, Any]) -> dict[str, Any]:
    named = [{"$ref": f"#/channels/ws/messages/{name}"} for name in messages]
    return {"action": action, "channel": {"$ref": "#/channels/ws"}, "messages": named}


def _audit_log() -> dict[str, Any]:
    unknown = {"type": ["boolean", "null"]}
    return shape(
        {
            "requestId": TEXT,
            "modelId": TEXT,
            "timestamp": {"type": "string", "format": "date-time"},
            "status": {"enum": ["success", "blocked", "failed"]},
            "outcome": TEXT,
            "tokenCount": {"type": ["integer", "null"]},
            "latencyMs": {"type": "number"},
            "ppiFiltered": unknown,
            "piiFiltered": unknown,
            "safetyPassed": unknown,
            "report": ref("Report"),
        }
    )
