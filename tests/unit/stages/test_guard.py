"""What passes the guard's stage of what an upstream says beside the text, and what happens where the guard fails."""

from typing import Any

import msgspec
import pytest

from streamweir.events import (
    Delta,
    Diagnostic,
    End,
    Found,
    Note,
    Opened,
    Retry,
    Retrying,
    Text,
    ToolCall,
    ToolCallDelta,
    Upstream,
    Usage,
    UsageUpdate,
)
from streamweir.guard.build import Spec, build
from streamweir.guard.shapes import Finding
from streamweir.stages.guard import MAX_FINDINGS, Guarded
from streamweir.stages.release import Names

GUARD = build(Spec(), b"key")
NAMES = Names("r", "m", "openai")


def released(*events: Upstream, mode: Any = "redact") -> list[Any]:
    stage = Guarded(GUARD, mode, NAMES)
    return [one for event in events for one in stage([event], 0.0)]


def ended(reason: str | None = "stop", **more: Any) -> End:
    return End("completed", stop_reasons={0: reason} if reason else {}, **more)


@pytest.mark.parametrize("reason", ["stop", "STOP", "end_turn", "tool_calls", None])
def test_a_reply_that_said_all_keeps_its_last_word(reason: str | None) -> None:
    out = released(Delta("order 4111 1111"), ended(reason))
    assert "".join(e.content for e in out if type(e) is Text) == "order 4111 1111"


@pytest.mark.parametrize("reason", ["MAX_TOKENS", "model_length", "incomplete", "error", "cancelled", "SAFETY", "?"])
def test_any_other_end_may_be_in_the_middle_of_a_value(reason: str) -> None:
    out = released(Delta("card 4111 1111 1111 11"), ended(reason))
    assert "".join(e.content for e in out if type(e) is Text) == "card [CARD]"


@pytest.mark.parametrize(
    "pieces",
    [["lookup_order"], ["lookup", "_order"], list("lookup_order_2024")],
)
def test_a_functions_name_passes(pieces: list[str]) -> None:
    out = released(*(ToolCallDelta(0, "call_4f3a-99", piece, kind="function") for piece in pieces), ended())
    assert "".join(e.name or "" for e in out if type(e) is ToolCall) == "".join(pieces)
    assert {e.id for e in out if type(e) is ToolCall} == {"call_4f3a-99"}
    assert {e.kind for e in out if type(e) is ToolCall} == {"function"}


@pytest.mark.parametrize("value", ["123-45-6789", "jane@example.com", "x 4111 1111 1111 1111", "ghp_" + "a1B2" * 9])
def test_a_name_that_is_none_does_not(value: str) -> None:
    whole = released(ToolCallDelta(0, f"call {value}", value, kind=value), ended())
    pieces = released(*(ToolCallDelta(0, None, char) for char in value), ended())
    assert not any(value in repr(e) for e in whole)
    assert len("".join(e.name or "" for e in pieces if type(e) is ToolCall)) < 8


def test_of_unknown_keys_no_text_and_no_long_number_passes() -> None:
    extra = {
        "chunk": {"system_fingerprint": "fp_44709d6fcb", "provider": "ghp_" + "a1B2" * 9, "note": "jane", "n": 5},
        "choice": {"logprobs": {"content": [{"token": "4"}], "top": 3}, "ssn": 123456789, "x": {"123-45-6789": 1}},
    }
    out = released(Delta("hello there ", extra=extra), Note("odd event 123-45-6789", extra), ended())
    kept = {"chunk": {"system_fingerprint": "fp_44709d6fcb", "n": 5}, "choice": {"logprobs": {"top": 3}}}
    assert [e.extra for e in out if type(e) in (Text, Diagnostic)][:2] == [kept, kept]
    assert [e.kind for e in out if type(e) is Diagnostic] == ["unknown"]
    assert out[-1].sections["dropped"] == 10
    seen = released(Delta("hello ", extra=extra), ended(), mode="observe")
    assert next(e for e in seen if type(e) is Text).extra == extra


