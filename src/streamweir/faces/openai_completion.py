"""OpenAI Chat Completions: the request, and the answer where it is not streamed. Wire contract 6.3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from streamweir.errors import RequestError
from streamweir.events import Diagnostic, Ended, Extra, Reasoning, Released, Restarted, Text, ToolCall, Usage
from streamweir.faces import receipt, told
from streamweir.faces.chat_chunks import OURS, finish_reasons, usage_object
from streamweir.faces.openai_chat import error_body
from streamweir.faces.wanted import Wanted, read_object, stops, wanted_of
from streamweir.report import Report

MAX_CHOICES = 128
"""OpenAI's own bound of `n`."""

FIELDS = ("messages", "stream", "temperature", "max_tokens", "stop", "metadata")


def read_request(body: bytes) -> Wanted:
    """The request in a body; the model names a profile. Raises RequestError that says which key is wrong."""
    found = read_object(body)
    given = found.pop("stream_options", {})
    if not isinstance(given, dict):
        raise RequestError(f"stream_options is {given!r}: give an object")
    options: dict[str, Any] = {**given}
    known: dict[str, Any] = {key: found.pop(key) for key in FIELDS if key in found}
    known["profile"] = found.pop("model", None)
    known["stream"] = known.get("stream", False)
    known["stop"] = stops(known.get("stop", ()))
    known["include_usage"] = options.pop("include_usage", False)
    known["choices"] = found.pop("n", 1)
    if type(known["choices"]) is not int or not 1 <= known["choices"] <= MAX_CHOICES:
        raise RequestError(f"n is {known['choices']!r}: give a number from 1 to {MAX_CHOICES}")
    if options:
        found["stream_options"] = options
    wanted = wanted_of({**known, "passthrough": found}, "model")
    if wanted.choices != 1:
        wanted.passthrough["n"] = wanted.choices
    return wanted


def completion(events: Sequence[Released], *, id: str, model: str, created: int) -> tuple[int, dict[str, Any]]:
    """The status and JSON body of a reply that was not streamed: a completion, or an error with the partial text."""
    ended = cast("Ended", events[-1])
    report = ended.report
    if not report.complete and report.status != "blocked":
        return failure(report)
    reasons: dict[int, str] = finish_reasons(ended)
    if report.status == "blocked" and "content_filter" not in reasons.values():
        reasons[0] = "content_filter"
    choices: dict[int, Choice] = {}
    carried: dict[str, Any] = {}
    usage: Usage | None = None
    again = max((n for n, event in enumerate(events) if isinstance(event, Restarted)), default=-1)
    for event in events[again + 1 :]:
        if isinstance(event, Text | Reasoning | ToolCall):
            choices.setdefault(event.choice, Choice()).add(event)
            join(carried, event.extra or {}, "chunk")
        elif isinstance(event, Usage):
            usage = event
        elif isinstance(event, Diagnostic):
            choices.setdefault(0, Choice()).carry(event.extra or {})
            join(carried, event.extra or {}, "chunk")
    for number in reasons:
        choices.setdefault(number, Choice())
    return 200, {
        **carried,
        "id": id,
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [choices[number].shown(number, reasons.get(number)) for number in sorted(choices)],
        "usage": usage_object(usage, report),
        **receipt(report),
    }


def failure(report: Report) -> tuple[int, dict[str, Any]]:
    """The status and JSON body of a reply that was not streamed and did not end whole: the error, the partial text."""
    status = 504 if report.status == "timed_out" else 503 if told(report)[0] == "server_draining" else 502
    return status, error_body(report) | {"partial": report.text} | receipt(report)


class Choice:
    """One choice of a completion, put together from its events; what is carried is kept apart from what is ours."""

    __slots__ = ("_calls", "_carried", "_carried_calls", "_carried_message", "_texts")

    def __init__(self) -> None:
        self._texts: dict[str, list[str]] = {}
        self._calls: dict[int, dict[str, Any]] = {}
        self._carried: dict[str, Any] = {}
        self._carried_message: dict[str, Any] = {}
        self._carried_calls: dict[int, tuple[dict[str, Any], dict[str, Any]]] = {}

    def add(self, event: Text | Reasoning | ToolCall) -> None:
        """One piece of its content."""
        extra = event.extra or {}
        self.carry(extra)
        if isinstance(event, ToolCall):
            call = self._calls.setdefault(event.call, {"id": None, "type": "function", "name": "", "arguments": ""})
            call["id"] = event.id or call["id"]
            call["type"] = event.kind or call["type"]
            call["name"] += event.name or ""
            call["arguments"] += event.arguments or ""
            outer, inner = self._carried_calls.setdefault(event.call, ({}, {}))
            join(outer, extra, "tool_call")
            join(inner, extra, "function")
        else:
            channel = event.channel if isinstance(event, Text) else "reasoning_content"
            self._texts.setdefault(channel, []).append(event.content)

    def carry(self, extra: Extra) -> None:
        """Keys that have no place in the event model."""
        join(self._carried, extra, "choice")
        join(self._carried_message, extra, "delta")

    def shown(self, number: int, reason: str | None) -> dict[str, Any]:
        """The choice as JSON; `reason` is None where the upstream gave none."""
        texts = {channel: "".join(pieces) for channel, pieces in self._texts.items()}
        content = None if self._calls and "content" not in texts else ""
        message = {**self._carried_message, "role": "assistant", "content": content, **texts}
        if self._calls:
            message["tool_calls"] = [self._call(call) for call in sorted(self._calls)]
        return {**self._carried, "index": number, "message": message, "finish_reason": reason}

    def _call(self, number: int) -> dict[str, Any]:
        call = self._calls[number]
        outer, inner = self._carried_calls[number]
        function = {**inner, "name": call["name"], "arguments": call["arguments"]}
        return {**outer, "id": call["id"], "type": call["type"], "function": function}


def join(into: dict[str, Any], extra: Extra, level: str) -> None:
    """The keys of one level that are carried, over those of earlier chunks."""
    for key, value in extra.get(level, {}).items():
        if key not in OURS[level] and key != "message":
            into[key] = _joined(into.get(key), value)


def _joined(old: Any, new: Any) -> Any:
    """Two values of one carried key: lists (logprobs) are joined, objects merged, of anything else the later counts."""
    if isinstance(old, list) and isinstance(new, list):
        return [*old, *new]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(old, dict) and isinstance(new, dict):
        left, right = cast("dict[str, Any]", old), cast("dict[str, Any]", new)
        return left | {key: _joined(left.get(key), value) for key, value in right.items()}
    return new
