import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamweir.dialects import BUILTIN
from streamweir.dialects.ends import DecodeOptions
from streamweir.dialects.sse_generative import GenerativeEncoder
from streamweir.errors import RequestError
from streamweir.events import Delta, End, Note, Upstream, UsageUpdate
from streamweir.request import Bounds, Request
from streamweir.wire.sse import SseDecoder
from tests.chunkings import fed
from tests.relays import wire
from tests.unit.dialects.strategies import ends, texts


def decode(data: bytes, **options: Any) -> list[Upstream]:
    return BUILTIN["sse-generative"].decoder(DecodeOptions(**options))(SseDecoder().feed(data))


def data(*objects: object, event: str = "") -> bytes:
    head = f"event: {event}\n".encode() if event else b""
    return b"".join(head + b"data: %b\n\n" % (o if isinstance(o, bytes) else json.dumps(o).encode()) for o in objects)


def chunk(content: object = "a", complete: object = False, **keys: object) -> dict[str, object]:
    return {"chunk_id": "c", "content": content, "tokens_generated": 1, "is_complete": complete, **keys}


COMPLETED = End("completed", stop_reasons={0: "completed"})


@given(st.lists(st.builds(Delta, texts), max_size=6), ends)
@settings(deadline=None, max_examples=100)
def test_what_is_encoded_is_decoded_under_every_chunking(events: list[Delta], end: End) -> None:
    sent = [*events, UsageUpdate(1, 2, 3), end]

    def make() -> Any:
        framing, decoder = SseDecoder(), BUILTIN["sse-generative"].decoder(DecodeOptions())
        return lambda piece: decoder(framing.feed(piece))

    assert fed(make, wire("sse-generative", sent) + data(b"[DONE]", chunk("after"))) == sent


@given(st.lists(st.builds(Delta, texts), max_size=6), ends)
@settings(deadline=None, max_examples=50)
def test_cumulative_text_comes_out_as_deltas(events: list[Delta], end: End) -> None:
    encoder = GenerativeEncoder(id="c", model="m", created=1, cumulative=True)
    body = b"".join(encoder.encode([*events, UsageUpdate(1, 2, 3), end]))
    assert decode(body, content="cumulative") == [*events, UsageUpdate(1, 2, 3), end]


def test_cumulative_text_that_changes_is_no_delta() -> None:
    events = decode(data(chunk("Hel"), chunk("Hello"), chunk("Jello"), chunk("Jello!", True)), content="cumulative")
    assert events[:2] == [Delta("Hel"), Delta("lo")]
    assert (events[2].error_type, events[2].code, len(events)) == ("StreamIntegrityError", "integrity_failed", 3)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (data(chunk("")), []),
        (data(chunk(None)), []),
        (data(chunk(5)), []),
        (data({"content": "a"}), [Delta("a")]),
        (data({"note": 1}), [Note("unknown_object")]),
        (data({"state": 1}, event="diagnostic"), [Note("diagnostic")]),
        (data({"content": "a"}, event="diagnostic"), [Delta("a")]),
        (data(b"", event="heartbeat"), []),
        (data(b"beat", event="heartbeat"), []),
        (data({}, event="heartbeat"), []),
        (data({"content": "a"}, event="heartbeat"), [Delta("a")]),
        (b": comment\n\n", []),
        (data(b"[DONE]"), [Note("done_without_end")]),
        (data(chunk("z", True)), [Delta("z"), UsageUpdate(None, 1, None), COMPLETED]),
        (data(chunk("", True, metadata=None)), [UsageUpdate(None, 1, None), COMPLETED]),
        (data(chunk("", "true")), []),
        (
            data(chunk("", True, metadata={"truncated": True})),
            [UsageUpdate(None, 1, None), End("truncated", stop_reasons={0: "completed"})],
        ),
        (
            data(chunk("", True, metadata={"stop_reason": "max_tokens"})),
            [UsageUpdate(None, 1, None), End("truncated", stop_reasons={0: "max_tokens"})],
        ),
        (data({"is_complete": True}), [COMPLETED]),
        (data([1]), [Note("unknown_object")]),
    ],
)
def test_chunks(body: bytes, expected: list[Upstream]) -> None:
    assert decode(body) == expected


def test_counters_are_cumulative_and_known_where_the_stream_is_cut() -> None:
    decoder = BUILTIN["sse-generative"].decoder(DecodeOptions())
    decoder(SseDecoder().feed(data(chunk(tokens_generated=3), chunk(tokens_generated=7))))
    assert decoder.rest() == [UsageUpdate(None, 7, None)]


def test_strict_insists_on_documented_keys_of_chunks_only() -> None:
    (end,) = decode(data({"content": "a"}), schema="strict")
    assert end.message == "a chunk of the stream lacks chunk_id, tokens_generated, is_complete"
    assert decode(data({"state": 1}, event="diagnostic") + data(chunk("a")), schema="strict")[-1] == Delta("a")


@pytest.mark.parametrize("body", [data({"error": {"message": "busy"}}), data({"message": "busy"}, event="error")])
def test_an_error_object_ends_the_stream(body: bytes) -> None:
    (end,) = decode(body + data(chunk("", True)))
    assert (end.code, end.message) == ("upstream_error", "the upstream reported an error: busy")


def test_what_is_no_json_ends_the_stream_or_is_skipped() -> None:
    body = data(chunk("a"), b"{", chunk("b"))
    assert decode(body)[1].code == "protocol_error"
    assert decode(body, malformed="skip") == [Delta("a"), Note("malformed"), Delta("b")]


def request(**keys: Any) -> Request:
    return Request(
        **({"model": "m", "messages": [{"role": "user", "content": "x"}], "request_id": "r", "timestamp": "t"} | keys)
    )


def test_the_body_has_the_clients_limits_and_merges_options() -> None:
    body = BUILTIN["sse-generative"].encode_body(
        request(options={"stream_config": {"chunk_matrix": {"max_tokens_per_chunk": 4}}}), Bounds(None, 59.5, 0)
    )
    assert body["stream_config"]["chunk_matrix"] == {
        "min_tokens_per_chunk": 1,
        "max_tokens_per_chunk": 4,
        "flush_interval_ms": 50,
    }
    assert body["stream_config"]["gateway_constraints"] == {"max_stream_duration_seconds": 60}
    assert (body["request_id"], body["parameters"]["stop"]) == ("r", [])


def test_every_problem_of_the_matrix_is_named_at_once() -> None:
    config = {
        "chunk_matrix": {"min_tokens_per_chunk": 8, "max_tokens_per_chunk": 4, "flush_interval_ms": -1},
        "gateway_constraints": {"max_stream_duration_seconds": 0, "timeout_on_inactivity_seconds": "x"},
    }
    with pytest.raises(RequestError) as caught:
        BUILTIN["sse-generative"].encode_body(request(temperature=3.0, options={"stream_config": config}), Bounds())
    assert [problem.split(" ")[0] for problem in caught.value.problems] == [
        "temperature",
        "stream_config.chunk_matrix.flush_interval_ms",
        "stream_config.gateway_constraints.max_stream_duration_seconds",
        "stream_config.gateway_constraints.timeout_on_inactivity_seconds",
        "stream_config.chunk_matrix:",
    ]
