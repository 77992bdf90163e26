"""The receipt, from the face that writes it to the decoder that checks it: what makes it true, false or unknown."""

import json
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import pytest

from streamweir.events import Delta, End, Ended, Note, Opened, Text, ToolCallDelta, Upstream, UsageUpdate
from streamweir.faces import public_report
from streamweir.faces.openai_chat import OpenAIChat
from streamweir.faces.openai_completion import completion
from streamweir.faces.openai_responses import OpenAIResponses
from streamweir.flows.continuation import AgainPolicy
from streamweir.guard.build import Spec, build
from streamweir.relay import Relay
from streamweir.report import Report
from streamweir.stages.guard import Guarded
from streamweir.stages.release import Names
from streamweir.wire.sse import SseDecoder
from tests.relays import attempt, completed, relay, wire

GUARD = build(Spec(), b"key")
TEXT = ["Hello, ", "Zürich ", "😊: ", "mail a@example.com", " or not"]
BODY = [*map(Delta, TEXT), UsageUpdate(1, 2, 3), completed()]


def guarded(mode: Any = "redact", encode: Any = tuple) -> Relay[Any]:
    stage = Guarded(GUARD, mode, Names("r", "m", "openai"))
    return Relay(attempt("openai"), release=stage, encode=encode)


def sent(
    events: Sequence[Upstream] = BODY, through: Any = None, record: str | None = "rec-1", usage: bool = True
) -> bytes:
    """What a proxy sends for an upstream's events; `record` is what it calls its record of them."""
    face = OpenAIChat(id="c", model="m", created=1, include_usage=usage)

    def encode(released: Sequence[Any]) -> bytes:
        for event in released:
            if isinstance(event, Ended):
                event.report.record_id = record
        return face(released)

    one = (through or relay)(**({} if through else {"dialect": "openai"}), encode=encode)
    return one.start([Opened("up")], 0.0) + one.feed(wire("openai", events), 1.0) + one.end("eof", 2.0)


def read(data: bytes, size: int = 0, one: Relay[Any] | None = None, cause: Any = "eof") -> Report:
    """The report of a client that reads it, in pieces of a size."""
    client = one or relay("openai")
    client.start([Opened()], 0.0)
    for at in range(0, len(data), size or len(data)):
        client.feed(data[at : at + (size or len(data))], 1.0)
    client.end(cause, 2.0)
    assert client.report is not None
    return client.report


def chunks(data: bytes) -> list[Any]:
    return [json.loads(frame.data) for frame in SseDecoder().feed(data) if frame.data != "[DONE]"]  # type: ignore[union-attr]


def judged(report: Report) -> tuple[Any, ...]:
    return report.status, report.receipt_verified, report.error and report.error.code


WHOLE = ("completed", True, None)
CHANGED = ("failed", False, "receipt_mismatch")


@pytest.mark.parametrize("usage", [True, False])
@pytest.mark.parametrize("size", [0, 1, 7, 100])
def test_what_came_as_it_was_sent_is_verified(size: int, usage: bool) -> None:
    report = read(sent(usage=usage), size)
    assert judged(report) == WHOLE
    assert (report.upstream_record_id, report.record_id, report.recorded) == ("rec-1", None, None)
    assert report.diagnostics == 0
    assert report.text == "".join(TEXT)


@pytest.mark.parametrize("size", [0, 1, 7, 100])
def test_a_change_of_any_character_is_seen(size: int) -> None:
    data = sent()
    for piece in (piece.encode() for piece in TEXT):
        assert data.count(piece) == 1
        assert judged(read(data.replace(piece, b"x" + piece[1:] if piece[0] < 128 else b"x"), size)) == CHANGED
    report = read(data.replace("😊".encode(), "😀".encode()), size)
    assert judged(report) == CHANGED
    assert not report.complete
    assert report.error is not None
    assert report.error.type == "StreamIntegrityError"
    # the text is kept: nobody knows which character it was
    assert report.text == "".join(TEXT).replace("😊", "😀")


