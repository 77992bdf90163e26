"""Spoiled recordings mean what a second, plain reading of the whole body says; every face and caller can spell them."""

import random
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamweir.dialects import BUILTIN
from streamweir.events import Ended, Joint, Opened, Restarted, Text
from streamweir.faces.ai_sdk import AiSdk
from streamweir.faces.browser_sse import BrowserSse
from streamweir.faces.browser_ws import BrowserWs
from streamweir.faces.openai_chat import OpenAIChat
from streamweir.faces.openai_completion import completion
from streamweir.faces.openai_responses import OpenAIResponses
from streamweir.faces.openai_responses import answer as response
from streamweir.flows.continuation import AgainPolicy
from tests.fuzz.mutations import BODIES, mutated
from tests.fuzz.oracle import meaning
from tests.fuzz.shapes import misshapen
from tests.fuzz.test_relays import CODES, cut
from tests.readers import READERS
from tests.relays import attempt, relay

OPTIONS: list[dict[str, str]] = [
    {},
    {},
    {"schema": "strict"},
    {"malformed": "skip"},
    {"schema": "strict", "malformed": "skip"},
    {"end_marker": "finish_reason"},
    {"content": "cumulative"},
]
FACES: dict[str, Any] = {
    "browser": BrowserSse,
    "openai": lambda: OpenAIChat(id="i", model="m", created=1, include_usage=True),
    "websocket": lambda: BrowserWs(stream="i", model="m", created=1),
    "responses": lambda: OpenAIResponses(id="i", model="m", created=1),
    "ai-sdk": lambda: AiSdk(message_id="i"),
    "json": lambda: lambda events: b"".join(msgspec.json.encode(event) + b"\n" for event in events),
}
BYTES = re.compile(rb'"bytes":[0-9]+,')
seeds = st.integers(0, 2**32)


def spoiled(dialect: str, rng: random.Random) -> bytes:
    """Bytes spoiled, objects spoiled, or both."""
    body = BODIES[dialect] if rng.random() < 0.3 else misshapen(dialect, rng)
    return mutated(body, rng) if body is BODIES[dialect] or rng.random() < 0.4 else body


def read(dialect: str, pieces: list[bytes], **options: Any) -> tuple[list[Any], Any]:
    stream = relay(dialect, **options)
    events, now = [*stream.start([Opened()], 0.0)], 0.0
    for piece in pieces:
        # time goes on, so that there are rates and gaps to work out
        now += 0.25
        events += stream.feed(piece, now)
    events += stream.end("eof", now + 1)
    return events, stream.report


@pytest.mark.parametrize("dialect", BUILTIN)
@given(seed=seeds, options=st.sampled_from(OPTIONS))
@settings(deadline=None, max_examples=250)
def test_a_relay_says_what_the_body_means(dialect: str, seed: int, options: dict[str, str]) -> None:
    rng = random.Random(seed)
    body = spoiled(dialect, rng)
    events, report = read(dialect, cut(body, rng), **options)
    found = report.status, report.error.code if report.error is not None else None, report.text
    assert found == meaning(dialect, body, **options)
    assert found[1] is None or found[1] in CODES
    assert [event.seq for event in events] == list(range(len(events)))
    assert [type(event) for event in events].index(Ended) == len(events) - 1
    for status, answer in (
        completion(events, id="i", model="m", created=1),
        response(events, OpenAIResponses(id="i", model="m", created=1)),
    ):
        assert msgspec.json.decode(msgspec.json.encode(answer))
        assert status == 200 or (status == 502 and not report.complete)


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("dialect", BUILTIN)
@given(seed=seeds)
@settings(deadline=None, max_examples=40)
def test_every_face_can_spell_it(dialect: str, face: str, seed: int) -> None:
    rng = random.Random(seed)
    body = spoiled(dialect, rng)
    outputs = []
    for pieces in ([body], cut(body, rng)):
        stream = relay(dialect, encode=FACES[face]())
        out = stream.start([Opened()], 0.0) + b"".join(stream.feed(piece, 1.0) for piece in pieces)
        out += stream.end("eof", 1.0)
        assert stream.report.error is None or stream.report.error.code in CODES
        # what follows the end in one read was counted, and what follows it in another was not
        outputs.append(out)
        if face in READERS:
            assert READERS[face](out) == (stream.report.complete, stream.report.text)
    assert len(outputs[0]) == len(outputs[1]) or b'"bytes":' in outputs[0]
    if face != "websocket":
        # what follows the end in one read was counted, and what follows it in another was not
        assert BYTES.sub(b"", outputs[0]) == BYTES.sub(b"", outputs[1])


@pytest.mark.parametrize("dialect", BUILTIN)
@given(seed=seeds, on_cut=st.sampled_from(["continue", "restart"]), cause=st.sampled_from(["eof", "reset", "broken"]))
@settings(deadline=None, max_examples=60)
def test_replies_in_several_pieces(dialect: str, seed: int, on_cut: Any, cause: Any) -> None:
    rng = random.Random(seed)
    stream = relay(dialect, policy=AgainPolicy(on_cut=on_cut, on_gaps="restart", max_restarts=3, retry=True))
    events, now = [*stream.start([Opened()], 0.0)], 0.0
    for _ in range(8):
        for piece in cut(spoiled(dialect, rng), rng):
            now += 0.25
            events += stream.feed(piece, now)
        if not stream.done and stream.again is None:
            events += stream.end(cause, now)
        if stream.again is None:
            break
        events += stream.reopen(attempt(dialect), [Opened()], now)
    if not stream.done:
        events += stream.end("cancelled", now)
    report = stream.report
    assert [type(event) for event in events].index(Ended) == len(events) - 1
    assert [event.seq for event in events] == list(range(len(events)))
    assert report.error is None or report.error.code in {*CODES, "upstream_lost", "cancelled"}
    assert report.restarts == sum(isinstance(event, Restarted) for event in events) <= 3
    # what was said before a new start is withdrawn
    last = max((n for n, event in enumerate(events) if isinstance(event, Restarted)), default=-1)
    valid = events[last + 1 :]
    assert len(report.joints) == sum(isinstance(event, Joint) for event in valid)
    sent = [e.content for e in valid if isinstance(e, Text) and e.channel == "content" and e.choice == 0]
    assert report.text == "".join(sent)


def test_the_oracle_knows_a_recording() -> None:
    for dialect, body in BODIES.items():
        _, report = read(dialect, [body])
        assert meaning(dialect, body) == ("completed", None, report.text)
        assert len(report.text) > 20


@pytest.mark.parametrize(
    "choice",
    [
        '{"delta":{"content":"x","tool_calls":1}}',
        '{"delta":{"content":"x"},"message":7}',
        '{"delta":{"tool_calls":[{"index":0,"function":5},{"index":0,"function":{"name":"f"}}]}}',
    ],
)
def test_carried_keys_do_not_break_a_completion(choice: str) -> None:
    events, _ = read("openai", [f'data: {{"choices":[{choice}]}}\n\ndata: [DONE]\n\n'.encode()])
    assert completion(events, id="i", model="m", created=1)[0] == 200
