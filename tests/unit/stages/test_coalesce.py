from itertools import pairwise
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from streamweir.events import Delta, End, Note, ToolCallDelta
from streamweir.stages.coalesce import FEW, MAX_PIECE, coalesce
from tests.relays import relay, wire

PIECES: Any = st.builds(
    Delta,
    st.text(max_size=5),
    st.sampled_from(["content", "reasoning", "refusal"]),
    st.integers(0, 1),
    st.sampled_from([msgspec.UNSET, {"choice": {"logprobs": 1}}]),
)
EVENTS: Any = st.lists(st.one_of(PIECES, st.just(Note("x")), st.builds(ToolCallDelta, arguments=st.text(max_size=3))))


def texts(events: Any) -> dict[Any, str]:
    """The whole text of each choice and channel."""
    whole: dict[Any, str] = {}
    for event in events:
        if type(event) is Delta:
            key = event.channel, event.choice
            whole[key] = whole.get(key, "") + event.text
    return whole


@given(EVENTS)
def test_texts_and_all_other_events_stay_in_their_order(events: Any) -> None:
    events = [*events, *[Note("many")] * FEW]
    out = coalesce(events)
    assert texts(out) == texts(events)

    def others(them: Any) -> list[Any]:
        return [e for e in them if type(e) is not Delta or e.extra]

    assert others(out) == others(events)
    kinds: list[Any] = [(e.channel, e.choice) if type(e) is Delta and not e.extra else None for e in out]
    assert all(one is None or one != other for one, other in pairwise(kinds))


def test_a_piece_does_not_grow_without_end() -> None:
    out = coalesce([Delta("x" * 100)] * 1000)
    assert len(out) > 1
    assert max(len(one.text) for one in out if type(one) is Delta) < MAX_PIECE + 100


def test_a_few_events_stay_as_they_are() -> None:
    events = [Delta("a")] * FEW
    assert coalesce(events) is events
    assert coalesce([*events, Delta("b")]) == [Delta("a" * FEW + "b")]


def test_what_a_read_held_leaves_in_one_piece_and_is_counted_as_it_came() -> None:
    data = wire("openai", [*(Delta(c) for c in "abcdefghi"), End("completed", stop_reasons={0: "stop"})])
    one = relay("openai", coalesced=True)
    events = one.feed(data, 1.0)
    assert [event.content for event in events if event.__class__.__name__ == "Text"] == ["abcdefghi"]
    assert one.report is not None
    assert (one.report.text, one.report.chunks, one.report.complete) == ("abcdefghi", 9, True)