def test_no_byte_can_be_changed_and_the_text_with_it() -> None:
    """Wherever it stands: a reply that is still whole has the text that was sent."""
    data = sent()
    ends: dict[tuple[Any, ...], int] = {}
    for at in range(len(data)):
        for other in (data[at] ^ 1, 0x20, 0x22):
            report = read(data[:at] + bytes((other,)) + data[at + 1 :])
            assert not report.complete or report.text == "".join(TEXT), (at, other)
            ends[judged(report)] = ends.get(judged(report), 0) + 1
    assert ends[CHANGED] > 100
    assert ends[WHOLE] > 100
    assert ends["completed", None, None] > 100


def test_a_piece_that_is_lost_added_or_elsewhere_is_seen() -> None:
    frames = [b"%b\n\n" % frame for frame in sent().split(b"\n\n")[:-1]]
    texts = range(1, 1 + len(TEXT))
    for at in texts:
        assert judged(read(b"".join(frames[:at] + frames[at + 1 :]))) == CHANGED
        assert judged(read(b"".join(frames[: at + 1] + frames[at:]))) == CHANGED
    swapped = [frames[0], frames[2], frames[1], *frames[3:]]
    assert judged(read(b"".join(swapped))) == CHANGED


def test_the_receipt_is_that_of_what_left() -> None:
    data = sent(through=guarded)
    assert b"[EMAIL]" in data
    assert judged(read(data)) == WHOLE
    # and the reader's own guard does not come between
    for mode in ("redact", "observe"):
        report = read(sent(), 9, guarded(mode))
        assert judged(report) == WHOLE
        assert report.upstream_record_id == "rec-1"
        assert ("a@example.com" in str(report.text)) == (mode == "observe")
    assert judged(read(sent().replace(b"Hello", b"Hallo"), 9, guarded())) == CHANGED
    assert read(sent(), 9, guarded("block")).status == "blocked"


def test_a_token_limit_and_tools_have_receipts() -> None:
    limit = read(sent([Delta("half"), End("truncated", stop_reasons={0: "length"})]))
    assert judged(limit) == ("truncated", True, None)
    call = ToolCallDelta(0, "call_1", "lookup", '{"a": 1}', kind="function")
    tools = read(sent([Delta("a", "reasoning"), call, completed("tool_calls")]))
    assert judged(tools) == WHOLE
    assert tools.text == ""


@pytest.mark.parametrize("size", [0, 1, 50])
def test_a_cut_reply_has_one_for_what_came(size: int) -> None:
    cut = sent([Delta("half")])
    assert chunks(cut)[-1]["streamweir"]["receipt"]["sha256"] == sha256(b"half").hexdigest()
    assert judged(read(cut, size)) == ("failed", True, "upstream_error")
    # it is not whole, and says so as it did
    assert judged(read(cut.replace(b"half", b"calf"), size)) == ("failed", False, "upstream_error")


def test_no_receipt_is_none() -> None:
    plain = read(wire("openai", BODY))
    assert (*judged(plain), plain.upstream_record_id) == ("completed", None, None, None)
    # cut before it
    data = sent()
    early = read(data[: data.index(b'"sha256"')], cause="reset")
    assert judged(early) == ("interrupted", None, "upstream_lost")


@pytest.mark.parametrize(
    "said", ["1", "[]", '"x"', "{}", '{"sha256":7}', '{"sha256":"%s"}' % ("*" * 64), '{"sha256":"%s"}' % ("A" * 64)]
)
def test_what_is_no_receipt_is_none(said: str) -> None:
    data = wire("openai", [*map(Delta, TEXT)])
    data += b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"streamweir":{"receipt":%b}}\n\n' % (
        said.encode()
    )
    for announced in (b'{"receipt":null}', b"[]", b"7"):
        first = b'data: {"choices":[{"index":0,"delta":{"role":"assistant"}}],"streamweir":%b}\n\n' % announced
        report = read(first + data + b"data: [DONE]\n\n")
        assert (*judged(report), report.diagnostics) == ("completed", None, None, 0)


