"""Recordings under a guard, fed by hand: every dialect, however text and bytes are cut, and what stands beside the text."""

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamweir.dialects import BUILTIN
from streamweir.events import Delta, End, Note, Numbered, ToolCallDelta, UsageUpdate
from streamweir.recordings.held import MAX_HELD
from streamweir.wire.frames import MAX_EVENT
from streamweir.wire.sse import encode_event
from streamweir.wire.websocket import encode_close, encode_message
from tests.contract.test_guard import TEXT, VALUES, leaks
from tests.relays import completed, wire
from tests.unit.recordings.masked import GUARD, covered, events_of, masked, reads, runs, texts_of

PROSE = ["I see. ", "In 2024, ", "Zürich 😊 ", 'a "quoted" \\ word\n', "\u2028x ", "call 12-34 ", "x@ ", "BEGIN "]
KEY = "-----BEGIN PRIVATE KEY-----\n" + "MIIEvQIBADANBgkq/hkiG9w0\n" * 40 + "-----END PRIVATE KEY-----"
texts = st.lists(st.sampled_from([*VALUES.values(), *VALUES.values(), *PROSE, " ", ", ", KEY]), max_size=6).map("".join)
sizes = st.lists(st.integers(1, 40), max_size=5)


def cut(text: str, widths: list[int]) -> list[str]:
    out: list[str] = []
    at = number = 0
    while at < len(text):
        width = widths[number % len(widths)] if widths else 1
        out.append(text[at : at + width])
        at, number = at + width, number + 1
    return out


def numbered(events: list[Any]) -> list[Any]:
    return [Numbered(number, (event,)) for number, event in enumerate(events)]


def body(dialect: str, deltas: list[Any], end: Any = None) -> bytes:
    content = numbered(deltas) if dialect == "sse-gateway" else deltas
    return wire(dialect, [*content, UsageUpdate(1, 2, 3), *([end] if end else [])])


@pytest.mark.parametrize("dialect", BUILTIN)
@given(text=texts, widths=sizes, sizes=sizes, kept=st.floats(0, 1))
@settings(deadline=None, max_examples=150)
def test_the_text_is_the_original_with_what_is_covered_masked(
    dialect: str, text: str, widths: list[int], sizes: list[int], kept: float
) -> None:
    data = body(dialect, [Delta(piece) for piece in cut(text, widths)], completed())
    (out,) = masked(dialect, reads(data, sizes))
    before, after = events_of(dialect, data), events_of(dialect, out)
    assert texts_of(after).get(("content", 0), "") == covered(text)
    assert [type(event) for event in after] == [type(event) for event in before]
    assert after[-2:] == before[-2:]
    assert runs(out) <= runs(json.dumps(covered(text)).encode())

    data = data[: int(len(data) * kept)]
    (out,) = masked(dialect, reads(data, sizes))
    before = events_of(dialect, data)
    whole = bool(before) and type(before[-1]) is End
    told = texts_of(events_of(dialect, out))
    assert told == {key: covered(part, whole=whole) for key, part in texts_of(before).items()}
    assert runs(out) <= runs(json.dumps(told.get(("content", 0))).encode())


@pytest.mark.parametrize("dialect", [name for name in BUILTIN if name != "ws-gateway"])
def test_how_bytes_come_changes_nothing_in_what_is_written(dialect: str) -> None:
    data = body(dialect, [Delta(char) for char in TEXT[:60]], completed())
    (whole,) = masked(dialect, [data])
    for size in (1, 2, 3, 5, 7, 64):
        assert masked(dialect, reads(data, [size])) == [whole]
    # nothing is masked but one value, and an asterisk is as long as what it stands for
    assert len(whole) == len(data)