def test_counts_pass() -> None:
    details = {"prompt_tokens_details": {"cached_tokens": 120_000, "who": "jane"}}
    out = released(UsageUpdate(1, 2, 3, details), ended())
    assert next(e for e in out if type(e) is Usage).details == {"prompt_tokens_details": {"cached_tokens": 120_000}}


def test_what_an_upstream_says_of_an_end_is_read_as_if_it_broke_off() -> None:
    end = End(
        "failed",
        code="jane@example.com",
        message="x" * 20 + " SSN 123-45-6789 and 4111 1111 1111",
        error_type="StreamFailed",
        context_id="call 123-45-6789",
        stop_reasons={0: "it was 123-45-6789"},
    )
    last = released(Retry(1, 0.5, "over the limit 123-45-6789"), end)[-1]
    assert (last.code, last.context_id, last.stop_reasons) == ("upstream_error", None, {0: "other"})
    assert last.message == "x" * 20 + " SSN [US_SSN] and [CARD]"
    retrying = next(e for e in released(Retry(1, 0.5, "limit 123-45-6789"), end) if type(e) is Retrying)
    assert retrying.reason == "limit [US_SSN]"


def test_a_guard_that_fails_at_its_end_ends_the_stream_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    from streamweir.guard.engine import Scan

    stage = Guarded(GUARD, "redact", NAMES)
    stage([Delta("It is 123-45-6789")], 0.0)

    def broken(self: Any, **_: Any) -> str:
        raise RuntimeError("a mistake")

    monkeypatch.setattr(Scan, "finish", broken)
    with pytest.raises(RuntimeError):
        stage([ended()], 0.0)
    # as the relay does: the end that its own error makes
    (end,) = stage([End("failed", code="stream_failed", message="an error inside", error_type="StreamFailed")], 0.0)
    assert isinstance(end, End)
    assert (end.status, end.message) == ("failed", "an error inside")
    assert "123" not in repr(end)


def test_a_guard_that_fails_as_it_blocks_ends_the_stream_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    from streamweir.guard.engine import Scan

    stage = Guarded(GUARD, "block", NAMES, restore=GUARD)
    stage([Delta("hello ")], 0.0)

    def broken(self: Any, **_: Any) -> str:
        raise RuntimeError("a mistake")

    monkeypatch.setattr(Scan, "finish", broken)
    with pytest.raises(RuntimeError):
        stage([Delta("4111 1111 1111 1111 x")], 0.0)
    # as the relay does: the end that its own error makes
    (end,) = stage([End("failed", code="stream_failed", message="an error inside", error_type="StreamFailed")], 0.0)
    assert isinstance(end, End)
    assert "4111" not in repr(end)


def test_a_report_lists_a_thousand_findings_and_counts_all() -> None:
    out = released(Delta("a@b.de " * (MAX_FINDINGS + 5)), ended())
    report = out[-1].sections["guard"]
    assert (report.found, len(report.findings)) == (MAX_FINDINGS + 5, MAX_FINDINGS)
    assert sum(type(e) is Found for e in out) == MAX_FINDINGS + 5


@pytest.mark.parametrize("first", [Opened(), ended()])
def test_findings_of_the_prompt_are_told_whatever_comes_first(first: Upstream) -> None:
    stage = Guarded(GUARD, "redact", NAMES, asked=[Finding("EMAIL", "pii", 0, 4, "h")])
    out = stage([first], 0.0)
    assert [(e.channel, e.kind) for e in out if type(e) is Found] == [("prompt", "EMAIL")]


def test_a_block_is_the_same_however_the_text_is_cut() -> None:
    text = "Write to jane@sub.example.com x 4111 1111 1111 1111 y"
    whole = released(Delta(text), ended(), mode="block")
    pieces = released(*(Delta(char) for char in text), ended(), mode="block")
    for out in (whole, pieces):
        assert "".join(e.content for e in out if type(e) is Text) == "Write to "
    ends = [next(e for e in out if type(e) is End) for out in (whole, pieces)]
    assert [msgspec.to_builtins(e.sections["guard"].findings) for e in ends] == [ends[0].sections["guard"].findings] * 2
