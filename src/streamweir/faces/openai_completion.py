"""OpenAI Chat Completions: the request, and the answer where it is not streamed. Wire contract 6.3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import msgspec

from streamweir.errors import RequestError
from streamweir.events import Diagnostic, Ended, Reasoning, Released, Restarted, Text, ToolCall, Usage
from streamweir.faces.openai_chat import error_body, finish_reasons, usage_object
from streamweir.request import Message


class ChatRequest(msgspec.Struct, kw_only=True):
    """What `POST /v1/chat/completions` takes. `rest` holds every other key, to be carried to the upstream."""

    model: str
    messages: list[Message]
    stream: bool = False
    include_usage: bool = False
    temperature: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    metadata: dict[str, Any] = {}
    choices: int = 1
    rest: dict[str, Any] = {}


def read_request(body: bytes) -> ChatRequest:
    """The request in a body. Raises RequestError that says which key is wrong and what it should be."""
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(f"the body is not JSON: {error}") from None
    if not isinstance(decoded, dict):
        raise RequestError("the body is not a JSON object")
    found = {key: value for key, value in cast("dict[str, Any]", decoded).items() if value is not None}
    if isinstance(found.get("stop"), str):
        found["stop"] = [found["stop"]]
    options: dict[str, Any] = dict(found.pop("stream_options", None) or {})
    known: dict[str, Any] = {
        key: found.pop(key)
        for key in ("model", "messages", "stream", "temperature", "max_tokens", "stop", "metadata")
        if key in found
    }
    known["include_usage"] = options.pop("include_usage", False)
    known["choices"] = found.pop("n", 1)
    if options:
        found["stream_options"] = options
    if known["choices"] != 1:
        found["n"] = known["choices"]
    try:
        return msgspec.convert({**known, "rest": found}, ChatRequest)
    except msgspec.ValidationError as error:
        raise RequestError(str(error).replace("Object missing", "the request lacks the")) from None


def completion(events: Sequence[Released], *, id: str, model: str, created: int) -> tuple[int, dict[str, Any]]:
    """The status and JSON body of a reply that was not streamed: a completion, or an error with the partial text."""
    ended = cast("Ended", events[-1])
    report = ended.report
    if not report.complete and report.status != "blocked":
        body = error_body(report)
        body["partial"] = report.text
        return (504 if report.status == "timed_out" else 502), body
    top: dict[str, Any] = {"id": id, "object": "chat.completion", "created": created, "model": model}
    reasons = {0: "content_filter"} if report.status == "blocked" else finish_reasons(ended)
    choices: dict[int, dict[str, Any]] = {}
    usage: Usage | None = None
    again = max((n for n, event in enumerate(events) if isinstance(event, Restarted)), default=-1)
    for event in events[again + 1 :]:
        if isinstance(event, Text | Reasoning | ToolCall):
            choice = choices.setdefault(event.choice, {"message": {}})
            _add(choice["message"], event)
            _carry(top, choice, event.extra or {})
        elif isinstance(event, Usage):
            usage = event
        elif isinstance(event, Diagnostic):
            _carry(top, choices.setdefault(0, {"message": {}}), event.extra or {})
    for number in reasons:
        choices.setdefault(number, {"message": {}})
    top["choices"] = [_choice(number, choices[number], reasons.get(number, "stop")) for number in sorted(choices)]
    top["usage"] = usage_object(usage, report)
    return 200, top


def _add(message: dict[str, Any], event: Text | Reasoning | ToolCall) -> None:
    if isinstance(event, Text):
        message.setdefault(event.channel, []).append(event.content)
    elif isinstance(event, Reasoning):
        message.setdefault("reasoning_content", []).append(event.content)
    else:
        calls: dict[int, dict[str, Any]] = message.setdefault("tool_calls", {})
        call = calls.setdefault(event.call, {"id": None, "type": "function", "function": {"name": "", "arguments": ""}})
        call["id"] = event.id or call["id"]
        call["type"] = event.kind or call["type"]
        call["function"]["name"] += event.name or ""
        call["function"]["arguments"] += event.arguments or ""
        extra = event.extra or {}
        call |= extra.get("tool_call", {})
        call["function"] |= extra.get("function", {})


def _carry(top: dict[str, Any], choice: dict[str, Any], extra: dict[str, Any]) -> None:
    for into, level in ((top, "chunk"), (choice, "choice"), (choice["message"], "delta")):
        for key, value in extra.get(level, {}).items():
            into[key] = _joined(into.get(key), value)


def _joined(old: Any, new: Any) -> Any:
    """Two values of one carried key: lists (logprobs) are joined, objects merged, of anything else the later counts."""
    if isinstance(old, list) and isinstance(new, list):
        return [*old, *new]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(old, dict) and isinstance(new, dict):
        left, right = cast("dict[str, Any]", old), cast("dict[str, Any]", new)
        return left | {key: _joined(left.get(key), value) for key, value in right.items()}
    return new


def _choice(number: int, choice: dict[str, Any], reason: str) -> dict[str, Any]:
    parts: dict[str, Any] = choice.pop("message")
    calls: dict[int, dict[str, Any]] = parts.pop("tool_calls", {})
    message: dict[str, Any] = {"role": "assistant", "content": None if calls and "content" not in parts else ""}
    for channel in ("content", "refusal", "reasoning_content"):
        if channel in parts:
            message[channel] = "".join(parts.pop(channel))
    if calls:
        message["tool_calls"] = [calls[index] for index in sorted(calls)]
    return {"index": number, "message": message | parts, "finish_reason": reason, **choice}
