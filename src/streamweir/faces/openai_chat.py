"""OpenAI Chat Completions, streamed. Wire contract 6.3. What is not streamed is in openai_completion.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from streamweir.events import Diagnostic, Ended, Extra, Reasoning, Released, Started, Text, ToolCall, Usage
from streamweir.faces import told
from streamweir.report import Report

CONTENT_TYPE = "text/event-stream; charset=utf-8"

FINISH_REASONS = frozenset(("stop", "length", "tool_calls", "content_filter", "function_call"))

_json = msgspec.json.Encoder().encode


class OpenAIChat:
    """Released events of one stream to the SSE bytes of Chat Completions.

    Finish reasons are held until the upstream's end is known, so that no client acts on a reply that is then cut.
    """

    __slots__ = ("_head", "_include_usage", "_opened", "_text", "_usage")

    def __init__(self, *, id: str, model: str, created: int, include_usage: bool) -> None:
        self._head = {"id": id, "object": "chat.completion.chunk", "created": created, "model": model}
        self._text = b"data: " + _json(self._head)[:-1] + b',"choices":[{"index":0,"delta":{"content":'
        self._include_usage = include_usage
        self._usage: Usage | None = None
        self._opened: set[int] = set()

    def __call__(self, events: Sequence[Released]) -> bytes:
        out: list[bytes] = []
        for event in events:
            if type(event) is Text and event.extra is msgspec.UNSET and not event.choice and event.channel == "content":
                out.append(b'%b%b},"finish_reason":null}]}\n\n' % (self._text, _json(event.content)))
            elif type(event) is Ended:
                self._end(event, out)
            else:
                self._other(event, out)
        return b"".join(out)

    def _other(self, event: Released, out: list[bytes]) -> None:
        match event:
            case Started():
                self._open(0, out)
            case Text() | Reasoning() | ToolCall():
                self._open(event.choice, out)
                extra = event.extra or {}
                out.append(self._chunk(event.choice, delta_object(event) | extra.get("delta", {}), extra))
            case Usage():
                self._usage = event
            case Diagnostic() if event.extra:
                out.append(self._chunk(None, {}, event.extra))
            case _:
                pass

    def _open(self, choice: int, out: list[bytes]) -> None:
        if choice not in self._opened:
            self._opened.add(choice)
            out.append(self._chunk(choice, {"role": "assistant", "content": ""}, {}))

    def _end(self, event: Ended, out: list[bytes]) -> None:
        report = event.report
        if not report.complete:
            if report.status == "blocked":
                out.append(self._chunk(0, {}, {}, "content_filter"))
            out.append(b"data: %b\n\n" % _json(error_body(report)))
            return
        for choice, reason in finish_reasons(event).items():
            out.append(self._chunk(choice, {}, {}, reason))
        if self._include_usage:
            usage = usage_object(self._usage, report)
            out.append(b"data: %b\n\n" % _json({**self._head, "choices": [], "usage": usage}))
        out.append(b"data: [DONE]\n\n")

    def _chunk(self, choice: int | None, delta: dict[str, Any], extra: Extra, finish: str | None = None) -> bytes:
        choices: list[dict[str, Any]] = []
        if choice is not None:
            choices = [{"index": choice, "delta": delta, "finish_reason": finish, **extra.get("choice", {})}]
        return b"data: %b\n\n" % _json({**self._head, **extra.get("chunk", {}), "choices": choices})


def delta_object(event: Text | Reasoning | ToolCall) -> dict[str, Any]:
    """The `delta` of a chunk that carries one event."""
    if isinstance(event, Text):
        return {event.channel: event.content}
    if isinstance(event, Reasoning):
        return {"reasoning_content": event.content}
    extra = event.extra or {}
    function = {k: v for k, v in (("name", event.name), ("arguments", event.arguments)) if v is not None}
    call: dict[str, Any] = {"index": event.call}
    call |= {k: v for k, v in (("id", event.id), ("type", event.kind)) if v is not None}
    return {"tool_calls": [call | {"function": function | extra.get("function", {})} | extra.get("tool_call", {})]}


def finish_reasons(event: Ended) -> dict[int, str]:
    """The finish reason of each choice of a reply that is whole, in OpenAI's words."""
    if event.stop_reasons is not msgspec.UNSET:
        return {choice: in_openai_words(reason) for choice, reason in event.stop_reasons.items()}
    report = event.report
    return {0: "length" if report.status == "truncated" else in_openai_words(report.stop_reason)}


def in_openai_words(reason: str | None) -> str:
    """A finish reason that OpenAI's clients know: what gateways call `completed` or `done` is a `stop`."""
    return reason if reason in FINISH_REASONS else "stop"


def usage_object(usage: Usage | None, report: Report) -> dict[str, Any]:
    """The `usage` object: the upstream's own counts, or the report's estimate, marked as one."""
    if usage is not None and usage.completion_tokens is not None:
        counts = {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.total_tokens,
        }
        return counts | (usage.details or {})
    counts = {
        "prompt_tokens": report.usage.prompt_tokens,
        "completion_tokens": report.usage.completion_tokens,
        "total_tokens": report.usage.total_tokens,
    }
    return counts | ({"estimated": True} if report.usage.estimated else {})


def error_body(report: Report) -> dict[str, Any]:
    """The error object of a stream that did not end whole."""
    code, message = told(report)
    kind = "content_filter" if report.status == "blocked" else "upstream_error"
    return error_object(message, kind=kind, code=code, correlation_id=report.correlation_id)


def error_object(
    message: str, *, kind: str, code: str, param: str | None = None, correlation_id: str | None = None
) -> dict[str, Any]:
    """An OpenAI error body, with the correlation id as an extra key."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code, "correlation_id": correlation_id}}
