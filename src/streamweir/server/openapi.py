"""`GET /openapi.json`: the routes, for tools."""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import version
from typing import Any, Final

import msgspec
from aiohttp import web

from streamweir.faces import SENTENCES
from streamweir.resumption.directory import MAX_KEY
from streamweir.server.schemas import COUNT, OBJECT, TEXT, ref, schemas_of_types, shape, with_receipt

REFUSALS: Final = {
    "400": "the request is wrong; the message says where",
    "401": "no key or ticket, or one that is not known",
    "403": "the key may not use the profile, or the page's origin may not ask",
    "404": "no such profile",
    "408": "the body did not come in time",
    "413": "the body is too large",
    "422": "the prompt does not fit the context window",
    "429": "the key's rate or streams, or the upstream's request budget, are used up; Retry-After says for how long",
    "502": "the upstream refused, or its credentials failed",
    "503": "the profile is not usable, or the server is full, drains or cannot record; Retry-After if waiting helps",
    "504": "the upstream did not answer in time",
}

KEPT_NO_MORE: Final = "there is no such stream for whoever asks, its window is over, or the position is kept no more"

OPENAI: Final = "OpenAIError"


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
            "/api/chat/{id}/stream": {
                "get": _read("chatStream", "the reply on its way in a chat", "UIMessageChunk", "chat"),
                "delete": _cancel("cancelChat", "cancel the reply on its way in a chat", "chat"),
            },
            "/api/llm/streams": {"post": _create()},
            "/api/llm/streams/{id}": {
                "get": _read("readStream", "a created stream, from a position on", "BrowserEvent", "stream"),
                "delete": _cancel("cancelStream", "cancel a created stream", "stream"),
            },
            "/v1/chat/completions": {
                "post": _post("chatCompletions", "OpenAI Chat Completions", "ChatRequest", _completions(), OPENAI)
            },
            "/v1/responses": {"post": _post("responses", "OpenAI Responses", "ResponsesRequest", _responses(), OPENAI)},
            "/v1/models": {"get": _get("models", "the profiles that the key may use", "Models", OPENAI)},
            "/api/llm/tickets": {"post": _tickets()},
            "/healthz": {"get": _get("healthz", "the process answers", "Health", None)},
            "/readyz": {"get": _readyz()},
            "/metrics": {"get": _metrics()},
            "/version": {"get": _get("version", "which release this is", "Version", None)},
        },
        "components": {
            "schemas": schemas_of_types() | _documented(),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "ticket": {"type": "apiKey", "in": "header", "name": "X-Streamweir-Ticket"},
            },
            "headers": {
                "X-Request-Id": {"schema": TEXT, "description": "the request's own id, or a new one"},
                "Retry-After": {"schema": COUNT, "description": "seconds after which the same may be taken"},
                "ININ-Correlation-Id": {"schema": TEXT, "description": "the upstream's name for the stream"},
            },
        },
    }


async def openapi(request: web.Request) -> web.Response:
    """`GET /openapi.json`."""
    return web.Response(body=msgspec.json.encode(openapi_document()), content_type="application/json")


# -- pieces --------------------------------------------------------------------------------------------


