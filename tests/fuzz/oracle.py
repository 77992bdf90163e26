"""What a whole body means, worked out a second time: no chunking, no bounds on memory, none of the decoders' code.

Only the JSON parser, the words of finish reasons and the largest size are shared with what is tested.
"""

from typing import Any, NamedTuple

import msgspec

from streamweir.dialects.ends import FILTER_REASONS, LENGTH_REASONS
from tests.fuzz.plain_framing import BROKEN, Event, ndjson, sse, websocket

PROTOCOL, UPSTREAM, GAPS, CUT = "protocol_error", "upstream_error", "integrity_failed", "stream_interrupted"


class Meaning(NamedTuple):
    """How a body ends, the code of the error if it is one, and the text of choice 0 before that."""

    status: str
    code: str | None
    text: str


class Reader:
    """Frames to a meaning. Subclasses say what one frame means: text is added, and an answer ends the stream."""

    def __init__(
        self, schema: str = "lenient", malformed: str = "fail", end_marker: str = "done", content: str = "delta"
    ) -> None:
        self.strict, self.skip = schema == "strict", malformed == "skip"
        self.finish_ends, self.cumulative = end_marker == "finish_reason", content == "cumulative"
        self.text = ""
        self.stop: dict[int, str] = {}
        self.seen: set[int] = set()
        self.blank: set[int] = set()

    def read(self, frames: list[Any]) -> Meaning:
        for frame in frames:
            found = (PROTOCOL if frame is BROKEN else CUT) if frame is BROKEN or frame is None else self.frame(frame)
            if found is not None:
                break
        else:
            found = CUT
        if found in ("completed", "truncated") and self.ratio() > 0.05:
            found = GAPS
        if found in ("completed", "truncated"):
            return Meaning(found, None, self.text)
        status = {CUT: "interrupted", "blocked": "blocked"}.get(found, "failed")
        return Meaning(status, "stream_blocked" if found == "blocked" else found, self.text)

    def ratio(self) -> float:
        there = {n for n in self.seen | self.blank if n <= max(self.seen)} if self.seen else set()
        missing = max(self.seen) + 1 - len(there) if self.seen else 0
        return missing / (missing + len(self.seen)) if self.seen else 0.0

    def frame(self, frame: Any) -> str | None:
        raise NotImplementedError

    def ended(self, reasons: set[str], *, truncated: bool = False) -> str:
        if reasons & FILTER_REASONS:
            return "blocked"
        return "truncated" if truncated or reasons & LENGTH_REASONS else "completed"


def json_of(data: str) -> tuple[str, Any]:
    """`object`, `other` or `none`, and the value; a number that is out of range makes `other` of the whole."""
    try:
        value = msgspec.json.decode(data)
    except msgspec.ValidationError:
        return "range", None
    except (msgspec.DecodeError, RecursionError):
        return "none", None
    return ("object", value) if isinstance(value, dict) else ("other", value)


def a(kind: type, value: Any) -> Any:
    """The value where it is of that very type and not empty, else None."""
    return value if type(value) is kind and value else None


