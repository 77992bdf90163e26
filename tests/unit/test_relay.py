from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamweir.ending import CAUSES
from streamweir.errors import RateLimitError
from streamweir.events import (
    Delta,
    Ended,
    Joint,
    Limits,
    Note,
    Numbered,
    Opened,
    Restarted,
    Retry,
    Text,
    ToolCallDelta,
    UsageUpdate,
)
from streamweir.report import RateLimitReport
from streamweir.stages.limits import TimeLimits
from tests.relays import completed, relay, wire

GOLDEN = Path(__file__).parents[1] / "golden" / "events.jsonl"
BODY = wire(
    "sse-gateway",
    [*(Numbered(n, (Delta(text),)) for n, text in enumerate(("Hé", "llo", " 😊"))), UsageUpdate(1, 3, 4), completed()],
)


@given(st.lists(st.integers(1, 60), max_size=40))
@settings(deadline=None, max_examples=200)
def test_the_same_events_under_every_chunking(sizes: list[int]) -> None:
    whole = relay("sse-gateway")
    expected = [*whole.start([Opened()], 1.0), *whole.feed(BODY, 2.0)]
    cut, rest, out = relay("sse-gateway"), BODY, []
    out += cut.start([Opened()], 1.0)
    for size in sizes:
        out += cut.feed(rest[:size], 2.0)
        rest = rest[size:]
    out += cut.feed(rest, 2.0)
    assert out == expected


def test_nothing_comes_after_the_end() -> None:
    stream = relay("sse-gateway")
    stream.feed(BODY, 1.0)
    assert stream.done
    assert stream.feed(BODY, 1.0) == stream.end("reset", 1.0) == stream.tick(1e9) == ()
    assert stream.report.status == "completed"


@pytest.mark.parametrize("cause", CAUSES)
def test_every_cause_ends_a_stream_once_and_keeps_its_text(cause: str) -> None:
    stream = relay("sse-gateway")
    events = [*stream.start([Opened()], 0.5), *stream.feed(BODY[: BODY.index(b" \xf0")], 1.0), *stream.end(cause, 2.0)]
    assert [event.seq for event in events] == list(range(len(events)))
    assert [type(event) for event in events].count(Ended) == 1
    assert not stream.report.complete
    assert stream.report.text == "Héllo"
    assert stream.report.error.code == CAUSES[cause][0]
    assert stream.report.timing.total_ms == 2000.0


def test_the_hash_can_be_read_at_any_time() -> None:
    stream = relay("sse-gateway")
    assert stream.sha256 == sha256(b"").hexdigest()
    for at in range(0, len(BODY), 50):
        stream.feed(BODY[at : at + 50], 1.0)
        assert stream.sha256 == sha256(stream.text.encode()).hexdigest()
    assert stream.report.integrity.sha256 == sha256("Héllo 😊".encode()).hexdigest()


@pytest.mark.parametrize("part", ["_decode", "_encode"])
def test_an_error_of_our_own_is_no_end_and_not_the_upstreams(part: str) -> None:
    stream = relay("sse-gateway")
    good = stream.feed(BODY[:150], 1.0)
    real, count = getattr(stream, part), 0

    def broken(items: object) -> object:
        nonlocal count
        count += 1
        if count == 1:
            raise KeyError("planted")
        return real(items)

    setattr(stream, part, broken)
    out = stream.feed(BODY[150:], 1.0)
    assert stream.report.status == "failed"
    assert stream.report.error.code == "stream_failed"
    assert "KeyError" in stream.report.error.message
    assert isinstance(out[-1], Ended)
    if part == "_decode":
        assert [event.seq for event in (*good, *out)] == list(range(len(good) + len(out)))


def test_a_refusal_has_its_retries_and_one_end() -> None:
    error = RateLimitError("too much")
    error.status = 429
    stream = relay("openai")
    events = stream.refuse(error, [Retry(1, 0.5, "busy")], 3.0)
    assert [event.seq for event in events] == [0, 1]
    assert stream.report.error.type == "RateLimitError"
    assert stream.report.error.status == 429


def test_the_json_of_every_event_is_as_published() -> None:
    """`events.jsonl` is part of the interface: change it knowingly."""
    stream = relay("openai")
    before = [Retry(1, 0.25, "busy"), Limits(RateLimitReport(count=1, allowed=300, reset=60)), Opened("corr")]
    body = wire(
        "openai",
        [
            Delta("thinking", "reasoning"),
            Delta("Hello"),
            Delta("no", "refusal", extra={"delta": {"odd": 1}}),
            ToolCallDelta(0, "call_1", "lookup", "{}", kind="function"),
            Note("x", {"chunk": {"odd": 2}}),
            UsageUpdate(1, 2, 3, {"cached": 1}),
            completed("tool_calls"),
        ],
    )
    events = [*stream.start(before, 1.0), *stream.feed(body, 2.0)]
    events += [Joint(11, 5), Restarted(12, "stream_interrupted")]
    assert [msgspec.json.decode(msgspec.json.encode(event)) for event in events] == [
        msgspec.json.decode(line) for line in GOLDEN.read_bytes().splitlines()
    ]


def test_text_is_counted_by_index_and_everything_by_seq() -> None:
    stream = relay("sse-gateway")
    events = [*stream.start([Opened()], 1.0), *stream.feed(BODY, 2.0)]
    assert [event.index for event in events if isinstance(event, Text)] == [0, 1, 2]
    assert [event.seq for event in events] == list(range(len(events)))


def test_comments_and_notes_are_no_content() -> None:
    one = relay("openai", limits=TimeLimits(idle_timeout=30, inactivity_timeout=40, deadline=0))
    one.feed(wire("openai", [Delta("a")]), 10.0)
    for now in range(11, 40):
        one.feed(b": still here\n\n" + wire("openai", [Note("x")]), float(now))
    assert one.tick(39.9) == ()
    (*_, ended) = one.tick(40.0)
    assert ended.report.error.limit == "idle_timeout"
