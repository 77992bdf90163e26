"""`chat.completion.chunk` objects, as JSON: what OpenAI's route and the browsers' WebSocket both carry. Pure."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from streamweir.dialects.ends import FILTER_REASONS, LENGTH_REASONS
from streamweir.events import Diagnostic, Ended, Extra, Reasoning, Released, Started, Text, ToolCall, Usage
from streamweir.report import Report

FINISH_REASONS = frozenset(("stop", "length", "tool_calls", "content_filter", "function_call"))

OURS = {
    "chunk": frozenset(("id", "object", "created", "model", "choices", "usage", "error", "streamweir")),
    "choice": frozenset(("index", "delta", "finish_reason")),
    "delta": frozenset(("role", "content", "tool_calls", "refusal", "reasoning_content")),
    "tool_call": frozenset(("index", "id", "type", "function")),
    "function": frozenset(("name", "arguments")),
}
"""Names that a carried key never takes, whatever an upstream puts there: they are written from events alone."""

encode = msgspec.json.Encoder().encode

ANNOUNCED: Final = b',"streamweir":{"receipt":null}}\n\n'
"""What ends the first chunk over SSE in place of its brace: a receipt follows, and a client of ours begins to hash."""

BEHIND: Final = b'},"finish_reason":null}]}'
"""What follows the text in a chunk that carries nothing else."""


class ChatChunks:
    """Writes the chunks of one stream.

    A piece of text of choice 0, channel content, that carries nothing else, is `before`, the text as JSON, and BEHIND.
    """

    __slots__ = ("_head", "_opened", "before", "usage")

    def __init__(self, *, id: str, model: str, created: int) -> None:
        self._head = {"id": id, "object": "chat.completion.chunk", "created": created, "model": model}
        self.before = encode(self._head)[:-1] + b',"choices":[{"index":0,"delta":{"content":'
        self._opened: set[int] = set()
        self.usage: Usage | None = None

    def of(self, event: Released) -> list[bytes]:
        """The chunks of any event but the last."""
        out: list[bytes] = []
        if type(event) is Started:
            self._open(0, out)
        elif type(event) is Text or type(event) is Reasoning or type(event) is ToolCall:
            self._open(event.choice, out)
            extra = event.extra or {}
            out.append(self._chunk(event.choice, carried(extra, "delta") | delta_object(event), extra))
        elif type(event) is Usage:
            self.usage = event
        elif type(event) is Diagnostic and event.extra:
            out.append(self._chunk(None, {}, event.extra))
        return out

    def finish(self, reasons: dict[int, str]) -> list[bytes]:
        """The chunks that end each choice."""
        return [self._chunk(choice, {}, {}, reason) for choice, reason in reasons.items()]

    def counts(self, report: Report) -> bytes:
        """The chunk of the token counts."""
        return encode({**self._head, "choices": [], "usage": usage_object(self.usage, report)})

    def _open(self, choice: int, out: list[bytes]) -> None:
        if choice not in self._opened:
            self._opened.add(choice)
            out.append(self._chunk(choice, {"role": "assistant", "content": ""}, {}))

    def _chunk(self, choice: int | None, delta: dict[str, Any], extra: Extra, finish: str | None = None) -> bytes:
        choices: list[dict[str, Any]] = []
        if choice is not None:
            choices = [{**carried(extra, "choice"), "index": choice, "delta": delta, "finish_reason": finish}]
        return encode({**carried(extra, "chunk"), **self._head, "choices": choices})


def carried(extra: Extra, level: str) -> dict[str, Any]:
    """The keys of one level that the event model does not know."""
    found: dict[str, Any] = extra.get(level, {})
    return {key: value for key, value in found.items() if key not in OURS[level]} if found else {}


def delta_object(event: Text | Reasoning | ToolCall) -> dict[str, Any]:
    """The `delta` of a chunk that carries one event."""
    if isinstance(event, Text):
        return {event.channel: event.content}
    if isinstance(event, Reasoning):
        return {"reasoning_content": event.content}
    extra = event.extra or {}
    call: dict[str, Any] = {**carried(extra, "tool_call"), "index": event.call}
    call |= {k: v for k, v in (("id", event.id), ("type", event.kind)) if v is not None}
    function = {k: v for k, v in (("name", event.name), ("arguments", event.arguments)) if v is not None}
    return {"tool_calls": [{**call, "function": {**carried(extra, "function"), **function}}]}


def finish_reasons(event: Ended) -> dict[int, str]:
    """The finish reason of each choice of a reply that is whole, in OpenAI's words."""
    if event.stop_reasons is not msgspec.UNSET:
        return {choice: in_openai_words(reason) for choice, reason in event.stop_reasons.items()}
    report = event.report
    if report.status == "blocked":
        return {0: "content_filter"}
    return {0: "length" if report.status == "truncated" else in_openai_words(report.stop_reason)}


def in_openai_words(reason: str | None) -> str:
    """A finish reason that OpenAI's clients know: what gateways call `completed` or `done` is a `stop`."""
    if reason in LENGTH_REASONS:
        return "length"
    if reason in FILTER_REASONS:
        return "content_filter"
    return reason if reason in FINISH_REASONS else "stop"


def usage_object(usage: Usage | None, report: Report) -> dict[str, Any]:
    """The `usage` object: the upstream's own counts, or the report's estimate, marked as one."""
    if usage is not None and usage.completion_tokens is not None:
        counts = {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.total_tokens,
        }
        return (usage.details or {}) | counts
    counts = {
        "prompt_tokens": report.usage.prompt_tokens,
        "completion_tokens": report.usage.completion_tokens,
        "total_tokens": report.usage.total_tokens,
    }
    return counts | ({"estimated": True} if report.usage.estimated else {})
