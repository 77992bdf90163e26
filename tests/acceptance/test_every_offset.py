"""A reply is cut, reset and stalled after every byte: it never looks complete, and its text is the exact prefix.

`python tests/acceptance/test_every_offset.py --write` writes the counts into docs/every-offset.md.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from streamweir.dialects import BUILTIN
from streamweir.dialects.ends import DecodeOptions
from streamweir.events import Delta, Ended, Numbered, Opened, Text, ToolCallDelta, Upstream, UsageUpdate
from streamweir.stages.limits import TimeLimits
from streamweir.wire.sse import encode_comment
from streamweir.wire.websocket import encode_message
from tests.relays import completed, framing, relay, wire

DOC = Path(__file__).parents[2] / "docs" / "every-offset.md"
FAULTS = ("cut", "reset", "stall")
WORDS = [
    "Your",
    " order",
    " is",
    " on",
    " its",
    " way",
    " to",
    " Zürich",
    " 😊",
    ".",
    " Is",
    " there",
    " any",
    "thing",
    " else",
    "?",
]

REPLIES: dict[str, Sequence[Upstream]] = {
    "sse-gateway": [
        *(Numbered(n, (Delta(word),)) for n, word in enumerate(WORDS)),
        UsageUpdate(9, 16, 25),
        completed(),
    ],
    "openai": [
        Delta("Let me see.", "reasoning"),
        *(Delta(word) for word in WORDS),
        ToolCallDelta(0, "call_1", "lookup", "", kind="function"),
        ToolCallDelta(0, arguments='{"city":"Zü'),
        ToolCallDelta(0, arguments='rich"}'),
        UsageUpdate(9, 16, 25),
        completed("tool_calls"),
    ],
    "ndjson-chat": [*(Delta(word) for word in WORDS), UsageUpdate(9, 16, 25), completed()],
    "sse-chat": [*(Delta(word) for word in WORDS), UsageUpdate(9, 16, 25), completed()],
    "sse-generative": [*(Delta(word) for word in WORDS), UsageUpdate(9, 16, 25), completed()],
    "ws-gateway": [*(Delta(word) for word in WORDS), UsageUpdate(9, 16, 25), completed()],
}
COMMENTS = {
    "sse": encode_comment("hello"),
    "ndjson": b"\n",
    "websocket": encode_message(b"hello", 9),
}


MARKERS = {
    b"[DONE]": b"[DONe]",
    b'"is_complete":true': b'"is_complete":null',
    b'"type":"stop"': b'"type":"stoq"',
    b'"finish_reason":"stop"': b'"finish_xxxxxx":"stop"',
}
"""What ends a stream, and the same damaged."""


class Counts(msgspec.Struct):
    offsets: int = 0
    before_marker: int = 0
    looked_complete: int = 0
    wrong_text: int = 0
    behind_marker: int = 0


def expected_text(dialect: str, body: bytes) -> tuple[str, bool]:
    """The text that a plain decoder finds in a piece of a body, and whether the end marker is in it."""
    text = ""
    for frame in framing(dialect).feed(body):
        if frame.data == "[DONE]":
            return text, True
        value = msgspec.json.decode(frame.data)
        match dialect:
            case "ndjson-chat":
                text += value.get("content", "")
                ended = value["type"] == "stop"
            case "sse-generative":
                text += value["content"]
                ended = value["is_complete"]
            case "ws-gateway":
                text += value["token"] or ""
                ended = value["finish_reason"] is not None
            case _:
                text += "".join(choice["delta"].get("content") or "" for choice in value["choices"])
                ended = False
        if ended:
            return text, True
    return text, False


def run(dialect: str, fault: str) -> Counts:
    """Every offset of one reply under one fault. Raises AssertionError where a promise is broken."""
    body = COMMENTS[BUILTIN[dialect].framing] + wire(dialect, REPLIES[dialect])
    counts = Counts()
    for offset in range(len(body) + 1):
        stream = relay(dialect, limits=TimeLimits(first_token_timeout=20, idle_timeout=30, deadline=0))
        events = [*stream.start([Opened()], 0.1), *stream.feed(body[:offset], 1.0)]
        if not stream.done:
            if fault == "stall":
                now = 1.0
                while not stream.done:
                    now = stream.due(now)
                    events += stream.tick(now)
            else:
                events += stream.end("eof" if fault == "cut" else "reset", 2.0)
        text, ended = expected_text(dialect, body[:offset])
        report = stream.report
        assert report is not None
        assert [event.seq for event in events] == list(range(len(events)))
        assert [isinstance(event, Ended) for event in events].index(True) == len(events) - 1
        sent_on = "".join(e.content for e in events if isinstance(e, Text) and e.channel == "content")
        counts.offsets += 1
        counts.before_marker += not ended
        counts.behind_marker += ended and report.status == "completed"
        counts.looked_complete += report.complete and not ended
        counts.wrong_text += not report.text == text == sent_on
        if not ended:
            assert report.status == ("timed_out" if fault == "stall" else "interrupted")
    return counts


def table() -> str:
    rows = []
    for dialect in REPLIES:
        for fault in FAULTS:
            counts = run(dialect, fault)
            rows.append(f"| {dialect} | {fault} | {' | '.join(map(str, msgspec.structs.astuple(counts)))} |")
    return "\n".join(
        [
            "# Cut at every byte",
            "",
            "One reply a dialect (accents, an emoji, usage; for `openai` reasoning and a tool call too) is cut, reset and",
            "stalled after every byte of its body, in process. `make docs` writes this table; a test holds it.",
            "",
            "| dialect | fault | offsets tried | before the end marker | of those, looked complete | wrong text | behind the end marker, complete |",
            "|---|---|---|---|---|---|---|",
            *rows,
            "",
        ]
    )


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("dialect", REPLIES)
def test_no_offset_looks_complete(dialect: str, fault: str) -> None:
    counts = run(dialect, fault)
    assert (counts.looked_complete, counts.wrong_text) == (0, 0)
    assert counts.before_marker > 800
    # behind the marker there is at most the line end of its event
    assert 1 <= counts.behind_marker == counts.offsets - counts.before_marker <= 2


def test_every_dialect_is_here() -> None:
    assert set(REPLIES) == set(BUILTIN)


def test_the_table_in_the_docs_is_what_comes_out() -> None:
    assert DOC.read_text(encoding="utf-8") == table()


def test_the_marker_alone_decides() -> None:
    """The same replies with the marker's bytes damaged never complete."""
    for dialect, events in REPLIES.items():
        body = wire(dialect, events)
        marked = next(marker for marker in MARKERS if marker in body)
        body = body.replace(marked, MARKERS[marked])
        stream = relay(dialect)
        stream.feed(body, 1.0)
        stream.end("eof", 2.0)
        assert not stream.report.complete
    assert DecodeOptions().malformed == "fail"


if __name__ == "__main__":
    if "--write" in sys.argv:
        DOC.parent.mkdir(exist_ok=True)
        DOC.write_text(table(), encoding="utf-8")
    else:
        sys.stdout.write(table())
