"""`GET /openapi.json` and `GET /asyncapi.json`: the routes and messages, for tools, built from the types themselves."""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import version
from typing import Any, Final

import msgspec
from aiohttp import web

from streamweir.faces import SENTENCES
from streamweir.faces.browser_sse import BrowserRequest
from streamweir.faces.browser_ws import ERRORS, SUBPROTOCOL, InitPayload
from streamweir.report import Report
from streamweir.server.ticket_route import TicketAnswer, TicketRequest

REFUSALS: Final = {
    "400": "the request is wrong; the message says where",
    "401": "no key or ticket, or one that is not known",
    "403": "the key may not use the profile, or the page's origin may not ask",
    "404": "no such profile",
    "413": "the body is too large",
    "422": "the prompt does not fit the context window",
    "429": "the upstream's request budget is used up; Retry-After says for how long",
    "502": "the upstream refused, or its credentials failed",
    "503": "the profile is not usable, or the server is full",
    "504": "the upstream did not answer in time",
}

OPENAI: Final = "OpenAIError"

OBJECT: Final[dict[str, Any]] = {"type": "object"}
TEXT: Final[dict[str, Any]] = {"type": "string"}
COUNT: Final[dict[str, Any]] = {"type": "integer", "minimum": 0}


@lru_cache
def openapi_document() -> dict[str, Any]:
    """OpenAPI 3.1 of the HTTP routes."""
    security: list[dict[str, list[str]]] = [{"bearer": []}, {"apiKey": []}, {"ticket": []}, {}]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "streamweir",
            "version": version("streamweir"),
            "summary": "The measured gate for LLM token streams",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": security,
        "paths": {
            "/api/llm/stream": {"post": _post("browserStream", "SSE for browsers", "BrowserRequest", _events())},
            "/api/chat": {"post": _post("chat", "AI SDK UI message stream (v1)", "UIChat", _sse("UIMessageChunk"))},
            "/v1/chat/completions": {
                "post": _post(
                    "chatCompletions", "OpenAI Chat Completions", "ChatRequest", _either("ChatCompletion"), OPENAI
                )
            },
            "/v1/responses": {
                "post": _post("responses", "OpenAI Responses", "ResponsesRequest", _either("ResponseObject"), OPENAI)
            },
            "/v1/models": {"get": _get("models", "the profiles that the key may use", "Models", OPENAI)},
            "/api/llm/tickets": {"post": _tickets()},
            "/healthz": {"get": _get("healthz", "the process answers", "Health", None)},
            "/version": {"get": _get("version", "which release this is", "Version", None)},
        },
        "components": {
            "schemas": _schemas() | _documented(),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "ticket": {"type": "apiKey", "in": "header", "name": "X-Streamweir-Ticket"},
            },
            "headers": {
                "X-Request-Id": {"schema": TEXT, "description": "the request's own id, or a new one"},
                "ININ-Correlation-Id": {"schema": TEXT, "description": "the upstream's name for the stream"},
            },
        },
    }


@lru_cache
def asyncapi_document() -> dict[str, Any]:
    """AsyncAPI 3.0 of the WebSocket."""
    clients = {
        "init": _object({"type": {"const": "init"}, "payload": _ref("InitPayload")}),
        "cancel": _object({"type": {"const": "cancel"}}),
        "ping": _object({"type": {"const": "ping"}}),
        "pong": _object({"type": {"const": "pong"}}),
    }
    log = {"auditLog": _ref("AuditLog"), "seq": COUNT}
    # one type says two things: a terminal error has a position in the stream, a refused message has none
    error = {"type": {"const": "error"}, "message": TEXT, "code": TEXT}
    servers = {
        "handshake_ack": _object(
            {"type": {"const": "handshake_ack"}, "tokenCount": COUNT, "modelId": TEXT, "streamId": TEXT}
        ),
        "chunk": _object({"type": {"const": "chunk"}, "seq": COUNT, "index": COUNT, "data": _ref("ChatChunk")}),
        "joint": _object({"type": {"const": "joint"}, "at": COUNT, "seq": COUNT}),
        "restarted": _object({"type": {"const": "restarted"}, "seq": COUNT}),
        "complete": _object({"type": {"const": "complete"}, **log}),
        "blocked": _object({"type": {"const": "blocked"}, "reason": TEXT, **log}),
        "failed": _object(
            error | {"retryable": {"type": "boolean"}, "correlation_id": {"type": ["string", "null"]}, **log}
        ),
        "refused": _object(error)
        | {"not": {"required": ["seq"]}, "description": f"codes: {', '.join(ERRORS)}, busy …"},
        "heartbeat": _object({"type": {"const": "ping"}}),
        "answer": _object({"type": {"const": "pong"}}),
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
            "schemas": _schemas() | {"ChatChunk": OBJECT, "AuditLog": _audit_log()},
        },
    }


async def openapi(request: web.Request) -> web.Response:
    """`GET /openapi.json`."""
    return web.Response(body=msgspec.json.encode(openapi_document()), content_type="application/json")


