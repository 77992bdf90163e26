"""What a whole body means, worked out a second time: no chunking, no bounds on memory, none of the decoders' code.

Only the JSON parser, the words of finish reasons and the largest size are shared with what is tested.
"""

import re
from typing import Any, NamedTuple

import msgspec

from streamweir.dialects.ends import FILTER_REASONS, LENGTH_REASONS
from streamweir.wire.frames import MAX_EVENT

PROTOCOL, UPSTREAM, GAPS, CUT = "protocol_error", "upstream_error", "integrity_failed", "stream_interrupted"
BROKEN = object()
"""In place of a frame: from here on the framing is broken."""


class Meaning(NamedTuple):
    """How a body ends, the code of the error if it is one, and the text of choice 0 before that."""

    status: str
    code: str | None
    text: str


class Event(NamedTuple):
    name: str
    data: str


def sse(body: bytes) -> list[Any]:
    """Events as the standard says it: a line that no line end follows, and an event that no empty line, is none."""
    lines = re.split(rb"\r\n|\r|\n", body.removeprefix(b"\xef\xbb\xbf"))[:-1]
    events: list[Any] = []
    name, data = b"", []
    for line in lines:
        field, colon, value = line.partition(b":")
        value = value[1:] if value[:1] == b" " else value
        if not line:
            if data:
                events.append(
                    Event(name.decode("utf-8", "replace") or "message", b"\n".join(data).decode("utf-8", "replace"))
                )
            name, data = b"", []
        elif field == b"event":
            name = value
        elif field == b"data":
            data.append(value)
    return events


TOKEN = re.compile(rb'"(?:[^"\\\n]|\\[\s\S])*|[\[{]|[\]}]|[^"\[\]{}]+')


def ndjson(body: bytes) -> list[Any]:
    """JSON values in a row. A string that a raw line end cuts ends its value; what is unfinished is none."""
    values: list[Any] = []
    at = 0
    while at < len(body):
        if body[at] in b" \t\r\n":
            at += 1
            continue
        start, depth, whole = at, 0, False
        if body[at] not in b"[{":
            loose = re.compile(rb"[\r\n{\[]").search(body, at)
            at, whole = (loose.start(), True) if loose else (len(body), False)
        while not whole and at < len(body):
            token = TOKEN.match(body, at)
            at = token.end()
            first = token[0][:1]
            if first == b'"':
                stop, at = body[at : at + 1], at + 1
                whole = stop == b"\n"
                if not stop:
                    break
            else:
                depth += (first in b"[{") - (first in b"]}")
                whole = depth == 0
        if whole:
            values.append(body[start:at].decode("utf-8", "replace").strip())
    return values


def websocket(body: bytes) -> list[Any]:
    """Messages of RFC 6455; a close is None."""
    messages: list[Any] = []
    parts: list[bytes] | None = None
    at = 0
    while at + 2 <= len(body):
        fin, opcode, size = body[at] & 0x80, body[at] & 15, body[at + 1] & 127
        if opcode not in (0, 1, 2, 8, 9, 10) or body[at + 1] & 0x80:
            # a server's frames are not masked (5.1)
            return [*messages, BROKEN]
        wide = {126: 2, 127: 8}.get(size, 0)
        head = at + 2 + wide
        if len(body) < head:
            break
        size = int.from_bytes(body[at + 2 : head]) if wide else size
        if size + sum(map(len, parts or ())) > MAX_EVENT:
            return [*messages, BROKEN]
        data = body[head : head + size]
        if len(data) < size:
            break
        # what else is wrong with a frame is found when all of it is there
        if body[at] & 0x70 or (opcode > 7 and (size > 125 or not fin)):
            return [*messages, BROKEN]
        at = head + size
        if opcode == 8:
            return [*messages, None if close_is_valid(data) else BROKEN]
        if opcode > 8:
            continue
        if (opcode == 0) != (parts is not None):
            return [*messages, BROKEN]
        parts = [*(parts or ()), data]
        if fin:
            messages.append(b"".join(parts).decode("utf-8", "replace"))
            parts = None
    return messages


def close_is_valid(data: bytes) -> bool:
    if not data:
        return True
    try:
        data[2:].decode()
    except UnicodeDecodeError:
        return False
    code = int.from_bytes(data[:2])
    return len(data) > 1 and (1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999)


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
