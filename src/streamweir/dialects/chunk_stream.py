"""A stream of OpenAI-style chunks that ends with `[DONE]`: frames to upstream events and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

import msgspec
from msgspec import UNSET

from streamweir.dialects.chunks import NONE, Choice, carry, decode_chunk, lacking, set_aside, take_content
from streamweir.dialects.ends import DecodeOptions, end_of, protocol_error, upstream_error
from streamweir.dialects.receipts import Receipts, take_ours
from streamweir.dialects.usage import count, usage_object, usage_update
from streamweir.events import Delta, End, Extra, Note, Numbered, ToolCallDelta, Upstream, UsageUpdate
from streamweir.wire.frames import Event, Frame, Malformed
from streamweir.wire.sse import encode_comment, encode_event

DONE = "[DONE]"

MAX_CHOICES = 1_000
"""Choices whose finish reasons are kept; OpenAI's own `n` ends at 128. They are kept to the end, and are the peer's."""

MAX_REASON = 100
"""Characters of a finish reason that are kept; it is a word."""


class ChunkDecoder:
    """SSE frames to upstream events. Never raises; the last event is an End, and nothing follows it."""

    __slots__ = (
        "_checks", "_ended", "_finish_ends", "_numbered", "_receipts", "_skip", "_stop", "_strict", "_usage",
        "_watching",
    )  # fmt: skip

    def __init__(self, options: DecodeOptions, *, numbered: bool) -> None:
        self._strict = options.schema == "strict"
        self._skip = options.malformed == "skip"
        self._finish_ends = options.end_marker == "finish_reason"
        self._numbered = numbered
        # no proxy of ours numbers its chunks
        self._checks = options.receipts and not numbered
        self._stop: dict[int, str] = {}
        self._usage: UsageUpdate | None = None
        self._receipts: Receipts | None = None
        self._ended = False
        # one question for both: nearly every frame has nothing to do with either
        self._watching = False

    def __call__(self, frames: Sequence[Frame]) -> list[Upstream]:
        """The events in `frames`."""
        events: list[Upstream] = []
        for frame in frames:
            if self._watching:
                if self._receipts is not None:
                    self._receipts.read(events)
                if self._ended:
                    break
            if type(frame) is Event and frame.event != "error":
                try:
                    self._chunk(frame.data, events)
                except (msgspec.DecodeError, RecursionError) as error:
                    self._no_chunk(frame.data, error, events)
            elif type(frame) is Event:
                self._end(events, upstream_error(frame.data))
            elif type(frame) is Malformed:
                self._end(events, protocol_error(frame.message))
        return events

    def rest(self) -> list[Upstream]:
        """What is known and was not said when the stream is ended from outside: nothing in these dialects."""
        return []

    def _no_chunk(self, data: str, error: Exception, events: list[Upstream]) -> None:
        if isinstance(error, msgspec.ValidationError):
            if self._strict:
                self._end(events, protocol_error("a chunk of the stream is not of the documented shape"))
            else:
                events.append(Note("unknown_object"))
        elif data.strip() == DONE:
            self._end(events, end_of(self._stop))
        elif self._skip:
            events.append(Note("malformed"))
        else:
            self._end(events, protocol_error("a chunk of the stream is not JSON"))

    def _chunk(self, data: str, events: list[Upstream]) -> None:
        try:
            chunk, asides = decode_chunk(data), NONE
        except msgspec.ValidationError:
            chunk, asides = set_aside(data)
            ours, asides = take_ours(asides)
            if "receipt" in ours and self._checks:
                self._receipt(ours["receipt"], events)
        if chunk.system_fingerprint is not None or chunk.service_tier is not None or chunk.obfuscation is not None:
            asides = carry(chunk, asides)
        if chunk.error is not None or (chunk.type is not None and chunk.type == "error"):
            self._end(
                events, upstream_error(chunk.error if chunk.error is not None else (asides or [{}])[0].get("chunk"))
            )
            return
        if self._strict and (missing := lacking(chunk)):
            self._end(events, protocol_error(f"a chunk of the stream lacks {', '.join(missing)}"))
            return
        choices = chunk.choices or ()
        # content goes straight to the rest, but where a number is to hold it together
        content: list[Any] = [] if self._numbered else events
        extras = iter(asides) if asides else None
        for choice in choices:
            extra = UNSET if extras is None else next(extras, UNSET) or UNSET
            left = take_content(choice, extra, content)
            if left and extra:
                events.append(Note("unknown_keys", extra))
            if choice.finish_reason:
                self._stopped(choice)
        if self._numbered:
            sequence = count(chunk.sequence)
            if sequence is None:
                events += content
            else:
                events.append(Numbered(sequence, tuple(content)))
        if not choices and (asides or chunk.usage is None):
            events.append(Note("unknown_keys", asides[0]) if asides else Note("empty_chunk"))
        usage: Any = chunk.usage
        if usage is not None and isinstance(usage, dict):
            self._count(cast("dict[str, Any]", usage), events)
        if self._finish_ends and self._stop:
            self._end(events, end_of(self._stop))

    def _stopped(self, choice: Choice) -> None:
        reason = choice.finish_reason
        if type(reason) is str:
            number = choice.index if type(choice.index) is int else 0
            if number in self._stop or len(self._stop) < MAX_CHOICES:
                self._stop[number] = reason[:MAX_REASON]

    def _receipt(self, said: Any, events: list[Upstream]) -> None:
        if self._receipts is not None:
            self._receipts.take(said)
        elif said is None:
            self._receipts = Receipts(events)
            self._watching = True

    def _count(self, usage: dict[str, Any], events: list[Upstream]) -> None:
        update = usage_update(usage)
        if update != self._usage:
            self._usage = update
            events.append(update)

    def _end(self, events: list[Upstream], end: End) -> None:
        self._ended = self._watching = True
        events.append(end if self._receipts is None else self._receipts.checked(end, events))


class ChunkEncoder:
    """Upstream events to the bytes of such a stream: what a gateway sends. One event makes one SSE event.

    The last finish reason goes out in a chunk of its own before the usage and the end marker, as OpenAI does it.
    """

    def __init__(self, *, id: str, model: str, created: int) -> None:
        self._head: dict[str, Any] = {"id": id, "object": "chat.completion.chunk", "created": created, "model": model}

    def encode(self, events: Iterable[Upstream]) -> Iterator[bytes]:
        """The SSE events for `events`, each whole."""
        for event in events:
            match event:
                case Delta() | ToolCallDelta():
                    yield self._data({}, [self._choice(event)], event.extra)
                case Numbered():
                    yield self._data({"sequence": event.sequence}, [self._choice(e) for e in event.events])
                case UsageUpdate():
                    yield self._data({"choices": [], "usage": usage_object(event)})
                case Note():
                    yield self._data({"choices": []}, extra=event.extra)
                case End():
                    yield from self._ends(event)
                case _:
                    yield encode_comment()

    def _ends(self, end: End) -> Iterator[bytes]:
        if end.status == "failed":
            yield encode_event(_json({"error": {"message": end.message, "code": end.code}}))
            return
        for choice, reason in end.stop_reasons.items():
            yield self._data({}, [{"index": choice, "delta": {}, "finish_reason": reason}])
        yield encode_event(DONE)

    def _choice(self, event: Delta | ToolCallDelta) -> dict[str, Any]:
        extra = event.extra or {}
        delta: dict[str, Any]
        if isinstance(event, Delta):
            key = "reasoning_content" if event.channel == "reasoning" else event.channel
            delta = {key: event.text}
        else:
            delta = {"tool_calls": [tool_call_object(event, extra)]}
        delta |= extra.get("delta", {})
        return {"index": event.choice, "delta": delta, "finish_reason": None, **extra.get("choice", {})}

    def _data(
        self,
        keys: dict[str, Any],
        choices: list[dict[str, Any]] | None = None,
        extra: Extra | msgspec.UnsetType = msgspec.UNSET,
    ) -> bytes:
        chunk = self._head | keys | (extra or {}).get("chunk", {})
        if choices is not None:
            chunk["choices"] = choices
        return encode_event(_json(chunk))


def tool_call_object(event: ToolCallDelta, extra: Extra) -> dict[str, Any]:
    """One entry of `tool_calls`, with the keys that the event carries."""
    function = {k: v for k, v in (("name", event.name), ("arguments", event.arguments)) if v is not None}
    call: dict[str, Any] = {"index": event.index}
    call |= {k: v for k, v in (("id", event.id), ("type", event.kind)) if v is not None}
    if function or extra.get("function"):
        call["function"] = function | extra.get("function", {})
    return {**call, **extra.get("tool_call", {})}


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