@given(text=texts, widths=sizes, ascii_only=st.booleans(), bare=st.booleans(), kept=st.floats(0, 1))
@settings(deadline=None, max_examples=300)
def test_arguments_are_read_as_the_json_they_are(
    text: str, widths: list[int], ascii_only: bool, bare: bool, kept: float
) -> None:
    value = {"note": text, "deep": [{"card": 4111111111111111 if bare else "4111 1111 1111 1111"}]}
    arguments = json.dumps(value, ensure_ascii=ascii_only).replace("@", "\\u0040")
    first = ToolCallDelta(0, "call-abc", "look_up", "", kind="function")
    data = wire(
        "openai", [first, *(ToolCallDelta(0, arguments=piece) for piece in cut(arguments, widths)), completed()]
    )
    (out,) = masked("openai", [data])
    events = events_of("openai", out)
    assert (events[0].id, events[0].name, events[0].kind) == ("call-abc", "look_up", "function")
    shown = texts_of(events)["arguments", 0, 0]
    assert len(shown) == len(arguments)
    assert all(a in (b, "*") for a, b in zip(shown, arguments, strict=True))
    if not bare:
        assert _unstarred(json.loads(shown)["note"]) == _unstarred(covered(text))
    left = runs(json.dumps(covered(text), ensure_ascii=False).encode())
    assert runs(_unescaped(shown)) <= left
    (out,) = masked("openai", [data[: int(len(data) * kept)]])
    assert runs(_unescaped(texts_of(events_of("openai", out)).get(("arguments", 0, 0), ""))) <= left


def _unescaped(arguments: str) -> bytes:
    return re.sub(r"\\u([0-9a-f]{4})", lambda found: chr(int(found[1], 16)), arguments).encode("utf-8", "replace")


def _unstarred(text: str) -> list[str]:
    """What stands between runs of asterisks: a masked escape has more of them than the character that it means."""
    return [part for part in text.split("*") if part]


def test_every_channel_choice_and_call_is_a_text_of_its_own() -> None:
    value = "123-45-6789"
    deltas: list[Any] = []
    for char in f"My SSN is {value}. ":
        deltas += [Delta(char), Delta(char, "reasoning"), Delta(char, "refusal"), Delta(char, choice=1)]
        deltas += [ToolCallDelta(0, arguments=char), ToolCallDelta(1, arguments=char)]
    for dialect in ("openai", "sse-chat", "sse-gateway"):
        (out,) = masked(dialect, [body(dialect, deltas, completed())])
        found = texts_of(events_of(dialect, out))
        assert len(found) == 6
        assert set(found.values()) == {"My SSN is ***********. "}
        assert not runs(out)


def test_a_text_that_comes_under_two_keys_is_masked_under_both() -> None:
    chunks = [
        {"choices": [{"index": 0, "delta": {"reasoning": char, "reasoning_content": char}}]}
        for char in "123-45-6789 ok"
    ]
    data = b"".join(encode_event(json.dumps(chunk)) for chunk in chunks)
    (out,) = masked("openai", [data])
    assert texts_of(events_of("openai", out)) == {("reasoning", 0): "*********** ok"}
    shown = [json.loads(line[6:])["choices"][0]["delta"] for line in out.decode().split("\n\n") if line]
    assert "".join(delta["reasoning"] for delta in shown) == "*********** ok"
    assert not runs(out)


def planted(char: str, text: str) -> dict[str, Any]:
    """A chunk with a character of a text, and the text in every other place that comes to mind."""
    token = {"token": char, "bytes": list(char.encode()), "logprob": 1.25, "top_logprobs": [{"token": char}]}
    return {
        "id": text,
        "model": text,
        "object": text,
        "system_fingerprint": char,
        "created": 123456789,
        "odd": 4111111111111111,
        char: char,
        text: {text: [text, [char, 4111111111111111, 1.5, True, None]]},
        "type": "response.output_text.done",
        "note": {"type": text, "role": char, "name": text},
        "choices": [
            {
                "index": 0,
                "delta": {"content": char, "role": "assistant", "audio": text, "content_parts": [{"text": char}]},
                "logprobs": {"content": [token], "tokens": [char]},
                "message": {"role": "assistant", "content": text},
                "text": text,
                "finish_reason": None,
            }
        ],
    }