def test_one_that_was_not_announced_is_not_judged() -> None:
    assert judged(read(sent().replace(b',"streamweir":{"receipt":null}', b""))) == ("completed", None, None)


def test_a_receipt_in_place_of_the_announcement_is_none() -> None:
    said = (
        b'"streamweir":{"receipt":{"sha256":"%b","record_id":null}}'
        % sha256("".join(TEXT).encode()).hexdigest().encode()
    )
    assert judged(read(sent().replace(b'"streamweir":{"receipt":null}', said))) == ("completed", None, None)


def test_a_chunk_of_counts_may_hold_it() -> None:
    """As where an upstream gave no finish reason; and it is no unknown key."""
    data = sent([Delta("a"), UsageUpdate(1, 2, 3), End("completed")])
    frames = data.split(b"\n\n")
    finish = next(at for at, frame in enumerate(frames) if b"sha256" in frame)
    ours = frames.pop(finish)[:-1].partition(b',"streamweir"')
    frames[finish] = frames[finish][:-1] + ours[1] + ours[2] + b"}"
    report = read(b"\n\n".join(frames))
    assert (*judged(report), report.diagnostics) == (*WHOLE, 0)
    assert report.usage.completion_tokens == 2


@pytest.mark.parametrize("named", ["x y", "a" * 101, "", "ü", "call 555-123-4567"])
def test_what_is_no_id_is_not_taken_for_one(named: str) -> None:
    report = read(sent(record=named))
    assert (judged(report), report.upstream_record_id) == (WHOLE, None)


def test_an_id_that_holds_somebodys_number_does_not_pass_a_guard() -> None:
    data = sent(record="4111-1111-1111-1111")
    assert read(data).upstream_record_id == "4111-1111-1111-1111"
    assert read(data, one=guarded()).upstream_record_id is None
    named = "cd613e30-d8f1-4adf-91b7-584a2265b1f5"
    assert read(sent(record=named), one=guarded()).upstream_record_id == named


def test_only_the_first_choice_counts() -> None:
    events = [Delta("a"), Delta("b", choice=1), Delta("c", "refusal"), Delta("d", "reasoning"), Delta("e")]
    data = sent([*events, End("completed", stop_reasons={0: "stop", 1: "stop"})])
    assert chunks(data)[-2]["streamweir"]["receipt"]["sha256"] == sha256(b"ae").hexdigest()
    assert judged(read(data)) == WHOLE


def test_an_end_at_the_finish_reason_has_it_too() -> None:
    data = sent()
    assert judged(read(data, one=relay("openai", end_marker="finish_reason"))) == WHOLE
    changed = data.replace(b"Hello", b"Hallo")
    assert judged(read(changed, one=relay("openai", end_marker="finish_reason"))) == CHANGED


def test_a_proxys_key_is_never_carried_on() -> None:
    """Behind another proxy the receipt is that one's own."""
    inner = sent(record="inner")

    def outer(data: bytes) -> list[Any]:
        face = OpenAIChat(id="o", model="m", created=1)
        one = guarded(encode=face)
        return chunks(one.start([Opened()], 0.0) + one.feed(data, 1.0))

    for data in (inner, inner.replace(b'"receipt":null', b'"forged":1'), wire("openai", BODY)):
        found = [chunk["streamweir"] for chunk in outer(data) if "streamweir" in chunk]
        assert found[0] == {"receipt": None}
        assert found[1]["receipt"]["record_id"] is None
        assert (
            found[1]["receipt"]["sha256"]
            == sha256("".join(TEXT).replace("a@example.com", "[EMAIL]").encode()).hexdigest()
        )
        assert len(found) == 2
    forged = {"chunk": {"streamweir": {"receipt": {"sha256": "0" * 64}}}}
    for event in (Delta("x", extra=forged), Note("unknown_keys", forged)):
        assert b"0000" not in OpenAIChat(id="o", model="m", created=1)(relay("openai")._release([event], 0.0))  # type: ignore[arg-type]


