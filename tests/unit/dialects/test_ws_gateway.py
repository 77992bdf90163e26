import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamweir.client.readiness import has_begun, not_now, not_ready
from streamweir.dialects import BUILTIN
from streamweir.dialects.ends import DecodeOptions
from streamweir.errors import HandshakeError, RequestError
from streamweir.events import Delta, End, Note, Upstream, UsageUpdate
from streamweir.request import Bounds, Request
from streamweir.wire.frames import Closed, Value
from streamweir.wire.websocket import WebSocket, encode_close, encode_message
from tests.chunkings import fed
from tests.relays import wire
from tests.unit.dialects.strategies import ends, texts

STOP = End("completed", stop_reasons={0: "stop"})


def decode(body: bytes, **options: Any) -> list[Upstream]:
    return BUILTIN["ws-gateway"].decoder(DecodeOptions(**options))(WebSocket(0.0).feed(body))


def messages(*objects: object) -> bytes:
    return b"".join(encode_message(json.dumps(o).encode()) for o in objects)


def token(text: object, finish: object = None, usage: object = None) -> dict[str, object]:
    return {"token": text, "finish_reason": finish, "usage": usage}


@given(st.lists(st.builds(Delta, texts), max_size=6), ends)
@settings(deadline=None, max_examples=100)
def test_what_is_encoded_is_decoded_under_every_chunking(events: list[Delta], end: End) -> None:
    sent = [*events, UsageUpdate(1, 2, 3), end]

    def make() -> Any:
        framing, decoder = WebSocket(0.0), BUILTIN["ws-gateway"].decoder(DecodeOptions())
        return lambda piece: decoder(framing.feed(piece))

    assert fed(make, wire("ws-gateway", sent) + messages(token("after"))) == sent


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (token("a"), [Delta("a")]),
        (token(None), []),
        (token(""), []),
        (token(5), []),
        ({"status": "working"}, [Note("unknown_object")]),
        ([1], [Note("unknown_object")]),
        (token("a", "stop"), [Delta("a"), STOP]),
        (token(None, "length"), [End("truncated", stop_reasons={0: "length"})]),
        (token(None, "anything"), [End("completed", stop_reasons={0: "anything"})]),
        (token(None, False), [STOP]),
        (token(None, "stop", {"total_tokens": 9}), [UsageUpdate(None, None, 9), STOP]),
    ],
)
def test_messages(value: object, expected: list[Upstream]) -> None:
    assert decode(messages(value)) == expected


@pytest.mark.parametrize(("code", "reason"), [(1011, "internal error"), (1000, ""), (4000, "own")])
def test_a_close_before_the_end_is_a_cut_and_keeps_its_code(code: int, reason: str) -> None:
    events = decode(messages(token("a")) + encode_close(code, reason))
    assert events[0] == Delta("a")
    assert (events[1].status, events[1].close_code) == ("interrupted", code)
    assert f"({code} {reason}".rstrip() in events[1].message


def test_a_close_after_the_end_changes_nothing() -> None:
    assert decode(messages(token("a", "stop")) + encode_close(1011)) == [Delta("a"), STOP]


def test_strict_insists_on_documented_keys() -> None:
    (end,) = decode(messages({"token": "a"}), schema="strict")
    assert end.message == "a message of the stream lacks finish_reason, usage"


@pytest.mark.parametrize("value", [{"error": {"message": "busy"}}, {"type": "error", "message": "busy"}])
def test_an_error_object_ends_the_stream(value: object) -> None:
    (end,) = decode(messages(value, token(None, "stop")))
    assert (end.code, end.message) == ("upstream_error", "the upstream reported an error: busy")


def test_what_is_no_json_ends_the_stream_or_is_skipped() -> None:
    body = messages(token("a")) + encode_message(b"{") + messages(token("b"))
    assert decode(body)[1].code == "protocol_error"
    assert decode(body, malformed="skip") == [Delta("a"), Note("malformed"), Delta("b")]


def request(**keys: Any) -> Request:
    messages = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "x"},
        {"role": "system", "content": "Be short."},
    ]
    return Request(
        **({"model": "m", "messages": messages, "request_id": "r", "timestamp": "t", "prompt_id": "p"} | keys)
    )


def body(**keys: Any) -> dict[str, Any]:
    return BUILTIN["ws-gateway"].encode_body(request(**keys), Bounds())


def test_the_request() -> None:
    assert body() == {
        "model": "m",
        "prompt_id": "p",
        "parameters": {"temperature": [0.7], "max_tokens": 1024, "stop_sequences": [], "stream": True},
        "context": {
            "system": "Be kind.\n\nBe short.",
            "format": "json",
            "messages": [{"role": "user", "content": "x"}],
        },
    }
    assert body(temperature=(0.1, 0.9))["parameters"]["temperature"] == [0.1, 0.9]
    assert "messages" not in body(messages=[{"role": "system", "content": "x"}])["context"]


def test_every_problem_at_once() -> None:
    with pytest.raises(RequestError) as caught:
        body(prompt_id="", temperature=(0.5, 2.5), max_tokens=5000, metadata={"a": 1}, passthrough={"tools": []})
    assert len(caught.value.problems) == 5


def test_the_first_message_makes_ready_or_not() -> None:
    assert not_ready([Value('{"status":"stream_ready","x":1}')], None) is None
    for first in (Value('{"status":"busy"}'), Value("{"), Value("[]"), Closed(1008, "no")):
        failure = not_ready([first], "corr")
        assert isinstance(failure.error, HandshakeError)
        assert failure.error.correlation_id == "corr"
        assert failure.kind == "final"
    assert not_ready([Value('{"status":"busy"}')], None).error.received == '{"status":"busy"}'
    assert not_ready([Closed(1013)], None).kind == "not_now"


def test_not_now_counts_before_any_content_only() -> None:
    null, text = Value(json.dumps(token(None))), Value(json.dumps(token("a")))
    options = DecodeOptions()
    assert not_now([null, Closed(1012)], options, None).kind == "not_now"
    assert not_now([text, Closed(1012)], options, None) is None
    assert not_now([Closed(1011)], options, None) is None
    assert has_begun([null, text], options)
    assert not has_begun([null], options)