@pytest.mark.parametrize("escaped", [True, False])
def test_nothing_stands_beside_the_text(escaped: bool) -> None:
    for value in VALUES.values():
        said = f"It is {value}, yes."
        data = b"".join(encode_event(json.dumps(planted(char, said), ensure_ascii=escaped)) for char in said)
        data = data.replace(b"-", b"\\u002d") if escaped else data
        (out,) = masked("openai", [data + encode_event("[DONE]")])
        assert texts_of(events_of("openai", out)) == {("content", 0): covered(said)}
        assert leaks(out.decode()) == []
        assert value not in out.decode()
        shown = json.loads(out.split(b"\n")[0][6:])
        assert shown["type"] == "response.output_text.done"
        assert shown["note"] == {"type": "*" * len(said), "role": "*", "name": "*" * len(said)}
        assert shown["choices"][0]["delta"]["role"] == "assistant"
        assert shown["choices"][0]["logprobs"]["content"][0] == {
            "token": "*", "*****": [0], "*******": 0, "top_logprobs": [{"token": "*"}]
        } or shown["choices"][0]["logprobs"]["content"][0]["token"] == "*"  # fmt: skip


FRAMES: dict[str, list[bytes]] = {
    "sse-gateway": [
        b": it is 123-45-6789\n\n",
        b"id: 4111111111111111\nretry: 411111\nfoo 123-45-6789: bar\nevent: 123-45-6789\ndata: {}\n\n",
        b"\xef\xbb\xbfdata: {\"choices\":[]}\r\n\r\n",
        b'data: {"choices":\ndata: []}\n\n',
        b"data: {broken 123-45-6789\n\n",
        b"data: 123-45-6789\ndata: x\n\n",
        b'event: error\ndata: {"error":{"message":"no card 4111 1111 1111 1111 here","code":"bad_card","type":"x1"}}\n\n',
        b"event: error\ndata: no card 4111 1111 1111 1111 here\n\n",
        b'data: {"error":"the SSN 123-45-6789 is wrong"}\n\n',
        b'data: {"type":"error","message":"the SSN 123-45-6789 is wrong"}\n\n',
        b'data: ["123-45-6789", 4111111111111111]\n\n',
        b'data: "123-45-6789"\n\n',
        b"data: 4111111111111111\n\n",
        b"data: " + b"[" * 5000 + b"\n\n",
        b'data: {"choices":[{"delta":"123-45-6789"}, "123-45-6789", {"delta":{"content":["123-45-6789"]}}]}\n\n',
        b'data: {"content":"123-45-6789","choices":[{"delta":{"content":"a","content":"b"}}]}\n\n',
        b'data: {"choices":[{"index":"123-45-6789","finish_reason":"123-45-6789","delta":{}}]}\n\ndata: [DONE]\n\n',
        b"data: [DONE]\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"123-45-6789\"}}]}\n\n",
        b"data: \xff\xfe123-45-6789\n\n",
    ],
    "ndjson-chat": [
        b"\n",
        b'{"type":"token","content":"a"} {"type":"token","content":"b"}123-45-6789\n',
        b'{"type":"123-45-6789"}\n',
        b'{"a": "123-45-6789\n{"type":"token","content":"x"}\n',
        b'{"type":"error","error":{"message":"the SSN 123-45-6789 is wrong"}}\n',
        b'{\n"type": "token",\n"content": "123-45-6789"\n}\n',
        b"4111111111111111\n",
    ],
    "sse-generative": [
        b"event: heartbeat\ndata: 123-45-6789\n\n",
        b"event: heartbeat\ndata: {}\n\n",
        b'data: {"content":"a","metadata":{"x":"123-45-6789"},"is_complete":false}\n\n',
        b'data: {"content":"","is_complete":true,"metadata":{"stop_reason":"123-45-6789","truncated":true}}\n\n',
    ],
    "ws-gateway": [
        encode_message(b"123-45-6789", 9),
        encode_message(b'{"token":"a"}') + encode_message(b"123-45-6789"),
        encode_close(1011, "no 123-45-6789"),
        encode_message(b"", 8),
        b"\x01\x0a{\"token\":\"" + b"\x80\x03a\"}",
        b"\x83\x05hello",
        encode_message(b'{"error":{"message":"the SSN 123-45-6789 is wrong","code":"x"}}'),
        encode_message(b'{"token":null,"finish_reason":"123-45-6789"}'),
    ],
}  # fmt: skip


