"""Recordings of every dialect, and ways to spoil them; and an oracle that says whether an end marker is left."""

import random
from collections.abc import Sequence
from typing import Any

import msgspec

from streamweir.dialects import BUILTIN
from streamweir.events import Delta, End, Numbered, ToolCallDelta, Upstream, UsageUpdate
from streamweir.wire.frames import Closed, Event, Value
from tests.relays import framing, wire

STOP = End("completed", stop_reasons={0: "stop"})
WORDS = ["Your", " order", " is", " Zürich", " 😊", "\u2028", '"', "\\", "."]

REPLIES: dict[str, Sequence[Upstream]] = {
    dialect: (
        [*(Numbered(n, (Delta(word),)) for n, word in enumerate(WORDS)), UsageUpdate(9, 9, 18), STOP]
        if dialect == "sse-gateway"
        else [*(Delta(word) for word in WORDS), UsageUpdate(9, 9, 18), STOP]
    )
    for dialect in BUILTIN
}
REPLIES["openai"] = [
    Delta("Hm.", "reasoning"),
    *REPLIES["openai"][:-1],
    ToolCallDelta(0, "c", "f", '{"a":', kind="function"),
    ToolCallDelta(0, arguments="1}"),
    STOP,
]
BODIES = {dialect: wire(dialect, events) for dialect, events in REPLIES.items()}

PIECES = [
    b"[DONE]", b"data: [DONE]\n\n", b"data:", b"event: error\n", b"\r", b"\n", b"\r\n", b"\0", b"\xff\xfe", b"\xef\xbb\xbf",
    b"null", b"true", b"-1", b"1e999", b"9" * 40, b"[]", b"{}", b'""', b'"\\ud83d"', b"[" * 400, b'{"a":' * 200,
    b'"choices":null', b'"choices":[null]', b'"choices":[[]]', b'"delta":7', b'"content":[1]', b'"sequence":1e18',
    b'"sequence":-3', b'"sequence":true', b'"tool_calls":[{}]', b'"index":"x"', b'"finish_reason":{}', b'"usage":[]',
    b'"error":{}', b'"error":null', b'{"type":"stop"}', b'{"type":"error"}', b'"is_complete":true', b'"metadata":3',
    b'"token":null', b'{"token":"x","finish_reason":"stop","usage":null}', b"\x81\x02hi", b"\x88\x02\x03\xe8", b"\x89\x00",
    b"\x01\x01a", b"\x80\x01b", b"\x82\x7f" + b"\xff" * 8, b'{"content":[1]}\n', b'{"delta":{"a":1}}\n',
    b'{"type":7,"content":true}\n', b'data: {"content":3,"is_complete":false}\n\n', b'data: {"choices":[{"delta":{"content":9}}]}\n\n',
    b"id: 1\n", b"retry: 5\n", b": c\n\n",
]  # fmt: skip


def mutated(body: bytes, rng: random.Random) -> bytes:
    """A body with a few pieces changed."""
    data = bytearray(body)
    for _ in range(rng.randint(1, 5)):
        at = rng.randint(0, len(data))
        if rng.random() < 0.4:
            # behind a line end, where whole pieces mean something
            at = data.find(b"\n", at) + 1 or at
        end = min(len(data), at + rng.randint(0, 30))
        match rng.randint(0, 6):
            case 0:
                data[at:at] = rng.choice(PIECES)
            case 1:
                data[at:end] = rng.choice(PIECES)
            case 2:
                del data[at:end]
            case 3:
                data[at:at] = data[at:end]
            case 4 if at < len(data):
                data[at] = rng.randrange(256)
            case 5:
                del data[at:]
            case _:
                other = rng.randint(0, len(data))
                data[at:at] = data[other : other + 20]
    return bytes(data)


def may_end(dialect: str, body: bytes) -> bool:
    """Whether the frames of a body hold what ends a reply of that dialect. Lenient: only a no is a promise."""
    for frame in framing(dialect).feed(body):
        if isinstance(frame, Closed):
            return False
        if not isinstance(frame, Event | Value):
            continue
        if frame.data.strip() == "[DONE]":
            return True
        try:
            value: Any = msgspec.json.decode(frame.data)
        except (msgspec.DecodeError, RecursionError):
            continue
        if isinstance(value, dict) and (
            value.get("type") in ("stop", "done")
            or value.get("is_complete") is True
            or ("finish_reason" in value and value["finish_reason"] is not None)
        ):
            return True
    return False
