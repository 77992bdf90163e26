"""`ws-gateway`: a WebSocket that is made ready, asked, and then sends tokens. Wire contract 2.5."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, cast

import msgspec

from streamweir.dialects.ends import DecodeOptions, closed_early, end_of, protocol_error, upstream_error
from streamweir.dialects.usage import usage_object, usage_update
from streamweir.events import Delta, End, Note, Upstream, UsageUpdate
from streamweir.request import Bounds, Request, merged, refuse, shape_problems, uncarried
from streamweir.wire.frames import Closed, Frame, Malformed, Value
from streamweir.wire.websocket import encode_message

PATH: Final = "/api/v2/ai/llm/gateway/completions/stream"
SCOPES: Final = ("ai:llm:gateway:use", "ai:llm:gateway:stream", "ai:llm:prompt:read")
CLIENT_ID: Final = "streamweir"

INIT: Final = b'{"action":"init_stream","protocol_version":"v2"}'
READY_WITHIN: Final = 5.0
"""Seconds in which the gateway must answer the first message."""

DOCUMENTED = ("token", "finish_reason", "usage")
DEFAULT_MAX_TOKENS = 1024
MAX_TOKENS = 4096
DEFAULT_TEMPERATURE = 0.7


def encode_body(request: Request, bounds: Bounds) -> dict[str, Any]:
    """The message that asks: system messages become `context.system`, all others go into `context.messages`."""
    problems = shape_problems(request, many_temperatures=True) + uncarried("ws-gateway", request, "metadata")
    if not request.prompt_id:
        problems.append("prompt_id is empty: ws-gateway needs one; give prompt_id=… or --prompt-id")
    if request.max_tokens is not None and request.max_tokens > MAX_TOKENS:
        problems.append(f"max_tokens is {request.max_tokens}: ws-gateway takes at most {MAX_TOKENS}")
    refuse(problems)
    system = [str(m.get("content", "")) for m in request.messages if m.get("role") == "system"]
    others = [m for m in request.messages if m.get("role") != "system"]
    context: dict[str, Any] = {"system": "\n\n".join(system)} if system else {}
    context["format"] = "json"
    if others:
        context["messages"] = others
    temperature = request.temperature if request.temperature is not None else DEFAULT_TEMPERATURE
    body: dict[str, Any] = {
        "model": request.model,
        "prompt_id": request.prompt_id,
        "parameters": {
            "temperature": list(temperature) if isinstance(temperature, tuple) else [temperature],
            "max_tokens": request.max_tokens if request.max_tokens is not None else DEFAULT_MAX_TOKENS,
            "stop_sequences": list(request.stop),
            "stream": True,
        },
        "context": context,
    }
    return merged(body, request.options)


def is_ready(message: str) -> bool:
    """Whether the gateway's first message says that it is ready."""
    try:
        answer: Any = msgspec.json.decode(message)
    except (msgspec.DecodeError, RecursionError):
        return False
    return isinstance(answer, dict) and cast("dict[str, Any]", answer).get("status") == "stream_ready"


class WsGatewayDecoder:
    """WebSocket messages to upstream events. Never raises; the last event is an End, and nothing follows it."""

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
            if type(frame) is Value:
                self._value(frame.data, events)
            elif type(frame) is Closed:
                events.append(closed_early(frame.code, frame.reason))
            elif type(frame) is Malformed:
                events.append(protocol_error(frame.message))
            self._ended = bool(events) and type(events[-1]) is End
        return events

    def rest(self) -> list[Upstream]:
        """What is known and was not said when the stream is ended from outside: nothing in this dialect."""
        return []

    def _value(self, data: str, events: list[Upstream]) -> None:
        try:
            value: Any = msgspec.json.decode(data)
        except (msgspec.DecodeError, RecursionError):
            events.append(Note("malformed") if self._skip else protocol_error("a message of the stream is not JSON"))
            return
        if not isinstance(value, dict):
            events.append(Note("unknown_object"))
            return
        message = cast("dict[str, Any]", value)
        if message.get("error") is not None or message.get("type") == "error":
            events.append(upstream_error(message))
            return
        if self._strict and (missing := [key for key in DOCUMENTED if key not in message]):
            events.append(protocol_error(f"a message of the stream lacks {', '.join(missing)}"))
            return
        text: Any = message.get("token")
        if text and type(text) is str:
            events.append(Delta(text))
        if type(message.get("usage")) is dict:
            events.append(usage_update(message["usage"]))
        reason: Any = message.get("finish_reason")
        if reason is not None:
            events.append(end_of({0: reason if reason and type(reason) is str else "stop"}))
        elif "token" not in message:
            events.append(Note("unknown_object"))


class WsGatewayEncoder:
    """Upstream events to the bytes of such a stream: what a gateway sends. One event makes one message."""

    def __init__(self, *, id: str, model: str, created: int) -> None:
        pass

    def encode(self, events: Iterable[Upstream]) -> Iterator[bytes]:
        """The WebSocket frames for `events`, each whole."""
        usage: dict[str, Any] | None = None
        for event in events:
            match event:
                case Delta():
                    yield self.message({"token": event.text, "finish_reason": None, "usage": None})
                case UsageUpdate():
                    usage = usage_object(event)
                case End(status="failed"):
                    yield self.message({"error": {"message": event.message, "code": event.code}})
                case End():
                    yield self.message(
                        {"token": None, "finish_reason": event.stop_reasons.get(0, "stop"), "usage": usage}
                    )
                case Note():
                    yield self.message({"note": event.kind})
                case _:
                    yield encode_message(b"", 9)

    @staticmethod
    def message(value: dict[str, Any]) -> bytes:
        """One object as a message."""
        return encode_message(msgspec.json.encode(value))
