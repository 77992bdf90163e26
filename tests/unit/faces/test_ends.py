"""What the faces make of ends that are easily taken for others: several choices, token limits, an upstream's own words."""

import json
from typing import Any

import pytest

from streamweir.events import End, Ended, ToolCallDelta
from streamweir.faces import public_report
from streamweir.faces.ai_sdk import AiSdk
from streamweir.faces.openai_chat import OpenAIChat
from streamweir.faces.openai_completion import completion
from streamweir.faces.openai_responses import OpenAIResponses
from tests.readers import messages
from tests.relays import relay, wire


def events_of(body: bytes, choices: int = 1) -> list[Any]:
    stream = relay("openai")
    stream._conclude.identity.choices = choices
    return [*stream.feed(body, 1.0), *stream.end("eof", 2.0)]


def chunks(*choices: tuple[int, str | None, str | None]) -> bytes:
    out = b""
    for index, content, reason in choices:
        choice = {"index": index, "delta": {"content": content} if content else {}, "finish_reason": reason}
        out += b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"
    return out + b"data: [DONE]\n\n"


@pytest.mark.parametrize(
    ("reasons", "expected"),
    [
        (("stop", "length"), ["stop", "length"]),
        (("stop", "max_tokens"), ["stop", "length"]),
        (("stop", "max_output_tokens"), ["stop", "length"]),
        (("stop", "content_filter"), ["stop", "content_filter"]),
        (("stop", None), ["stop", None]),
    ],
)
def test_each_choice_ends_as_it_ended(reasons: tuple[str, str | None], expected: list[str | None]) -> None:
    body = chunks((0, "a", None), (1, "b", None), (0, None, reasons[0]), (1, None, reasons[1]))
    events = events_of(body, choices=2)
    status, whole = completion(events, id="i", model="m", created=1)
    assert status == 200
    assert [choice["finish_reason"] for choice in whole["choices"]] == expected
    streamed = messages(OpenAIChat(id="i", model="m", created=1)(events))
    ended = {c["index"]: c["finish_reason"] for m in streamed for c in m.get("choices", []) if c["finish_reason"]}
    assert [ended.get(0), ended.get(1)] == expected


@pytest.mark.parametrize("arguments", ["", "{}", '{"a":', "3"])
def test_nobody_is_told_to_run_a_tool_whose_call_the_token_limit_cut(arguments: str) -> None:
    call = ToolCallDelta(0, "c1", "delete_all", arguments, kind="function")
    for end in (End("truncated", stop_reasons={0: "length"}), End("completed", stop_reasons={0: "tool_calls"})):
        events = events_of(wire("openai", [call, end]))
        kinds = [m.get("type") for m in messages(AiSdk(message_id="m")(events))]
        assert ("tool-input-available" in kinds) == (end.status == "completed" and arguments != '{"a":')
        assert ("tool-input-error" in kinds) == ("tool-input-available" not in kinds)
        told = messages(OpenAIResponses(id="i", model="m", created=1)(events))
        done = [m for m in told if m["type"].endswith("arguments.done")]
        assert bool(done) == (end.status == "completed")
        items = [m["item"]["status"] for m in told if m["type"] == "response.output_item.done"]
        assert items == ["completed" if end.status == "completed" else "incomplete"]


def test_an_upstreams_own_words_do_not_reach_a_client() -> None:
    (ended,) = [e for e in events_of(chunks((0, "a", "error at db-7: password=hunter2"))) if isinstance(e, Ended)]
    assert ended.report.stop_reason == "error at db-7: password=hunter2"
    assert public_report(ended.report).stop_reason == "other"