@pytest.mark.parametrize("malformed", ["fail", "skip"])
@pytest.mark.parametrize(("dialect", "frame"), [(name, frame) for name, frames in FRAMES.items() for frame in frames])
def test_odd_frames_mean_the_same_and_hold_nothing(dialect: str, frame: bytes, malformed: str) -> None:
    data = frame + body(dialect, [Delta("that is all")], completed())
    (out,) = masked(dialect, reads(data, [9]), malformed=malformed)
    before, after = (events_of(dialect, one, malformed=malformed) for one in (data, out))
    assert [type(event) for event in after] == [type(event) for event in before]
    assert texts_of(after) == {key: covered(text) for key, text in texts_of(before).items()}
    for one, other in zip(before, after, strict=True):
        if type(one) is End:
            assert (other.status, other.code) == (one.status, one.code)
            assert other.message == (one.message and covered(one.message, whole=False))
        elif type(one) is Note:
            assert other.kind == one.kind or set(other.kind) == {"*"}
    assert leaks(out.decode("utf-8", "replace")) == []


@pytest.mark.parametrize("dialect", BUILTIN)
def test_what_is_too_long_to_be_read_is_as_long_in_a_replay(dialect: str) -> None:
    size = MAX_EVENT + 100
    for filler in (b"4111 1111 1111 1111 ", b"\n" if dialect == "ndjson-chat" else b"a"):
        big = (filler * size)[:size]
        if dialect == "ws-gateway":
            data = encode_message(big)
        elif dialect == "ndjson-chat":
            data = b'{"x": "' + big.replace(b"\n", b"\\n") + b'"}\n'
        else:
            data = b"data: " + big + b"\n\n"
        data += body(dialect, [Delta("x")], completed())
        (out,) = masked(dialect, reads(data, [65536]))
        before, after = events_of(dialect, data), events_of(dialect, out)
        assert [(type(one), one.status, one.code) for one in after] == [
            (type(one), one.status, one.code) for one in before
        ]
        assert leaks(out.decode("utf-8", "replace")) == []


@given(text=texts, widths=sizes)
@settings(deadline=None, max_examples=100)
def test_cumulative_content_is_masked_alike_in_every_chunk(text: str, widths: list[int]) -> None:
    encoder = BUILTIN["sse-generative"].encoder(id="c", model="m", created=1, cumulative=True)  # type: ignore[call-arg]
    data = b"".join(encoder.encode([*(Delta(piece) for piece in cut(text, widths or [7])), completed()]))
    (out,) = masked("sse-generative", reads(data, [1000]), content="cumulative")
    events = events_of("sse-generative", out, content="cumulative")
    assert texts_of(events).get(("content", 0), "") == covered(text)
    assert events[-1].status == "completed"
    assert runs(out) <= runs(json.dumps(covered(text)).encode())


def test_cumulative_content_that_changes_ends_as_it_did() -> None:
    chunks = [{"content": "It is 123-45-"}, {"content": "It is 123-45-6789"}, {"content": "No: 123-45-6789"}]
    data = b"".join(encode_event(json.dumps(chunk)) for chunk in chunks)
    (out,) = masked("sse-generative", [data], content="cumulative")
    assert events_of("sse-generative", out, content="cumulative")[-1].code == "integrity_failed"
    assert leaks(out.decode()) == []


