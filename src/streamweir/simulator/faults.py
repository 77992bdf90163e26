"""From a scenario to what goes over the wire, as actions that a shell carries out. Pure."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from math import ceil
from typing import Any, TypeAlias

import msgspec

from streamweir.dialects import Dialect, Encoder
from streamweir.events import Delta, End, Numbered, ToolCallDelta, Upstream, UsageUpdate
from streamweir.simulator.replies import echo_of, reply_to, tokens_of, tool_call
from streamweir.simulator.scenario import Scenario
from streamweir.simulator.spellings import Spelling, spelling
from streamweir.wire.websocket import encode_close

CREATED = 1_760_000_000
"""The `created` of every chunk: a constant, so that the same seed gives the same bytes."""

COMMENT_EVERY = 0.2


class Head(msgspec.Struct, frozen=True):
    """Status and headers of the answer. A refusal has its whole body here, a stream none."""

    status: int
    content_type: str = "text/event-stream"
    headers: dict[str, str] = {}
    body: bytes | None = None


class Write(msgspec.Struct, frozen=True):
    """Bytes of the body, to be written in one go."""

    data: bytes


class Sleep(msgspec.Struct, frozen=True):
    """Seconds of silence."""

    seconds: float


class Close(msgspec.Struct, frozen=True):
    """The end of the connection: cleanly, with the body unfinished (`hard`), by a reset, or `closing`: when the peer
    has answered a close frame.
    """

    how: str


Action: TypeAlias = Head | Write | Sleep | Close


class Asked(msgspec.Struct, frozen=True):
    """What matters of a request. `again` says how often this scenario was asked for before, `since` how many seconds
    ago for the first time.
    """

    model: str
    messages: list[dict[str, Any]]
    dialect: Dialect
    tools: list[dict[str, Any]] = []
    again: int = 0
    since: float = 0.0
    seed: int = 0
    tokens_before: int = 0
    retry_date: str = ""


def genesys_error(status: int, code: str, message: str, **headers: str) -> Head:
    """A refusal with the platform's error body."""
    body: dict[str, Any] = {
        "message": message,
        "code": code,
        "status": status,
        "contextId": "sim-context",
        "details": [],
        "errors": [],
    }
    return Head(status, "application/json", headers, msgspec.json.encode(body))


REFUSALS: dict[str, tuple[int, str, str]] = {
    "400": (400, "bad.request", "The request could not be understood"),
    "401": (401, "bad.credentials", "Invalid login credentials."),
    "401-once": (401, "credentials.expired", "Token has expired."),
    "403": (403, "missing.permissions", "Missing the following permission(s): llm:gateway:use"),
    "404": (404, "not.found", "The requested resource was not found."),
    "429": (429, "too.many.requests.retry.after", "Rate limit exceeded the maximum. Retry the request later."),
    "429-date": (429, "too.many.requests.retry.after", "Rate limit exceeded the maximum."),
    "429-for": (429, "too.many.requests.retry.after", "Rate limit exceeded the maximum."),
    "429-always": (429, "too.many.requests.retry.after", "Rate limit exceeded the maximum."),
    "500": (500, "internal.server.error", "The server encountered an unexpected condition."),
    "503": (503, "service.unavailable", "Service is temporarily unavailable."),
    "503-twice": (503, "service.unavailable", "Service is temporarily unavailable."),
}
"""Fault to status, code and message of the platform's error body."""

TIMES = {
    "401-once": 1,
    "429-date": 1,
    "503-twice": 2,
    "1012-once": 1,
}
"""How often a fault refuses before it gives way; any other refuses always."""


NOT_NOW = ("1012-once", "1013")
"""Faults that close a WebSocket with that code before any content."""


def refusal(scenario: Scenario, asked: Asked) -> Head | None:
    """The answer that refuses a request, or is no stream, if its scenario does that."""
    fault = scenario.fault
    left = scenario.retry_after - asked.since
    times = {**TIMES, "429": scenario.times, "429-for": asked.again + 1 if left > 0 else 0}
    if fault in REFUSALS and asked.again < times.get(fault, asked.again + 1):
        status, code, message = REFUSALS[fault]
        named = {"429": str(scenario.retry_after), "429-for": str(ceil(left))}
        wait = {**named, "429-date": asked.retry_date, "429-always": "3600"}.get(fault)
        return genesys_error(status, code, message, **({"Retry-After": wait} if wait else {}))
    if fault == "502-html":
        return Head(502, "text/html", {}, b"<html><body><h1>502 Bad Gateway</h1></body></html>")
    if fault == "redirect":
        return Head(307, "text/plain", {"Location": "/elsewhere"}, b"")
    if fault == "json":
        return Head(200, "application/json", {}, b'{"choices":[{"message":{"role":"assistant","content":"Hi"}}]}')
    if fault == "gzip":
        body = gzip.compress(b'data: {"choices":[]}\n\ndata: [DONE]\n\n', mtime=0)
        return Head(200, "text/event-stream", {"Content-Encoding": "gzip"}, body)
    return None


