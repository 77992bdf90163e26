"""The three framings, worked out a second time: a whole body at once, no bounds on memory, none of the decoders' code."""

import re
from typing import Any, NamedTuple

from streamweir.wire.frames import MAX_EVENT

BROKEN = object()
"""In place of a frame: from here on the framing is broken."""


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
