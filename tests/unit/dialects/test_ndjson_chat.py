import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamweir.dialects import BUILTIN
from streamweir.dialects.ends import DecodeOptions
from streamweir.events import Delta, End, Note, Upstream, UsageUpdate
from streamweir.wire.ndjson import NdjsonDecoder
from tests.chunkings import fed
from tests.relays import wire
from tests.unit.dialects.strategies import ends, texts

STOP = End("completed", stop_reasons={0: "stop"})


def decode(data: bytes, **options: Any) -> list[Upstream]:
    return BUILTIN["ndjson-chat"].decoder(DecodeOptions(**options))(NdjsonDecoder().feed(data))


def lines(*objects: object) -> bytes:
    return b"".join(json.dumps(o).encode() + b"\n" for o in objects)


@given(st.lists(st.builds(Delta, texts), max_size=6), ends)
@settings(deadline=None, max_examples=100)
def test_what_is_encoded_is_decoded_under_every_chunking(events: list[Delta], end: End) -> None:
    sent = [*events, UsageUpdate(1, 2, 3), end]

    def make() -> Any:
        framing, decoder = NdjsonDecoder(), BUILTIN["ndjson-chat"].decoder(DecodeOptions())
        return lambda piece: decoder(framing.feed(piece))

    assert fed(make, wire("ndjson-chat", sent) + lines({"type": "token", "content": "after the end"})) == sent


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"type": "token", "content": "a", "index": 0}, [Delta("a")]),
        ({"type": "token", "delta": "a"}, [Delta("a")]),
        ({"content": "a"}, [Delta("a")]),
        ({"type": "token", "content": None, "delta": "a"}, [Delta("a")]),
        ({"type": "token", "content": None}, [Note("token")]),
        ({"type": "token", "content": ""}, [Note("token")]),
        ({"type": "token", "content": 3}, [Note("token")]),
        ({"type": "heartbeat"}, [Note("heartbeat")]),
        ({"type": "notice", "content": "a"}, [Delta("a"), Note("notice")]),
        ({"type": 7, "content": "a"}, [Delta("a"), Note("unknown_object")]),
        ({}, [Note("token")]),
        ([1], [Note("unknown_object")]),
        (7, [Note("unknown_object")]),
        ({"type": "stop"}, [STOP]),
        ({"type": "done", "content": "z"}, [Delta("z"), STOP]),
        ({"type": "stop", "finish_reason": "length"}, [End("truncated", stop_reasons={0: "length"})]),
        ({"type": "stop", "usage": {"completion_tokens": 4}}, [UsageUpdate(None, 4, None), STOP]),
        ({"type": "stop", "usage": None}, [STOP]),
    ],
)
def test_objects(value: object, expected: list[Upstream]) -> None:
    assert decode(lines(value)) == expected


@pytest.mark.parametrize("text", [b'{"type":"stop"}', b'{"type":"token","content":"a"}{"type":"stop"}'])
def test_an_unterminated_last_line_is_read(text: bytes) -> None:
    assert decode(text)[-1] == STOP


@pytest.mark.parametrize(
    "value", [{"error": {"message": "busy"}}, {"error": "busy"}, {"type": "error", "message": "busy"}]
)
def test_an_error_object_ends_the_stream(value: object) -> None:
    (end,) = decode(lines(value, {"type": "stop"}))
    assert (end.status, end.code, end.message) == ("failed", "upstream_error", "the upstream reported an error: busy")


@pytest.mark.parametrize(
    "bad", [b"nonsense\n", b'{"a":}\n', b'{"type":"token","content":"x\n', b"[" * 2000 + b"]" * 2000 + b"\n"]
)
def test_what_is_no_json_ends_the_stream_or_is_skipped(bad: bytes) -> None:
    body = lines({"content": "a"}) + bad + lines({"content": "b"}, {"type": "stop"})
    failed = decode(body)
    assert (failed[0], failed[1].code, len(failed)) == (Delta("a"), "protocol_error", 2)
    assert [e for e in decode(body, malformed="skip") if not isinstance(e, Note)] == [Delta("a"), Delta("b"), STOP]


def test_strict_insists_on_documented_keys() -> None:
    (end,) = decode(lines({"type": "token", "content": "a"}), schema="strict")
    assert (end.error_type, end.message) == ("ProtocolError", "an object of the stream lacks index")
    assert decode(lines({"type": "token", "content": "a", "index": 0}, {"type": "stop"}), schema="strict")[-1] == STOP
