"""`sse-generative`: SSE with typed chunks, heartbeats and limits on the gateway's side. Wire contract 2.4."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import ceil
from typing import Any, cast

import msgspec

from streamweir.dialects.ends import DecodeOptions, end_of, protocol_error, upstream_error
from streamweir.dialects.usage import count, usage_update
from streamweir.events import Delta, End, Note, Upstream, UsageUpdate
from streamweir.request import Bounds, Request, merged, refuse, shape_problems, uncarried
from streamweir.wire.frames import Event, Frame, Malformed
from streamweir.wire.sse import encode_comment, encode_event

PATH = "/api/v2/ai/generative/completions/stream"
SCOPES = ("ai:generative:read", "ai:generative:write")
ASKED = ("openid", "offline_access")
"""Scopes that are asked for and never required."""

DOCUMENTED = ("chunk_id", "content", "tokens_generated", "is_complete")
HEARTBEAT = "heartbeat"
DEFAULT_MAX_TOKENS = 2048
DEFAULT_TEMPERATURE = 0.7


def encode_body(request: Request, bounds: Bounds) -> dict[str, Any]:
    """The JSON body. The gateway's own limits are those of the client, so that both give up at the same time."""
    constraints: dict[str, int] = {}
    if bounds.deadline:
        constraints["max_stream_duration_seconds"] = ceil(bounds.deadline)
    if bounds.inactivity:
        constraints["timeout_on_inactivity_seconds"] = ceil(bounds.inactivity)
    body: dict[str, Any] = {
        "request_id": request.request_id,
        "model": request.model,
        "input": {"messages": request.messages},
        "parameters": {
            "max_tokens": request.max_tokens if request.max_tokens is not None else DEFAULT_MAX_TOKENS,
            "temperature": request.temperature if request.temperature is not None else DEFAULT_TEMPERATURE,
            "stop": list(request.stop),
        },
        "stream_config": {
            "chunk_matrix": {"min_tokens_per_chunk": 1, "max_tokens_per_chunk": 16, "flush_interval_ms": 50},
            "completion_directives": {"include_usage": True, "enforce_schema": True, "truncate_on_limit": True},
            "gateway_constraints": constraints,
        },
    }
    body = merged(body, request.options)
    refuse(
        shape_problems(request)
        + uncarried("sse-generative", request, "prompt_id", "metadata")
        + config_problems(body.get("stream_config"))
    )
    return body


def config_problems(config: Any) -> list[str]:
    """What is wrong with a `stream_config`: whole numbers, none below its least, and min not above max."""
    if not isinstance(config, dict):
        return [f"stream_config is {config!r}: it must be an object"]
    found = cast("dict[str, Any]", config)
    problems: list[str] = []
    numbers: dict[str, int] = {}
    for table, least in (
        ("chunk_matrix", {"min_tokens_per_chunk": 1, "max_tokens_per_chunk": 1, "flush_interval_ms": 0}),
        ("gateway_constraints", {"max_stream_duration_seconds": 1, "timeout_on_inactivity_seconds": 1}),
    ):
        values: Any = found.get(table) or {}
        if not isinstance(values, dict):
            problems.append(f"stream_config.{table} is {values!r}: it must be an object")
            continue
        for key, low in least.items():
            value: Any = cast("dict[str, Any]", values).get(key, low)
            if type(value) is not int or value < low:
                problems.append(f"stream_config.{table}.{key} is {value!r}: it must be a whole number from {low} on")
            else:
                numbers[key] = value
    low, high = numbers.get("min_tokens_per_chunk", 1), numbers.get("max_tokens_per_chunk", 1)
    if "max_tokens_per_chunk" in found.get("chunk_matrix", {}) and low > high:
        problems.append(f"stream_config.chunk_matrix: min_tokens_per_chunk {low} is above max_tokens_per_chunk {high}")
    return problems


