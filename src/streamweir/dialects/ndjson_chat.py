"""`ndjson-chat`: newline-delimited JSON objects. Wire contract 2.2."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

import msgspec

from streamweir.dialects.ends import DecodeOptions, end_of, protocol_error, upstream_error
from streamweir.dialects.usage import usage_object, usage_update
from streamweir.events import Delta, End, Note, Upstream, UsageUpdate
from streamweir.request import Bounds, Request, merged, refuse, shape_problems, uncarried
from streamweir.wire.frames import Frame, Malformed, Value

PATH = "/api/v2/ai/llm/gateway/chat"
SCOPES = ("ai:llm:gateway:write",)
CONTENT_TYPE = "application/x-ndjson"

ENDS = ("stop", "done")
DOCUMENTED = ("type", "content", "index")
REASONS = ("finish_reason", "stop_reason", "reason")
"""Keys of the last object that may say why it is the last; the contract names none."""


def encode_body(request: Request, bounds: Bounds) -> dict[str, Any]:
    """The JSON body. The request's model is the configuration id; sampling is that configuration's own."""
    refuse(
        shape_problems(request)
        + uncarried("ndjson-chat", request, "temperature", "max_tokens", "stop", "prompt_id", "metadata")
    )
    body = {"configurationId": request.model, "input": {"messages": request.messages}, "stream": True}
    return merged(body, request.options)


class NdjsonChatDecoder:
    """JSON values to upstream events. Never raises; the last event is an End, and nothing follows it."""

    __slots__ = ("_ended", "_skip", "_strict")

    def __init__(self, options: DecodeOptions) -> None:
        self._strict = options.schema == "strict"
        self._skip = options.malformed == "skip"
        self._ended = False

    def __call__(self, frames: Sequence[Frame]) -> list[Upstream]:
        """The events in `frames`."""
        events: list[Upstream] = []
        for frame in frames:
            if self._ended:
                break
            if type(frame) is Malformed:
                events.append(protocol_error(frame.message))
            elif type(frame) is Value:
                self._value(frame.data, events)
            self._ended = bool(events) and type(events[-1]) is End
        return events

    def rest(self) -> list[Upstream]:
        """What is known and was not said when the stream is ended from outside: nothing in this dialect."""
        return []

    def _value(self, data: str, events: list[Upstream]) -> None:
        try:
            value: Any = msgspec.json.decode(data)
        except (msgspec.DecodeError, RecursionError):
            events.append(Note("malformed") if self._skip else protocol_error("an object of the stream is not JSON"))
            return
        if not isinstance(value, dict):
            events.append(Note("unknown_object"))
            return
        found = cast("dict[str, Any]", value)
        kind = found.get("type", "token")
        if found.get("error") is not None or kind == "error":
            events.append(upstream_error(found))
            return
        if self._strict and kind == "token" and (missing := [key for key in DOCUMENTED if key not in found]):
            events.append(protocol_error(f"an object of the stream lacks {', '.join(missing)}"))
            return
        text = next((t for key in ("content", "delta") if (t := found.get(key)) and type(t) is str), "")
        if text:
            events.append(Delta(text))
        if type(found.get("usage")) is dict:
            events.append(usage_update(found["usage"]))
        if kind in ENDS:
            reason = next((r for key in REASONS if (r := found.get(key)) and type(r) is str), "stop")
            events.append(end_of({0: reason}))
        elif not text or kind != "token":
            events.append(Note(kind if type(kind) is str else "unknown_object"))


class NdjsonChatEncoder:
    """Upstream events to the bytes of such a stream: what a gateway sends. One event makes one line."""

    def __init__(self, *, id: str, model: str, created: int) -> None:
        self._index = 0

    def encode(self, events: Iterable[Upstream]) -> Iterator[bytes]:
        """The lines for `events`, each whole."""
        usage: dict[str, Any] = {}
        for event in events:
            match event:
                case Delta():
                    yield self.line({"type": "token", "content": event.text, "index": self._index})
                    self._index += 1
                case UsageUpdate():
                    usage = {"usage": usage_object(event)}
                case End(status="failed"):
                    yield self.line({"type": "error", "error": {"message": event.message, "code": event.code}})
                case End():
                    reasons = {"finish_reason": event.stop_reasons[0]} if 0 in event.stop_reasons else {}
                    yield self.line({"type": "stop", **reasons, **usage})
                case Note():
                    yield self.line({"type": event.kind})
                case _:
                    yield b"\n"

    @staticmethod
    def line(value: dict[str, Any]) -> bytes:
        """One object as a line."""
        return msgspec.json.encode(value) + b"\n"
