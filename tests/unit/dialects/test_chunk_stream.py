import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamweir.dialects import BUILTIN
from streamweir.dialects.chunk_stream import MAX_CHOICES, MAX_REASON
from streamweir.dialects.ends import DecodeOptions
from streamweir.events import Delta, End, Note, Numbered, ToolCallDelta, Upstream, UsageUpdate
from streamweir.wire.frames import Event
from streamweir.wire.sse import SseDecoder
from tests.chunkings import fed
from tests.relays import wire

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)
extras = st.sampled_from([msgspec.UNSET, {"delta": {"odd": 1}}, {"choice": {"odd": [1]}}, {"chunk": {"odd": None}}])
deltas = st.builds(Delta, texts, st.sampled_from(["content", "reasoning", "refusal"]), st.integers(0, 2), extras)
calls = st.builds(
    ToolCallDelta,
    index=st.integers(0, 2),
    id=st.none() | texts,
    name=st.none() | texts,
    arguments=st.none() | texts,
    choice=st.integers(0, 1),
    kind=st.sampled_from([None, "function"]),
    extra=st.sampled_from([msgspec.UNSET, {"tool_call": {"sig": "x"}}, {"function": {"odd": 1}}]),
)
usages = st.builds(UsageUpdate, st.integers(0, 9), st.integers(0, 9), st.integers(0, 18))
ends = st.sampled_from(
    [
        End("completed", stop_reasons={0: "stop"}),
        End("truncated", stop_reasons={0: "length", 1: "stop"}),
        End("completed"),
    ]
)


def decode(dialect: str, data: bytes, **options: Any) -> list[Upstream]:
    sse, decoder = SseDecoder(), BUILTIN[dialect].decoder(DecodeOptions(**options))
    return decoder(sse.feed(data))


def data(*objects: object) -> bytes:
    return b"".join(b"data: %b\n\n" % (o if isinstance(o, bytes) else json.dumps(o).encode()) for o in objects)


def chunk(**delta: object) -> dict[str, Any]:
    return {
        "id": "c",
        "object": "o",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": None}],
    }


@given(st.lists(deltas | calls, max_size=6), usages, ends, st.data())
@settings(deadline=None, max_examples=150)
def test_openai_decodes_what_it_encodes(
    events: list[Upstream], usage: UsageUpdate, end: End, draw: st.DataObject
) -> None:
    sent = [*events, usage, end]
    body, sse, decoder = wire("openai", sent), SseDecoder(), BUILTIN["openai"].decoder(DecodeOptions())
    out: list[Upstream] = []
    while body:
        size = draw.draw(st.integers(1, len(body)))
        out += decoder(sse.feed(body[:size]))
        body = body[size:]
    assert out == sent


@given(st.lists(st.tuples(st.integers(0, 99), texts), max_size=6), ends)
@settings(deadline=None, max_examples=100)
def test_sse_gateway_decodes_what_it_encodes(chunks: list[tuple[int, str]], end: End) -> None:
    sent: list[Upstream] = [*(Numbered(n, (Delta(text),)) for n, text in chunks), UsageUpdate(1, 2, 3), end]
    assert decode("sse-gateway", wire("sse-gateway", sent)) == sent


def test_the_same_events_under_every_chunking() -> None:
    sent = [
        Numbered(0, (Delta("é😊"),)),
        Numbered(1, (Delta("b"),)),
        UsageUpdate(1, 2, 3),
        End("completed", stop_reasons={0: "stop"}),
    ]

    def make() -> Any:
        sse, decoder = SseDecoder(), BUILTIN["sse-gateway"].decoder(DecodeOptions())
        return lambda piece: decoder(sse.feed(piece))

    assert fed(make, wire("sse-gateway", sent) + data(chunk(content="after the end"))) == sent


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (data({"error": {"message": "busy", "code": "x"}}), "the upstream reported an error: busy"),
        (data({"error": "busy"}), "the upstream reported an error: busy"),
        (data({"type": "error", "message": "busy"}), "the upstream reported an error: busy"),
        (b"event: error\n" + data({"message": "busy"}), "the upstream reported an error: busy"),
        (b"event: error\ndata: busy\n\n", "the upstream reported an error: busy"),
        (data({"error": {}}), "the upstream reported an error: it gave no message"),
    ],
)
def test_an_error_object_ends_the_stream(frame: bytes, message: str) -> None:
    events = decode("openai", data(chunk(content="a")) + frame + data(b"[DONE]"))
    assert events[0] == Delta("a")
    assert (events[1].status, events[1].code, events[1].message) == ("failed", "upstream_error", message)
    assert len(events) == 2


def test_an_error_event_of_any_depth_is_the_upstreams() -> None:
    for data in ("[" * 5000, '{"error":' * 5000):
        frames = SseDecoder().feed(f"event: error\ndata: {data}\n\n".encode())
        (end,) = BUILTIN["openai"].decoder(DecodeOptions())(frames)
        assert isinstance(end, End)
        assert end.code == "upstream_error"


def test_genesys_error_keeps_context_and_status() -> None:
    (end,) = decode("sse-gateway", b"event: error\n" + data({"message": "no", "status": 503, "contextId": "c-1"}))
    assert (end.error_status, end.context_id) == (503, "c-1")


@pytest.mark.parametrize("bad", [b"{", b"not json", b"[" * 100_000, b'{"choices":[{"delta":{"content":"\\ud83d"}}]}'])
def test_what_is_no_json_ends_the_stream_or_is_skipped(bad: bytes) -> None:
    body = data(chunk(content="a"), bad, chunk(content="b"), b"[DONE]")
    events = decode("openai", body)
    assert [type(e) for e in events] == [Delta, End]
    assert events[1].code == "protocol_error"
    skipped = decode("openai", body, malformed="skip")
    assert skipped == [Delta("a"), Note("malformed"), Delta("b"), End("completed")]