async def asyncapi(request: web.Request) -> web.Response:
    """`GET /asyncapi.json`."""
    return web.Response(body=msgspec.json.encode(asyncapi_document()), content_type="application/json")


# -- pieces --------------------------------------------------------------------------------------------


def _schemas() -> dict[str, Any]:
    types = (BrowserRequest, InitPayload, TicketRequest, TicketAnswer, Report)
    _, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    return components


def _documented() -> dict[str, Any]:
    message: dict[str, Any] = {"type": "array", "items": OBJECT, "minItems": 1}
    position = {"report": _ref("Report")}
    nullable = {"type": ["string", "null"]}
    return {
        "Refusal": _object({"error": TEXT, "code": TEXT, "correlation_id": nullable}),
        "OpenAIError": _object(
            {"error": _object({"message": TEXT, "type": TEXT, "param": nullable, "code": nullable})}
        ),
        "BrowserEvent": {
            "oneOf": [
                _object({"type": {"const": "token"}, "content": TEXT, "index": COUNT}),
                _object({"type": {"const": "joint"}, "at": COUNT}),
                _object({"type": {"const": "restarted"}}),
                _object({"type": {"const": "stop"}, **position}),
                _object({"type": {"const": "blocked"}, "reason": TEXT, **position}),
                _object(
                    {
                        "type": {"const": "error"},
                        "message": TEXT,
                        "code": {"enum": sorted(SENTENCES)},
                        "retryable": {"type": "boolean"},
                        "correlation_id": nullable,
                        **position,
                    }
                ),
            ]
        },
        "UIChat": {"type": "object", "required": ["messages"], "properties": {"messages": message, "profile": TEXT}},
        "UIMessageChunk": {"type": "object", "required": ["type"], "properties": {"type": TEXT}},
        "ChatRequest": {
            "type": "object",
            "required": ["model", "messages"],
            "properties": {"model": TEXT, "messages": message, "stream": {"type": "boolean"}},
        },
        "ChatCompletion": _object({"id": TEXT, "object": {"const": "chat.completion"}, "choices": message}),
        "ResponsesRequest": {
            "type": "object",
            "required": ["model", "input"],
            "properties": {"model": TEXT, "input": {"type": ["string", "array"]}, "stream": {"type": "boolean"}},
        },
        "ResponseObject": _object({"id": TEXT, "object": {"const": "response"}, "status": TEXT}),
        "Models": _object(
            {"object": {"const": "list"}, "data": {"type": "array", "items": _object({"id": TEXT, "object": TEXT})}}
        ),
        "Health": _object({"status": {"const": "ok"}}),
        "Version": _object({"name": TEXT, "version": TEXT}),
    }


def _audit_log() -> dict[str, Any]:
    unknown = {"type": ["boolean", "null"]}
    return _object(
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
            "report": _ref("Report"),
        }
    )


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _operation(action: str, messages: dict[str, Any]) -> dict[str, Any]:
    named = [{"$ref": f"#/channels/ws/messages/{name}"} for name in messages]
    return {"action": action, "channel": {"$ref": "#/channels/ws"}, "messages": named}


def _json_of(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": _ref(name)}}


def _sse(name: str) -> dict[str, Any]:
    return {"text/event-stream": {"schema": {"type": "string", "x-event-data": _ref(name)}}}


def _events() -> dict[str, Any]:
    return _sse("BrowserEvent")


def _either(name: str) -> dict[str, Any]:
    return {**_json_of(name), **_sse("UIMessageChunk")}


def _answers(content: dict[str, Any], status: str, refusal: str | None) -> dict[str, Any]:
    headers = {name: {"$ref": f"#/components/headers/{name}"} for name in ("X-Request-Id", "ININ-Correlation-Id")}
    answers: dict[str, Any] = {status: {"description": "done, or on its way", "headers": headers, "content": content}}
    if refusal is not None:
        for refused, why in REFUSALS.items():
            answers[refused] = {"description": why, "content": _json_of(refusal)}
    return answers


def _post(name: str, summary: str, body: str, content: dict[str, Any], refusal: str = "Refusal") -> dict[str, Any]:
    return {
        "operationId": name,
        "summary": summary,
        "requestBody": {"required": True, "content": _json_of(body)},
        "responses": _answers(content, "200", refusal),
    }


def _get(name: str, summary: str, content: str, refusal: str | None) -> dict[str, Any]:
    answers = _answers(_json_of(content), "200", None)
    open_to_all: dict[str, Any] = {"security": []} if refusal is None else {}
    if refusal is not None:
        answers["401"] = {"description": REFUSALS["401"], "content": _json_of(refusal)}
    return {"operationId": name, "summary": summary, "responses": answers, **open_to_all}


def _tickets() -> dict[str, Any]:
    return {
        "operationId": "tickets",
        "summary": "a one-use ticket for a browser",
        "requestBody": {"required": True, "content": _json_of("TicketRequest")},
        "responses": _answers(_json_of("TicketAnswer"), "201", "Refusal"),
    }