def answers(kind: Any, *bodies: bytes) -> Report:
    """The report of a reply in several answers, all but the last cut off."""
    one = relay("openai", policy=AgainPolicy(on_cut=kind))
    one.start([Opened()], 0.0)
    for body in bodies[:-1]:
        one.feed(body, 1.0)
        one.end("eof", 2.0)
        one.reopen(attempt("openai"), [Opened()], 3.0)
    one.feed(bodies[-1], 4.0)
    assert one.report is not None
    return one.report


def test_several_answers() -> None:
    data = sent()
    cut = data[: data.index("😊".encode()) - 50]
    changed = data.replace(b"Hello", b"Hallo")
    assert judged(answers("restart", cut, data)) == WHOLE
    assert judged(answers("restart", cut, changed)) == CHANGED
    # nobody vouches for what came before the cut
    joined = answers("continue", cut, data)
    assert (*judged(joined), joined.continuations) == ("completed", None, None, 1)
    assert judged(answers("continue", cut, changed)) == CHANGED


def test_the_other_faces_and_what_a_client_sees() -> None:
    one = relay("openai")
    events = [*one.start([Opened()], 0.0), *one.feed(sent(), 1.0)]
    report = events[-1].report
    report.record_id = "rec-2"
    receipt = {"sha256": sha256("".join(TEXT).encode()).hexdigest(), "record_id": "rec-2"}
    assert completion(events, id="c", model="m", created=1)[1]["streamweir"] == {"receipt": receipt}
    face = OpenAIResponses(id="r", model="m", created=1)
    assert b'"streamweir":{"receipt":{"sha256":"' + receipt["sha256"].encode() in face(events)
    assert face.response["streamweir"] == {"receipt": receipt}
    # what we found, and what the upstream calls its own, is not told to others
    assert (report.receipt_verified, report.upstream_record_id) == (True, "rec-1")
    shown = public_report(report)
    assert (shown.receipt_verified, shown.upstream_record_id, shown.record_id) == (None, None, "rec-2")
    assert shown.integrity.sha256 == receipt["sha256"]
    cut = relay("openai")
    cut.start([Opened()], 0.0)
    broken = [*cut.feed(wire("openai", [Delta("half")]), 1.0), *cut.end("eof", 2.0)]
    assert completion(broken, id="c", model="m", created=1)[1]["streamweir"]["receipt"]["sha256"] == (
        sha256(b"half").hexdigest()
    )
    assert any(isinstance(event, Text) for event in broken)


@pytest.mark.parametrize("recorded", [True, False, None])
@pytest.mark.parametrize("whole", [True, False])
def test_a_receipt_says_where_the_end_has_no_record(whole: bool, recorded: bool | None) -> None:
    one = relay("openai")
    body = wire("openai", BODY if whole else [Delta("half")])
    released = [*one.start([Opened()], 0.0), *one.feed(body, 1.0), *one.end("eof", 2.0)]
    released[-1].report.recorded = recorded
    responses = OpenAIResponses(id="r", model="m", created=1)
    responses(released)
    streamed = [chunk.get("streamweir") for chunk in chunks(OpenAIChat(id="c", model="m", created=1)(released))]
    found = [one["receipt"] for one in streamed if one and one["receipt"]]
    found += [completion(released, id="c", created=1, model="m")[1]["streamweir"]["receipt"]]
    found += [responses.response["streamweir"]["receipt"]]
    assert [receipt.get("recorded") for receipt in found] == [False if recorded is False else None] * 3