def actions(scenario: Scenario, asked: Asked) -> Iterator[Action]:
    """What to do for a request, in order. The same scenario, request and seed give the same actions."""
    refused = refusal(scenario, asked)
    if refused is not None:
        yield refused
        return
    said = spelling(asked.dialect)
    yield Head(200, said.content_type)
    if scenario.fault == "empty":
        yield Close("clean")
        return
    wait = scenario.wait or (2.0 if scenario.fault == "slow" else 0.0)
    if wait:
        yield Sleep(wait)
    if scenario.fault in NOT_NOW and asked.dialect.framing == "websocket":
        code = int(scenario.fault.partition("-")[0])
        if asked.again < TIMES.get(scenario.fault, asked.again + 1):
            yield Write(encode_close(code, "try again later"))
            yield Close("closing")
            return
    encoder = asked.dialect.encoder(id=f"sim-{asked.seed}", model=asked.model, created=CREATED)
    content = content_events(scenario, asked)
    numbered = disturb(scenario, asked, content) if asked.dialect.name == "sse-gateway" else content
    pause = 1 / scenario.rate if scenario.rate > 0 else 0.0
    for number, event in enumerate(numbered):
        if number == scenario.at and (broken := list(breakage(scenario, asked, encoder, said))):
            yield from broken
            return
        yield from written(scenario, b"".join(encoder.encode([event])))
        if scenario.fault == "extra":
            yield from written(scenario, said.unknown)
        if pause:
            yield Sleep(pause)
    reason = {"length": "length", "filter": "content_filter"}.get(scenario.fault, "stop")
    if any(isinstance(event, ToolCallDelta) for event in content):
        reason = "tool_calls"
    count = len(content)
    usage = UsageUpdate(asked.tokens_before, count, asked.tokens_before + count)
    last = End("completed", stop_reasons={} if scenario.fault == "no-finish" else {0: reason})
    yield from written(scenario, b"".join(encoder.encode([usage, last])))
    yield Close("clean")


def content_events(scenario: Scenario, asked: Asked) -> list[Upstream]:
    """The reply as content events: a tool call where the scenario or the conversation asks for one."""
    last = asked.messages[-1] if asked.messages else {}
    wants_tool = asked.tools and last.get("role") != "tool" and asked.dialect.name == "openai"
    if scenario.fault == "tools" or wants_tool:
        name, pieces = tool_call(asked.tools)
        first = ToolCallDelta(0, f"call_{asked.seed}", name, "", kind="function")
        return [first, *(ToolCallDelta(0, arguments=piece) for piece in pieces)]
    reply = echo_of(asked.messages) if scenario.echo else reply_to(asked.messages, asked.seed)
    pieces = remaining(asked.messages, tokens_of(reply, scenario.tokens, scenario.chars), scenario.overlap)
    if scenario.fault == "extra":
        return [Delta(piece, extra={"delta": {"odd": 1}, "chunk": {"system_fingerprint": "sim"}}) for piece in pieces]
    return [Delta(piece) for piece in pieces]


def disturb(scenario: Scenario, asked: Asked, content: list[Upstream]) -> list[Upstream]:
    """The content with sequence numbers, and what the scenario does to them."""
    numbered = [Numbered(n, (e,)) for n, e in enumerate(content) if isinstance(e, Delta | ToolCallDelta)]
    out: list[Upstream] = []
    for number, event in enumerate(numbered):
        gappy = scenario.fault == "gaps" or (scenario.fault == "gaps-once" and not asked.again)
        if gappy and number % 5 == 2:
            continue
        if scenario.fault == "gap" and number == scenario.at:
            continue
        out.append(event)
        if scenario.fault == "duplicates" and number % 5 == 2:
            out.append(event)
    if scenario.fault == "disorder" and len(out) > scenario.at + 1:
        out[scenario.at], out[scenario.at + 1] = out[scenario.at + 1], out[scenario.at]
    return out


def breakage(scenario: Scenario, asked: Asked, encoder: Encoder, said: Spelling) -> Iterator[Action]:
    """What happens instead of the rest of the reply, if the scenario breaks it."""
    fault = scenario.fault
    if fault.endswith("-once"):
        fault = "" if asked.again else fault.removesuffix("-once")
    whole = [End("completed", stop_reasons={0: "stop"})]
    match fault:
        case "cut":
            yield Close("clean")
        case "cut-hard":
            yield Close("hard")
        case "reset":
            yield Close("reset")
        case "close":
            if asked.dialect.framing == "websocket":
                yield Write(encode_close(1011, "internal error"))
                yield Close("closing")
            yield Close("clean")
        case "stall":
            yield Sleep(3600)
        case "stall-comments":
            for _ in range(18_000):
                yield Write(said.comment)
                yield Sleep(COMMENT_EVERY)
        case "error":
            yield Write(said.error)
            yield Close("clean")
        case "error-event":
            yield Write(said.error_event)
            yield Close("clean")
        case "malformed" | "oversized":
            yield Write(said.malformed if fault == "malformed" else said.oversized)
            yield from (Write(data) for data in encoder.encode(whole))
            yield Close("clean")
        case "length" if scenario.fault == "length-once":
            end = End("truncated", stop_reasons={0: "length"})
            yield from (
                Write(data) for data in encoder.encode([UsageUpdate(asked.tokens_before, scenario.at, None), end])
            )
            yield Close("clean")
        case _:
            return


def remaining(messages: list[dict[str, Any]], pieces: list[str], overlap: int) -> list[str]:
    """What is left of a reply whose beginning the conversation ends with, and `overlap` tokens that are said again."""
    last = str(messages[-1].get("content", "")) if messages else ""
    if not messages or messages[-1].get("role") not in ("assistant", "system"):
        return pieces
    for count in range(len(pieces), 0, -1):
        if last.endswith("".join(pieces[:count])):
            return pieces[max(0, count - overlap) :]
    return pieces


def written(scenario: Scenario, data: bytes) -> Iterator[Write]:
    """The writes for some bytes: one, or as small as the scenario asks for."""
    if scenario.fault == "crlf":
        data = data.replace(b"\n", b"\r\n")
    if not scenario.split:
        yield Write(data)
        return
    for at in range(0, len(data), scenario.split):
        yield Write(data[at : at + scenario.split])