def test_a_chunk_that_comes_twice_is_read_once() -> None:
    events = numbered([Delta(char) for char in "It is 123-45-6789, yes."])
    twice = [event for event in events for _ in range(2)]
    (out,) = masked("sse-gateway", [wire("sse-gateway", [*twice, completed()])])
    seen: dict[int, str] = {}
    for event in events_of("sse-gateway", out):
        if type(event) is Numbered:
            seen.setdefault(event.sequence, event.events[0].text)
    assert "".join(seen.values()) == "It is ***********, yes."
    assert not runs(out)


@pytest.mark.parametrize(
    ("first", "second", "shown"),
    [
        ("The card 4111 ", "1111 1111 1111, yes.", ("The card **** ", "**** **** ****, yes.")),
        ("The card 4111 11", "11 1111 1111, yes.", ("The card *******", "************, yes.")),
        ("my ssn 123-45-", "123-45-6789, yes.", ("my ssn *******", "***********, yes.")),
        ("a my ssn 123-45-", "sn 123-45-6789.", ("a my ssn *******", "sn ***********.")),
        ("the ssn: 123-45", "3-45-6789 it is", None),
        ("mail jane.do", "e@example.com now", None),
        ("card 4111 1111 11", "th apples", None),
        ("x 4111 1111 1111 ", "1111 1111 1111, yes", None),
        ("my ssn 123-45-6789, ok", "5-6789, ok then", None),
        ("the year 2024", " is over", ("the year 2024", " is over")),
    ],
)
@pytest.mark.parametrize("width", [1, 3, 100])
def test_a_value_may_lie_across_two_answers(first: str, second: str, shown: Any, width: int) -> None:
    for dialect in BUILTIN:
        bodies = [
            body(dialect, [Delta(piece) for piece in cut(first, [width])]),
            body(dialect, [Delta(piece) for piece in cut(second, [width])], completed()),
        ]
        out = masked(dialect, *([one] for one in bodies))
        told = tuple(texts_of(events_of(dialect, one)).get(("content", 0), "") for one in out)
        assert [len(text) for text in told] == [len(first), len(second)]
        assert not runs(out[0] + out[1])
        assert not any(char.isdigit() for char in told[1])
        assert shown is None or tuple(text.replace(" ", "*") for text in told) == tuple(
            text.replace(" ", "*") for text in shown
        )


def test_a_reading_that_waits_is_bounded() -> None:
    # what may be a value at the end of the reasoning holds back all that comes behind it
    deltas = [Delta("it was in 2024", "reasoning"), *(Delta("some words of prose. ") for _ in range(12_000))]
    data = body("openai", deltas, completed())
    assert len(data) > MAX_HELD
    (out,) = masked("openai", reads(data, [65536]))
    found = texts_of(events_of("openai", out))
    assert found["reasoning", 0] == "it was in ****"
    assert found["content", 0] == "some words of prose. " * 12_000


@pytest.mark.usefixtures("failing_guard")
def test_a_guard_that_fails_shows_nothing_more() -> None:
    for dialect in BUILTIN:
        data = body(dialect, [Delta(char) for char in "It is 123-45-6789, you know."], completed())
        (out,) = masked(dialect, [data])
        assert set(texts_of(events_of(dialect, out)).get(("content", 0), "")) == {"*"}
        assert not runs(out)
        assert b"know" not in out
        (out,) = masked(dialect, reads(data, [300]))
        assert texts_of(events_of(dialect, out))["content", 0].startswith("It is **")
        assert not runs(out)


def test_the_guard_is_the_one_that_was_given() -> None:
    assert covered("x 123-45-6789", guard=GUARD) == "x ***********"