def _documented() -> dict[str, Any]:
    message: dict[str, Any] = {"type": "array", "items": OBJECT, "minItems": 1}
    position = {"report": ref("Report")}
    nullable = {"type": ["string", "null"]}
    return {
        "Refusal": shape({"error": TEXT, "code": TEXT, "correlation_id": nullable}),
        "OpenAIError": shape({"error": shape({"message": TEXT, "type": TEXT, "param": nullable, "code": nullable})}),
        "BrowserEvent": {
            "oneOf": [
                shape({"type": {"const": "token"}, "content": TEXT, "index": COUNT}),
                shape({"type": {"const": "joint"}, "at": COUNT}),
                shape({"type": {"const": "restarted"}}),
                shape({"type": {"const": "stop"}, **position}),
                shape({"type": {"const": "blocked"}, "reason": TEXT, **position}),
                shape(
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
        "UIChat": {
            "type": "object",
            "required": ["messages"],
            "properties": {"messages": message, "profile": TEXT, "id": TEXT, "resumable": {"type": "boolean"}},
        },
        "UIMessageChunk": {"type": "object", "required": ["type"], "properties": {"type": TEXT}},
        "ChatChunk": {
            "oneOf": [
                with_receipt(
                    shape({"id": TEXT, "object": {"const": "chat.completion.chunk"}, "choices": {"type": "array"}})
                ),
                ref("OpenAIError"),
            ]
        },
        "ResponseEvent": shape({"type": TEXT, "sequence_number": COUNT}),
        "ChatRequest": {
            "type": "object",
            "required": ["model", "messages"],
            "properties": {"model": TEXT, "messages": message, "stream": {"type": "boolean"}},
        },
        "ChatCompletion": with_receipt(shape({"id": TEXT, "object": {"const": "chat.completion"}, "choices": message})),
        "ResponsesRequest": {
            "type": "object",
            "required": ["model", "input"],
            "properties": {"model": TEXT, "input": {"type": ["string", "array"]}, "stream": {"type": "boolean"}},
        },
        "ResponseObject": with_receipt(shape({"id": TEXT, "object": {"const": "response"}, "status": TEXT})),
        "Models": shape(
            {"object": {"const": "list"}, "data": {"type": "array", "items": shape({"id": TEXT, "object": TEXT})}}
        ),
        "Health": shape({"status": {"const": "ok"}}),
        "Ready": shape({"status": {"const": "ready"}}),
        "Unready": shape(
            {"status": {"enum": ["draining", "full"]}, "reasons": {"type": "array", "items": TEXT, "minItems": 1}}
        ),
        "Version": shape({"name": TEXT, "version": TEXT}),
    }


def _json_of(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": ref(name)}}


def _sse(name: str) -> dict[str, Any]:
    return {"text/event-stream": {"schema": {"type": "string", "x-event-data": ref(name)}}}


def _completions() -> dict[str, Any]:
    return _either("ChatCompletion", "ChatChunk")


def _responses() -> dict[str, Any]:
    return _either("ResponseObject", "ResponseEvent")


def _events() -> dict[str, Any]:
    return _sse("BrowserEvent")


def _either(whole: str, event: str) -> dict[str, Any]:
    return {**_json_of(whole), **_sse(event)}


def _answers(content: dict[str, Any], status: str, refusal: str | None) -> dict[str, Any]:
    headers = {name: {"$ref": f"#/components/headers/{name}"} for name in ("X-Request-Id", "ININ-Correlation-Id")}
    answers: dict[str, Any] = {status: {"description": "done, or on its way", "headers": headers, "content": content}}
    if refusal is not None:
        for refused, why in REFUSALS.items():
            answers[refused] = {"description": why, "content": _json_of(refusal)}
            if refused in ("429", "503"):
                answers[refused]["headers"] = {"Retry-After": {"$ref": "#/components/headers/Retry-After"}}
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


def _readyz() -> dict[str, Any]:
    described = _get("readyz", "whether something new may come here", "Ready", None)
    described["responses"]["503"] = {"description": "nothing new should come here", "content": _json_of("Unready")}
    return described


def _metrics() -> dict[str, Any]:
    described = _get("metrics", "for Prometheus; where there are keys, for one with admin = true", "Refusal", "Refusal")
    described["responses"]["200"]["content"] = {"text/plain": {"schema": TEXT}}
    described["responses"]["403"] = {"description": "the key is no operator's", "content": _json_of("Refusal")}
    return described


def _tickets() -> dict[str, Any]:
    return {
        "operationId": "tickets",
        "summary": "a one-use ticket for a browser",
        "requestBody": {"required": True, "content": _json_of("TicketRequest")},
        "responses": _answers(_json_of("TicketAnswer"), "201", "Refusal"),
    }


def _create() -> dict[str, Any]:
    key = {"type": "string", "minLength": 1, "maxLength": MAX_KEY}
    answers = _answers(_json_of("Created"), "201", "Refusal")
    answers["422"]["description"] += ", or the Idempotency-Key came with another request"
    # what the upstream does is told in the stream
    del answers["502"], answers["504"]
    return {
        "operationId": "createStream",
        "summary": "begin a reply that outlives its connections",
        "parameters": [_parameter("Idempotency-Key", "header", key, "the same again begins nothing more")],
        "requestBody": {"required": True, "content": _json_of("BrowserRequest")},
        "responses": answers,
    }


def _read(name: str, summary: str, event: str, what: str) -> dict[str, Any]:
    position = {"type": "integer", "minimum": -1}
    answers = _answers(_sse(event), "200", "Refusal")
    answers["204"] = {"description": "nothing is left to send"}
    answers["404"]["description"] = KEPT_NO_MORE
    return {
        "operationId": name,
        "summary": summary,
        "parameters": [
            *_names(what),
            _parameter("after", "query", position, "the last position that the client has; -1: none"),
            _parameter("Last-Event-ID", "header", position, "the same; it counts where both are given"),
        ],
        "responses": {status: answers[status] for status in ("200", "204", "400", "401", "403", "404")},
    }


def _cancel(name: str, summary: str, what: str) -> dict[str, Any]:
    answers = _answers({}, "204", "Refusal")
    del answers["204"]["content"]
    answers["404"]["description"] = KEPT_NO_MORE
    return {
        "operationId": name,
        "summary": summary,
        "parameters": _names(what),
        "responses": {status: answers[status] for status in ("204", "401", "403", "404")},
    }


def _names(what: str) -> list[dict[str, Any]]:
    names = [_parameter("id", "path", TEXT, f"the {what}'s id") | {"required": True}]
    if what == "stream":
        names.append(_parameter("cap", "query", TEXT, "the capability in the stream's url, in place of a key"))
    return names


def _parameter(name: str, where: str, schema: dict[str, Any], what: str) -> dict[str, Any]:
    return {"name": name, "in": where, "schema": schema, "description": what}
