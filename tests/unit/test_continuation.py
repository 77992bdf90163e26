"""What follows a reply that broke off, in process."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamweir.errors import APIConnectionError
from streamweir.events import Delta, End, Ended, Joint, Note, Opened, Restarted, Text, ToolCallDelta, UsageUpdate
from streamweir.flows.continuation import AgainPolicy, Carried, decide, follow_up
from streamweir.request import Request
from streamweir.stages.joint import MAX_OVERLAP, MIN_OVERLAP, Overlap, overlap
from streamweir.stages.limits import TimeLimits
from tests.relays import attempt, completed, relay, wire

CUT = End("interrupted", code="stream_interrupted", error_type="StreamInterrupted", message="cut")
REQUEST = Request(model="m", messages=[{"role": "user", "content": "x"}], request_id="r", timestamp="t")


def deltas(text: str) -> list[Any]:
    return [Delta(word + " ") for word in text.split()]


@pytest.mark.parametrize(
    ("end", "policy", "so_far", "kind"),
    [
        (CUT, {}, {}, None),
        (CUT, {"on_cut": "continue"}, {"content": True}, "continue"),
        (CUT, {"on_cut": "continue"}, {"content": True, "tools": True}, None),
        (CUT, {"on_cut": "restart"}, {"content": True, "tools": True}, "restart"),
        (CUT, {"on_cut": "continue"}, {"content": True, "used": 1}, None),
        (CUT, {"on_cut": "continue", "max_restarts": 2}, {"content": True, "used": 1}, "continue"),
        (CUT, {"on_cut": "continue", "max_restarts": 0}, {"content": True}, None),
        (CUT, {"retry": True}, {}, "retry"),
        (CUT, {"retry": True}, {"content": True}, None),
        (End("timed_out", code="stream_timed_out", limit="deadline"), {"retry": True, "on_cut": "restart"}, {}, None),
        (End("timed_out", code="stream_timed_out", limit="first_token_timeout"), {"retry": True}, {}, "retry"),
        (End("timed_out", code="stream_stalled"), {"on_cut": "continue"}, {"content": True}, "continue"),
        (End("truncated"), {"on_cut": "continue"}, {"content": True}, "continue"),
        (End("truncated"), {"on_cut": "restart"}, {"content": True}, None),
        (End("completed"), {"on_cut": "continue"}, {"content": True}, None),
        (End("failed", code="upstream_error"), {"on_cut": "continue"}, {"content": True}, None),
        (End("cancelled", code="cancelled"), {"on_cut": "continue"}, {"content": True}, None),
        (End("interrupted", code="text_dropped"), {"on_cut": "continue"}, {"content": True}, None),
        (End("failed", code="integrity_failed"), {"on_gaps": "restart"}, {"content": True}, "restart"),
        (End("failed", code="integrity_failed"), {"on_cut": "restart"}, {"content": True}, None),
    ],
)
def test_what_follows(end: End, policy: dict[str, Any], so_far: dict[str, Any], kind: str | None) -> None:
    again = decide(AgainPolicy(**policy), end, Carried(**so_far))
    assert (again.kind if again else None) == kind


def test_the_follow_up_carries_the_text_so_far() -> None:
    again = decide(AgainPolicy(on_cut="continue"), CUT, Carried(True))
    assert follow_up(REQUEST, again, "so far", AgainPolicy(on_cut="continue")).messages == [
        *REQUEST.messages,
        {"role": "assistant", "content": "so far"},
    ]
    system = follow_up(REQUEST, again, "so far", AgainPolicy(on_cut="continue", continue_as="system")).messages[-1]
    assert system["role"] == "system"
    assert system["content"].endswith("\n\nso far")
    assert follow_up(REQUEST, again, "", AgainPolicy()) is REQUEST


def test_a_cut_reply_goes_on_with_the_joint_marked() -> None:
    stream = relay("openai", policy=AgainPolicy(on_cut="continue"))
    events = [*stream.start([Opened()], 1.0), *stream.feed(wire("openai", deltas("Your order is on")), 2.0)]
    events += stream.end("eof", 3.0)
    assert stream.again.kind == "continue"
    assert not stream.done
    assert stream.feed(b"more of the old answer", 3.5) == ()
    events += stream.reopen(attempt("openai"), [], 4.0)
    body = wire("openai", [*deltas("order is on its way"), UsageUpdate(9, 4, 13), completed()])
    events += stream.feed(body, 5.0)
    report = stream.report
    assert (report.status, report.text) == ("completed", "Your order is on its way ")
    assert (report.joints, report.continuations, report.restarts) == ([17], 1, 0)
    assert [e.at for e in events if isinstance(e, Joint)] == [17]
    assert [event.seq for event in events] == list(range(len(events)))
    assert "".join(e.content for e in events if isinstance(e, Text)) == report.text
    # the first answer gave no counts, so that the sum is an estimate
    assert report.usage.estimated


def test_a_restart_withdraws_the_text_and_counts_both_answers() -> None:
    stream = relay("openai", policy=AgainPolicy(on_cut="restart"))
    events = [*stream.start([Opened()], 1.0)]
    events += stream.feed(wire("openai", [*deltas("old text"), UsageUpdate(5, 2, 7)]), 2.0)
    events += stream.end("reset", 3.0)
    events += stream.reopen(attempt("openai"), [], 4.0)
    events += stream.feed(wire("openai", [*deltas("new"), UsageUpdate(5, 1, 6), completed()]), 5.0)
    report = stream.report
    assert (report.status, report.text, report.restarts, report.joints) == ("completed", "new ", 1, [])
    assert (report.usage.prompt_tokens, report.usage.completion_tokens, report.usage.total_tokens) == (10, 3, 13)
    assert [e.reason for e in events if isinstance(e, Restarted)] == ["upstream_lost"]
    assert report.integrity.sha256 == stream.sha256
    assert report.timing.first_token_ms == 2000.0


def test_where_the_new_request_fails_the_stream_ends_as_its_reply_had() -> None:
    stream = relay("openai", policy=AgainPolicy(on_cut="continue"))
    stream.start([Opened()], 1.0)
    stream.feed(wire("openai", deltas("half a")), 2.0)
    stream.end("eof", 3.0)
    events = stream.give_up(APIConnectionError("nobody there"), 4, [Note("x")], 4.0)
    assert isinstance(events[-1], Ended)
    assert stream.report.status == "interrupted"
    assert stream.report.error.message.endswith("a new request failed too: nobody there")
    assert (stream.report.text, stream.report.attempts) == ("half a ", 4)


@pytest.mark.parametrize("cause", ["cancelled", "client_gone", "draining"])
def test_a_caller_who_leaves_while_it_is_asked_again(cause: Any) -> None:
    stream = relay("openai", policy=AgainPolicy(on_cut="continue"))
    stream.feed(wire("openai", deltas("half a")), 2.0)
    stream.end("eof", 3.0)
    stream.end(cause, 4.0)
    assert stream.report.status == "cancelled"
    assert stream.reopen(attempt("openai"), [], 5.0) == ()


def test_the_deadline_runs_on_between_two_answers() -> None:
    stream = relay("openai", policy=AgainPolicy(on_cut="continue"), limits=TimeLimits(deadline=10, idle_timeout=1))
    stream.feed(wire("openai", deltas("half a")), 2.0)
    stream.end("eof", 3.0)
    assert stream.tick(9.0) == ()
    assert stream.due(9.0) == 10.0
    stream.tick(10.0)
    assert (stream.report.status, stream.report.error.limit) == ("timed_out", "deadline")


def test_a_reader_that_catches_up_between_two_answers_starts_no_clock() -> None:
    stream = relay("openai", policy=AgainPolicy(on_cut="continue"), limits=TimeLimits(deadline=0, idle_timeout=1))
    stream.feed(wire("openai", deltas("half a")), 2.0)
    stream.pause(2.1)
    stream.end("eof", 3.0)
    stream.resume(3.1)
    assert stream.tick(50.0) == ()
    stream.reopen(attempt("openai"), [], 60.0)
    stream.feed(wire("openai", [*deltas("loaf"), completed()]), 60.5)
    assert stream.report.status == "completed"


def test_half_a_tool_call_is_not_continued() -> None:
    stream = relay("openai", policy=AgainPolicy(on_cut="continue"))
    stream.feed(wire("openai", [Delta("a"), ToolCallDelta(0, "c", "f", "{")]), 2.0)
    stream.end("eof", 3.0)
    assert stream.report.status == "interrupted"


@pytest.mark.parametrize(
    ("old", "new", "size"),
    [
        ("the order is", "the order is on", 12),
        ("the order is", " order is on", 9),
        ("the order is", "is on", 0),
        ("the order", "a new one", 0),
        ("Hi", "Hi there", 2),
        ("", "Hi", 0),
        ("ab" * 10, "abab", 0),
        ("ab" * 10, "ababab", 6),
        ("x" * 5000, "x" * 4000, 4000),
    ],
)
def test_the_overlap(old: str, new: str, size: int) -> None:
    assert overlap(old, new) == size


@given(
    st.text(st.sampled_from("ab "), max_size=30),
    st.text(st.sampled_from("ab "), max_size=30),
    st.lists(st.integers(1, 5), max_size=30),
)
@settings(deadline=None, max_examples=300)
def test_the_overlap_is_found_under_every_chunking(old: str, new: str, sizes: list[int]) -> None:
    stage, out, at = Overlap(old), [], 0
    for size in [*sizes, 100]:
        if piece := new[at : at + size]:
            out += stage([Delta(piece)], 1.0)
        at += size
    out += stage([completed()], 1.0)
    text = "".join(event.text for event in out if isinstance(event, Delta))
    assert text == (new[overlap(old, new) :] if old else new)
    assert isinstance(out[-1], End)


def test_what_is_held_for_an_overlap_is_bounded() -> None:
    old = "ab" * 4000
    stage = Overlap(old)
    sent = sum(len(e.text) for _ in range(MAX_OVERLAP + 10) for e in stage([Delta("ab")], 1.0))
    assert stage.done
    assert sent >= 2 * 10
    assert MIN_OVERLAP < MAX_OVERLAP
