"""Recordings whose JSON is spoiled and whose framing is not: a value of the wrong kind in a place that means something."""

import json
import random
from typing import Any

from streamweir.dialects import BUILTIN
from streamweir.wire.frames import Event
from streamweir.wire.sse import encode_event
from streamweir.wire.websocket import encode_message
from tests.fuzz.mutations import BODIES
from tests.relays import framing


def deep(levels: int) -> Any:
    value: Any = {}
    for _ in range(levels):
        value = [{"error": value}]
    return value


ODD: list[Any] = [
    None, True, False, 0, 1, -1, 3, 2**31, 2**63, 10**19, 10**400, int("9" * 4300), 0.5, -0.0, 1e308, "", "x", "stop", "length",
    "content_filter", "error", "done", "[DONE]", "7", "a\nb\rc\u2028", "\0", "😊", [], {}, [1], [None], [[]], [{}], {"a": 1},
    {"error": {}}, {"content": "y"}, deep(30),
]  # fmt: skip
KEYS = ["content", "choices", "delta", "index", "finish_reason", "usage", "sequence", "error", "type", "tool_calls", "function", "x",
        "token", "is_complete", "metadata", "stop_reason", "truncated", "tokens_generated", "id", "logprobs", "refusal", "reasoning",
        "completion_tokens", "service_tier"]  # fmt: skip
EVENTS = ["message", "heartbeat", "error", "ping", "[DONE]"]
DEEPER = (0.4, 0.8)


def recorded(dialect: str) -> list[str]:
    """The JSON texts, and end markers, of a dialect's recording."""
    return [
        frame.data
        for frame in framing(dialect).feed(BODIES[dialect])
        if isinstance(frame, Event) or hasattr(frame, "data")
    ]


TEXTS = {dialect: recorded(dialect) for dialect in BUILTIN}


def spoil(value: Any, rng: random.Random) -> Any:
    """A value with one thing in it changed."""
    if isinstance(value, dict) and rng.random() > DEEPER[0] / (len(value) + 1):
        key = rng.choice([*value, rng.choice(KEYS)])
        chance = rng.random()
        if key in value and chance < 0.1:
            return {k: v for k, v in value.items() if k != key}
        if key in value and chance < DEEPER[1]:
            return value | {key: spoil(value[key], rng)}
        return value | {key: rng.choice(ODD)}
    if isinstance(value, list) and value and rng.random() < DEEPER[1]:
        at = rng.randrange(len(value))
        return [*value[:at], spoil(value[at], rng), *value[at + rng.randint(0, 1) :]]
    return rng.choice(ODD)


def spelled(dialect: str, text: str, rng: random.Random) -> bytes:
    """One text in the dialect's framing."""
    match BUILTIN[dialect].framing:
        case "sse":
            return encode_event(text, event=rng.choice(EVENTS) if rng.random() < 0.03 else "")
        case "ndjson":
            return text.encode() + rng.choice([b"\n", b"\r\n", b"", b" \n\n"])
        case _:
            data = text.encode()
            if rng.random() < 0.7:
                return encode_message(data)
            at = rng.randint(0, len(data))
            first, last = bytearray(encode_message(data[:at])), encode_message(data[at:], 0)
            first[0] &= 0x7F
            return bytes(first) + rng.choice([b"", b"\x89\x00", b"\x00\x00" * 3]) + last


def misshapen(dialect: str, rng: random.Random) -> bytes:
    """A recording with some of its objects spoiled, left out, doubled or moved."""
    texts = list(TEXTS[dialect])
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(texts))
        chance = rng.random()
        if chance < 0.7:
            try:
                value = json.loads(texts[at])
            except ValueError:
                continue
            texts[at] = json.dumps(spoil(value, rng), ensure_ascii=rng.random() < 0.5)
        elif chance < 0.8:
            texts.insert(rng.randint(0, len(texts)), texts[at])
        elif chance < 0.9 and len(texts) > 1:
            del texts[at]
        else:
            texts.insert(rng.randint(0, len(texts)), texts.pop(at))
    return b"".join(spelled(dialect, text, rng) for text in texts)
