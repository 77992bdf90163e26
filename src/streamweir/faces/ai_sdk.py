"""The AI SDK's UI message stream (version 1), for useChat and its like. ai_sdk_request.py reads requests. Pure.

A part of a type that the client does not know kills its stream: what it has no part for goes as transient `data-*`.
What says that a tool's input is whole is held until the upstream's end is known, since clients run tools on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from streamweir.events import Ended, Joint, Reasoning, Released, Started, Text, ToolCall
from streamweir.faces import public_report, told
from streamweir.faces.chat_chunks import encode, finish_reasons
from streamweir.report import Report

HEADERS = {"x-vercel-ai-ui-message-stream": "v1"}

FINISH = {"stop": "stop", "length": "length", "tool_calls": "tool-calls", "content_filter": "content-filter"}
"""OpenAI's finish reasons in the AI SDK's words; all others are `other`."""


class Call(msgspec.Struct):
    """One tool call, as far as it has come."""

    id: str
    name: str
    arguments: list[str]


class AiSdk:
    """Released events of one stream to the SSE bytes of a UI message stream."""

    __slots__ = ("_calls", "_count", "_message_id", "_next", "_open", "_text")

    def __init__(self, *, message_id: str, numbered: bool = False) -> None:
        """`numbered` gives each part an `id:`, by which a stream is resumed."""
        self._message_id = message_id
        self._next = 0 if numbered else None
        self._open: str | None = None
        self._count = 0
        self._text = b""
        self._calls: dict[int, Call] = {}

    def __call__(self, events: Sequence[Released]) -> bytes:
        return b"".join(self.frames(events))

    def frames(self, events: Sequence[Released]) -> list[bytes]:
        """The same, an entry for each part."""
        out: list[bytes] = []
        for event in events:
            match event:
                case Text() if not event.choice:
                    if self._open != event.channel:
                        self._begin(event.channel, "text", out)
                    out.append(b"%b%b}\n\n" % (self._text, encode(event.content)))
                case Reasoning() if not event.choice:
                    if self._open != "reasoning":
                        self._begin("reasoning", "reasoning", out)
                    out.append(b"%b%b}\n\n" % (self._text, encode(event.content)))
                case ToolCall() if not event.choice:
                    self._tool(event, out)
                case Started():
                    _send({"type": "start", "messageId": self._message_id}, out)
                    _send({"type": "start-step"}, out)
                case Joint():
                    _send({"type": "data-joint", "data": {"at": event.at}, "transient": True}, out)
                case Ended():
                    self._end(event, out)
                case _:
                    pass
        if self._next is not None:
            out = [b"id: %d\n%b" % (seq, part) for seq, part in enumerate(out, self._next)]
            self._next += len(out)
        return out

    def _begin(self, channel: str, kind: str, out: list[bytes]) -> None:
        self._close(out)
        self._open = channel
        self._count += 1
        _send({"type": f"{kind}-start", "id": self._part()}, out)
        self._text = b"data: " + encode({"type": f"{kind}-delta", "id": self._part()})[:-1] + b',"delta":'

    def _close(self, out: list[bytes]) -> None:
        if self._open is not None:
            kind = "reasoning" if self._open == "reasoning" else "text"
            _send({"type": f"{kind}-end", "id": self._part()}, out)
            self._open = None

    def _part(self) -> str:
        return f"part-{self._count}"

    def _tool(self, event: ToolCall, out: list[bytes]) -> None:
        call = self._calls.get(event.call)
        if call is None:
            self._close(out)
            call = self._calls[event.call] = Call(event.id or f"call-{event.call}", event.name or "", [])
            _send({"type": "tool-input-start", "toolCallId": call.id, "toolName": call.name}, out)
        elif event.name:
            call.name += event.name
        if event.arguments:
            call.arguments.append(event.arguments)
            _send({"type": "tool-input-delta", "toolCallId": call.id, "inputTextDelta": event.arguments}, out)

    def _end(self, event: Ended, out: list[bytes]) -> None:
        report = event.report
        if not report.complete:
            _send({"type": "data-report", "data": public_report(report), "transient": True}, out)
            _send({"type": "error", "errorText": error_text(report)}, out)
            return
        self._close(out)
        for call in self._calls.values():
            _send(_whole(call) if report.status == "completed" else _cut(call), out)
        _send({"type": "data-report", "data": public_report(report), "transient": True}, out)
        _send({"type": "finish-step"}, out)
        reason = FINISH.get(finish_reasons(event).get(0, "stop"), "other")
        _send({"type": "finish", "finishReason": reason}, out)
        out.append(b"data: [DONE]\n\n")


def _send(part: dict[str, Any], out: list[bytes]) -> None:
    out.append(b"data: %b\n\n" % encode(part))


def _whole(call: Call) -> dict[str, Any]:
    text = "".join(call.arguments)
    ids = {"toolCallId": call.id, "toolName": call.name}
    try:
        return {"type": "tool-input-available", **ids, "input": msgspec.json.decode(text or "{}")}
    except (msgspec.DecodeError, RecursionError):
        return {"type": "tool-input-error", **ids, "input": text, "errorText": "the tool's input is not JSON"}


def _cut(call: Call) -> dict[str, Any]:
    """A call that the token limit may have cut: nobody may run it, whatever its arguments look like."""
    ids = {"toolCallId": call.id, "toolName": call.name}
    why = "the reply ended at its token limit, so that the tool's input may not be whole"
    return {"type": "tool-input-error", **ids, "input": "".join(call.arguments), "errorText": why}


def error_text(report: Report) -> str:
    """What a UI is told of a stream that did not end whole: `code: message (correlation id)`."""
    code, message = told(report)
    named = f" ({report.correlation_id})" if report.correlation_id else ""
    return f"{code}: {message}{named}"