class GenerativeDecoder:
    """SSE frames to upstream events. Never raises; the last event is an End, and nothing follows it."""

    __slots__ = ("_cumulative", "_ended", "_skip", "_strict", "_tokens", "_whole")

    def __init__(self, options: DecodeOptions) -> None:
        self._strict = options.schema == "strict"
        self._skip = options.malformed == "skip"
        self._cumulative = options.content == "cumulative"
        self._whole = ""
        self._tokens: int | None = None
        self._ended = False

    def __call__(self, frames: Sequence[Frame]) -> list[Upstream]:
        """The events in `frames`."""
        events: list[Upstream] = []
        for frame in frames:
            if self._ended:
                break
            if type(frame) is Malformed:
                events.append(protocol_error(frame.message))
            elif type(frame) is Event:
                self._event(frame, events)
            self._ended = bool(events) and type(events[-1]) is End
        return events

    def rest(self) -> list[Upstream]:
        """The count of tokens so far, where the stream is ended from outside: chunks carry it, the end would say it."""
        return [] if self._ended else self._usage({})

    def _event(self, frame: Event, events: list[Upstream]) -> None:
        if frame.event == "error":
            events.append(upstream_error(frame.data))
            return
        try:
            value: Any = msgspec.json.decode(frame.data)
        except (msgspec.DecodeError, RecursionError):
            self._no_json(frame, events)
            return
        if not isinstance(value, dict):
            events.append(Note("unknown_object"))
            return
        chunk = cast("dict[str, Any]", value)
        if chunk.get("error") is not None or chunk.get("type") == "error":
            events.append(upstream_error(chunk))
            return
        typed = frame.event == "message"
        if self._strict and typed and (missing := [key for key in DOCUMENTED if key not in chunk]):
            events.append(protocol_error(f"a chunk of the stream lacks {', '.join(missing)}"))
            return
        self._chunk(chunk, frame.event, events)

    def _no_json(self, frame: Event, events: list[Upstream]) -> None:
        if frame.data.strip() == "[DONE]":
            events.append(Note("done_without_end"))
        elif frame.event == HEARTBEAT:
            return
        elif self._skip or frame.event != "message":
            events.append(Note("malformed" if frame.event == "message" else frame.event))
        else:
            events.append(protocol_error("a chunk of the stream is not JSON"))

    def _chunk(self, chunk: dict[str, Any], event: str, events: list[Upstream]) -> None:
        tokens = count(chunk.get("tokens_generated"))
        if tokens is not None:
            self._tokens = tokens
        text: Any = chunk.get("content")
        if text and type(text) is str:
            if self._cumulative:
                if not text.startswith(self._whole):
                    events.append(not_extending())
                    return
                text, self._whole = text[len(self._whole) :], text
            if text:
                events.append(Delta(text))
        elif event != HEARTBEAT and "content" not in chunk and chunk.get("is_complete") is not True:
            events.append(Note(event if event != "message" else "unknown_object"))
        if chunk.get("is_complete") is True:
            found: Any = chunk.get("metadata")
            metadata = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
            events += self._usage(metadata)
            reason: Any = metadata.get("stop_reason")
            reasons = {0: reason if reason and type(reason) is str else "completed"}
            events.append(end_of(reasons, truncated=metadata.get("truncated") is True))

    def _usage(self, metadata: dict[str, Any]) -> list[Upstream]:
        said: Any = metadata.get("usage")
        if isinstance(said, dict):
            return [usage_update(cast("dict[str, Any]", said))]
        return [UsageUpdate(completion_tokens=self._tokens)] if self._tokens is not None else []


def not_extending() -> End:
    """The end of a cumulative stream whose text changed behind the reader's back."""
    return End(
        "failed",
        code="integrity_failed",
        message="a chunk does not extend the text so far: the content is not cumulative; set content = "
        '"delta", unless the gateway rewrites its text',
        error_type="StreamIntegrityError",
    )


class GenerativeEncoder:
    """Upstream events to the bytes of such a stream: what a gateway sends. One event makes one SSE event.

    `cumulative` repeats the text so far in every chunk, as some gateways do.
    """

    def __init__(self, *, id: str, model: str, created: int, cumulative: bool = False) -> None:
        self._id = id
        self._count = 0
        self._cumulative = cumulative
        self._whole = ""

    def encode(self, events: Iterable[Upstream]) -> Iterator[bytes]:
        """The SSE events for `events`, each whole."""
        usage: dict[str, Any] = {}
        for event in events:
            match event:
                case Delta():
                    self._count += 1
                    self._whole = self._whole + event.text if self._cumulative else event.text
                    yield self._chunk(self._whole)
                case UsageUpdate():
                    self._count = event.completion_tokens or self._count
                    usage = {} if event.prompt_tokens is None else {"usage": msgspec.to_builtins(event)}
                case End(status="failed"):
                    error = {"error": {"message": event.message, "code": event.code}}
                    yield encode_event(msgspec.json.encode(error).decode())
                case End():
                    reason = {"stop_reason": event.stop_reasons[0]} if 0 in event.stop_reasons else {}
                    truncated = {"truncated": True} if event.status == "truncated" else {}
                    metadata = {**reason, **truncated, **usage} or None
                    yield self._chunk(self._whole if self._cumulative else "", complete=True, metadata=metadata)
                case Note():
                    yield encode_event('{"note":"diagnostic"}', event=event.kind)
                case _:
                    yield encode_comment() + encode_event("{}", event=HEARTBEAT)

    def _chunk(self, content: str, *, complete: bool = False, metadata: dict[str, Any] | None = None) -> bytes:
        chunk = {
            "chunk_id": f"{self._id}-{self._count}",
            "content": content,
            "tokens_generated": self._count,
            "is_complete": complete,
            "metadata": metadata,
        }
        return encode_event(msgspec.json.encode(chunk).decode())