class Chunks(Reader):
    """The OpenAI-style dialects."""

    numbered = False

    def frame(self, frame: Event) -> str | None:
        if frame.name == "error":
            return UPSTREAM
        kind, value = json_of(frame.data)
        if kind in ("other", "range"):
            return PROTOCOL if self.strict else None
        if kind == "none":
            if frame.data.strip() == "[DONE]":
                return self.ended(set(self.stop.values()))
            return None if self.skip else PROTOCOL
        if value.get("error") is not None or value.get("type") == "error":
            return UPSTREAM
        choices = value.get("choices") if isinstance(value.get("choices"), list) else None
        if self.strict and (choices is None or any(value.get(k) is None for k in ("id", "object", "created", "model"))):
            return PROTOCOL
        text, content = "", False
        for choice in choices or ():
            if not isinstance(choice, dict):
                continue
            number = choice["index"] if type(choice.get("index")) is int else 0
            delta = a(dict, choice.get("delta")) or {}
            reasoning = delta.get("reasoning_content") or delta.get("reasoning")
            calls = [c for c in a(list, delta.get("tool_calls")) or () if isinstance(c, dict)]
            content = content or bool(
                calls or a(str, reasoning) or a(str, delta.get("content")) or a(str, delta.get("refusal"))
            )
            text += (a(str, delta.get("content")) or "") if number == 0 else ""
            if a(str, choice.get("finish_reason")):
                self.stop[number] = choice["finish_reason"][:100]
        sequence = value.get("sequence")
        if not (self.numbered and type(sequence) is int and 0 <= sequence < 2**63):
            self.text += text
        elif not content:
            self.blank.add(sequence)
        elif sequence not in self.seen:
            self.text += text
            self.seen.add(sequence)
        if len(self.seen) >= 20 and self.ratio() > 0.05:
            return GAPS
        return self.ended(set(self.stop.values())) if self.finish_ends and self.stop else None


class NumberedChunks(Chunks):
    numbered = True


class Lines(Reader):
    def frame(self, frame: str) -> str | None:
        kind, value = json_of(frame)
        if kind != "object":
            return None if self.skip or kind == "other" else PROTOCOL
        if value.get("error") is not None or value.get("type") == "error":
            return UPSTREAM
        if self.strict and value.get("type", "token") == "token" and not {"type", "content", "index"} <= value.keys():
            return PROTOCOL
        self.text += a(str, value.get("content")) or a(str, value.get("delta")) or ""
        if value.get("type") in ("stop", "done"):
            reasons = [a(str, value.get(key)) for key in ("finish_reason", "stop_reason", "reason")]
            return self.ended({next((reason for reason in reasons if reason), "stop")})
        return None


class Generative(Reader):
    def frame(self, frame: Event) -> str | None:
        if frame.name == "error":
            return UPSTREAM
        kind, value = json_of(frame.data)
        plain = frame.name == "message"
        if kind in ("none", "range"):
            fine = frame.data.strip() == "[DONE]" or self.skip or not plain
            return None if fine else PROTOCOL
        if kind == "other":
            return None
        if value.get("error") is not None or value.get("type") == "error":
            return UPSTREAM
        if self.strict and plain and not {"chunk_id", "content", "tokens_generated", "is_complete"} <= value.keys():
            return PROTOCOL
        text = a(str, value.get("content"))
        if text and self.cumulative:
            if not text.startswith(self.text):
                return GAPS
            self.text = text
        elif text:
            self.text += text
        if value.get("is_complete") is not True:
            return None
        metadata = a(dict, value.get("metadata")) or {}
        return self.ended(
            {a(str, metadata.get("stop_reason")) or "completed"}, truncated=metadata.get("truncated") is True
        )


class Messages(Reader):
    def frame(self, frame: str) -> str | None:
        kind, value = json_of(frame)
        if kind != "object":
            return None if self.skip or kind == "other" else PROTOCOL
        if value.get("error") is not None or value.get("type") == "error":
            return UPSTREAM
        if self.strict and not {"token", "finish_reason", "usage"} <= value.keys():
            return PROTOCOL
        self.text += a(str, value.get("token")) or ""
        reason = value.get("finish_reason")
        return None if reason is None else self.ended({a(str, reason) or "stop"})


READERS: dict[str, tuple[Any, type[Reader]]] = {
    "sse-gateway": (sse, NumberedChunks),
    "ndjson-chat": (ndjson, Lines),
    "sse-chat": (sse, Chunks),
    "sse-generative": (sse, Generative),
    "ws-gateway": (websocket, Messages),
    "openai": (sse, Chunks),
}


def meaning(dialect: str, body: bytes, **options: Any) -> Meaning:
    """What a body of a dialect means."""
    frames, reader = READERS[dialect]
    return reader(**options).read(frames(body))
