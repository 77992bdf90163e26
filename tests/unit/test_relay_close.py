"""Where a stream is recorded its end comes apart: the text of the last read leaves at once, the end when it is written."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from streamweir.errors import RateLimitError
from streamweir.events import Delta, Ended, Numbered, Opened, Released, UsageUpdate
from streamweir.faces.ai_sdk import AiSdk
from streamweir.faces.browser_sse import BrowserSse
from streamweir.faces.browser_ws import BrowserWs
from streamweir.faces.openai_chat import OpenAIChat
from streamweir.faces.openai_responses import OpenAIResponses
from streamweir.relay import Relay
from streamweir.stages.limits import TimeLimits
from streamweir.stages.release import Names, release_unguarded
from tests.relays import attempt, completed, relay, wire

TEXTS = ("Hé", "llo", " 😊")
BODY = wire(
    "sse-gateway",
    [*(Numbered(n, (Delta(text),)) for n, text in enumerate(TEXTS)), UsageUpdate(1, 3, 4), completed()],
)

Encode = Callable[[Sequence[Released]], Any]


def recorded(encode: Encode = tuple, limits: TimeLimits = TimeLimits(), dialect: str = "sse-gateway") -> Relay[Any]:
    return Relay(
        attempt(dialect, limits), release=release_unguarded(Names("r", "m", dialect)), encode=encode, recorded=True
    )


def read(stream: Relay[Any]) -> tuple[Any, Any]:
    """What its start and one read of all give."""
    return stream.start([Opened()], 1.0), stream.feed(BODY, 2.0)


def test_without_records_nothing_is_held() -> None:
    stream = relay("sse-gateway")
    _, out = read(stream)
    assert isinstance(out[-1], Ended)
    assert (stream.ended, stream.done) == (True, True)
    assert (stream.report.recorded, stream.report.record_id) == (None, None)
    assert stream.close(True, "id") == ()
    assert (stream.report.recorded, stream.report.record_id) == (None, None)


def test_the_last_reads_text_leaves_at_once_and_the_end_when_it_is_closed() -> None:
    whole, stream = relay("sse-gateway"), recorded()
    expected, got = read(whole), read(stream)
    assert got[0] == expected[0]
    assert got[1] == expected[1][:-1]
    assert (stream.ended, stream.done, stream.report) == (True, False, None)
    assert stream.conclusion.status == "completed"
    assert stream.text == "".join(TEXTS)
    (end,) = stream.close(True, "id")
    assert isinstance(end, Ended)
    assert (stream.ended, stream.done) == (True, True)
    assert stream.report is stream.conclusion is end.report
    assert (end.report.recorded, end.report.record_id) == (True, "id")
    # but for what only the close knows, it is the end of a stream that is not recorded
    assert msgspec.structs.replace(end.report, recorded=None, record_id=None) == whole.report


def test_behind_the_end_nothing_comes_and_it_is_closed_once() -> None:
    stream = recorded()
    read(stream)
    before = msgspec.json.encode(stream.conclusion)
    for _ in range(2):
        assert stream.feed(BODY, 3.0) == stream.tick(1e9) == stream.end("reset", 3.0) == ()
        assert stream.give_up(RateLimitError("no"), 1, [], 3.0) == ()
        assert stream.reopen(attempt("sse-gateway"), [], 3.0) == ()
        assert stream.due(3.0) == float("inf")
    stream.pause(3.0)
    stream.resume(4.0)
    assert msgspec.json.encode(stream.conclusion) == before
    assert len(stream.close(False, "id")) == 1
    assert stream.close(True, "other") == ()
    assert (stream.report.recorded, stream.report.record_id) == (False, "id")


def test_closing_a_stream_that_has_not_ended_is_nothing() -> None:
    stream = recorded()
    stream.start([Opened()], 1.0)
    assert stream.close(True, "id") == ()
    assert (stream.ended, stream.done) == (False, False)
    out = stream.feed(BODY, 2.0)
    assert not any(isinstance(event, Ended) for event in out)
    assert len(stream.close(True, "id")) == 1


@pytest.mark.parametrize("how", ["eof", "cancelled", "time", "refused", "broken"])
def test_every_way_to_end_is_held(how: str) -> None:
    stream = recorded(limits=TimeLimits(deadline=5.0))
    if how == "refused":
        out = stream.refuse(RateLimitError("no"), [], 1.0)
    else:
        stream.start([Opened()], 1.0)
        out = {
            "eof": lambda: stream.end("eof", 2.0),
            "cancelled": lambda: stream.end("cancelled", 2.0),
            "time": lambda: stream.tick(9.0),
            "broken": lambda: stream.feed(b"data: {\n\n", 2.0),
        }[how]()
    assert not any(isinstance(event, Ended) for event in out)
    assert (stream.ended, stream.done) == (True, False)
    (end,) = stream.close(False, "id")
    assert isinstance(end, Ended)
    assert stream.report is end.report


FACES: dict[str, Callable[[], Encode]] = {
    "sse": lambda: BrowserSse("s"),
    "sse whole": BrowserSse,
    "websocket": lambda: BrowserWs(stream="s", model="m", created=1),
    "openai": lambda: OpenAIChat(id="c", model="m", created=1),
    "responses": lambda: OpenAIResponses(id="c", model="m", created=1),
    "ai-sdk": lambda: AiSdk(message_id="m"),
}


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("cut", [len(BODY), len(BODY) // 2, 0])
def test_a_face_writes_the_end_alone_as_it_writes_it_with_the_rest(face: str, cut: int) -> None:
    """But for the two fields that say whether it was recorded."""
    whole, apart = relay("sse-gateway", FACES[face]()), recorded(FACES[face]())
    expected, got = b"", b""
    for stream in (whole, apart):
        out = stream.start([Opened()], 1.0) + stream.feed(BODY[:cut], 2.0)
        out += stream.end("eof", 3.0)
        if stream is whole:
            expected = out
        else:
            got = out
    last = apart.close(None, None)
    assert last
    assert got + last == expected
    assert apart.close(None, None) == whole.close(None, None) == FACES[face]()(())


@pytest.mark.parametrize("face", FACES)
def test_the_text_is_all_before_the_end(face: str) -> None:
    stream = recorded(FACES[face]())
    assert b"llo" in stream.start([Opened()], 1.0) + stream.feed(BODY, 2.0)
    assert not stream.done