@pytest.mark.parametrize(
    "odd",
    [
        {
            "id": None,
            "choices": [
                {"index": None, "delta": {"role": None, "content": "a", "tool_calls": None}, "finish_reason": None}
            ],
        },
        {"choices": [{"delta": {"content": "a", "tool_calls": "none"}}]},
        {"choices": [{"delta": {"content": "a", "tool_calls": [1, None]}}], "usage": []},
        {"choices": [None, {"delta": {"content": "a"}, "finish_reason": 0}], "sequence": "x"},
        {"choices": [{"delta": {"content": "a", "refusal": 3, "reasoning": {}}}], "created": "yesterday"},
        {"choices": [{"delta": {"content": "a"}, "logprobs": None}], "usage": None},
    ],
)
def test_odd_values_never_cost_text(odd: object) -> None:
    events = decode("openai", data(odd, b"[DONE]"))
    assert [e.text for e in events if isinstance(e, Delta)] == ["a"]
    assert events[-1] == End("completed")


@pytest.mark.parametrize("odd", [1, None, "x", [], {"choices": []}, {"choices": "x"}, {"choices": None}, {"odd": 1}])
def test_an_object_without_text_is_a_note(odd: object) -> None:
    events = decode("openai", data(odd))
    assert [type(e) for e in events] == [Note]


def test_strict_insists_on_documented_keys() -> None:
    events = decode("openai", data({"choices": [{"delta": {"content": "a"}}]}), schema="strict")
    assert events[0].code == "protocol_error"
    assert "lacks id, object, created, model" in events[0].message
    assert decode("openai", data(chunk(content="a")), schema="strict") == [Delta("a")]


def test_unknown_keys_travel_with_the_text() -> None:
    odd = chunk(content="a", odd_delta=1)
    odd["odd_chunk"] = 2
    odd["system_fingerprint"] = "fp"
    odd["choices"][0]["odd_choice"] = 3
    odd["choices"][0]["logprobs"] = {"content": []}
    (event,) = decode("openai", data(odd))
    assert event == Delta(
        "a",
        extra={
            "chunk": {"system_fingerprint": "fp", "odd_chunk": 2},
            "choice": {"logprobs": {"content": []}, "odd_choice": 3},
            "delta": {"odd_delta": 1},
        },
    )


def test_unknown_keys_stay_with_their_choice_and_are_noted_where_it_has_no_content() -> None:
    def choice(index: int, **delta: object) -> dict[str, Any]:
        return {"index": index, "delta": delta, "finish_reason": None}

    events = decode(
        "openai",
        data({"choices": [choice(0, content="a", odd=0), choice(1, content="b"), choice(2, role="assistant", odd=2)]}),
    )
    assert events == [
        Delta("a", extra={"delta": {"odd": 0}}),
        Delta("b", choice=1),
        Note("unknown_keys", {"delta": {"odd": 2}}),
    ]
    bare = choice(0) | {"logprobs": {"content": []}}
    assert decode("openai", data({"choices": [bare]})) == []
    assert decode("openai", data({"choices": [bare], "odd": 1})) == [Note("unknown_keys", {"chunk": {"odd": 1}})]
    assert decode("openai", data({"choices": [], "odd": 1})) == [Note("unknown_keys", {"chunk": {"odd": 1}})]
    assert decode("openai", data({"choices": []})) == [Note("empty_chunk")]


def test_a_finish_reason_alone_is_no_end() -> None:
    finish = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    assert decode("openai", data(chunk(content="a"), finish)) == [Delta("a")]
    assert decode("openai", data(chunk(content="a"), finish), end_marker="finish_reason")[-1].status == "completed"


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        ("stop", "completed"),
        ("tool_calls", "completed"),
        ("length", "truncated"),
        ("max_tokens", "truncated"),
        ("content_filter", "blocked"),
        ("eos", "completed"),
    ],
)
def test_how_a_finish_reason_reads(reason: str, status: str) -> None:
    finish = {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}
    (end,) = decode("openai", data(finish, b"[DONE]"))
    assert (end.status, end.stop_reasons) == (status, {0: reason})


def test_finish_reasons_are_bounded() -> None:
    decoder = BUILTIN["openai"].decoder(DecodeOptions())
    for choice in range(MAX_CHOICES * 2):
        chunk = {"choices": [{"index": choice, "finish_reason": "x" * 1000}]}
        decoder((Event(json.dumps(chunk)),))
    (end,) = decoder((Event('{"choices":[{"index":7,"finish_reason":"length"}]}'), Event("[DONE]")))[-1:]
    assert isinstance(end, End)
    assert len(end.stop_reasons) == MAX_CHOICES
    assert max(map(len, end.stop_reasons.values())) == MAX_REASON
    assert (end.stop_reasons[7], end.status) == ("length", "truncated")


def test_counts_are_replaced_and_never_summed() -> None:
    events = decode(
        "openai",
        data(
            *(
                {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": n, "total_tokens": n + 1}}
                for n in (1, 1, 2)
            )
        ),
    )
    assert events == [UsageUpdate(1, 1, 2), UsageUpdate(1, 2, 3)]


def test_a_number_on_a_chunk_without_content_is_blank() -> None:
    role = chunk(role="assistant") | {"sequence": 0}
    assert decode("sse-gateway", data(role, chunk(content="a") | {"sequence": 1})) == [
        Numbered(0),
        Numbered(1, (Delta("a"),)),
    ]
