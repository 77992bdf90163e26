"""Random bytes and mutated recordings through whole relays: nothing but the documented errors, nothing made up."""

import random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamweir.config import load_text
from streamweir.dialects import BUILTIN
from streamweir.errors import ConfigError, StreamweirError
from streamweir.events import Ended, Opened, Text
from streamweir.flows.backoff import parse_retry_after
from streamweir.genesys.errors import parse_error
from streamweir.genesys.login import read_grant, token_refusal
from streamweir.genesys.refusals import refusal
from streamweir.wire.http1 import Answer, HttpError
from tests.fuzz.mutations import BODIES, may_end, mutated
from tests.relays import relay

CODES = {"stream_interrupted", "protocol_error", "upstream_error", "integrity_failed", "stream_blocked"}
"""What a body alone can bring about. `stream_failed`, an error of our own, is a bug."""


def run(dialect: str, pieces: list[bytes], **options: Any) -> tuple[list[Any], Any]:
    stream = relay(dialect, **options)
    events = [*stream.start([Opened()], 0.0)]
    for piece in pieces:
        events += stream.feed(piece, 1.0)
    events += stream.end("eof", 2.0)
    return events, stream.report


def cut(body: bytes, rng: random.Random) -> list[bytes]:
    pieces = []
    while body:
        size = rng.choice((1, 1, 2, 3, 7, 40, 400))
        pieces.append(body[:size])
        body = body[size:]
    return pieces


def check(dialect: str, body: bytes, rng: random.Random, **options: Any) -> None:
    events, report = run(dialect, [body], **options)
    assert [isinstance(event, Ended) for event in events].count(True) == 1
    assert isinstance(events[-1], Ended)
    assert [event.seq for event in events] == list(range(len(events)))
    text = "".join(e.content for e in events if isinstance(e, Text) and e.channel == "content" and e.choice == 0)
    assert report.text == text.encode("utf-8", "replace").decode()
    if report.complete:
        assert may_end(dialect, body)
    else:
        assert report.error.code in CODES, report.error
    again, other = run(dialect, cut(body, rng), **options)
    assert msgspec.json.encode(again[:-1]) == msgspec.json.encode(events[:-1])
    # what follows the end in one read was read, and what follows it in another was not
    assert msgspec.structs.replace(other, timing=report.timing, bytes=report.bytes) == report


SETTINGS = settings(deadline=None, max_examples=150)


@pytest.mark.parametrize("dialect", BUILTIN)
@given(
    seed=st.integers(0, 2**32),
    options=st.sampled_from([{}, {"schema": "strict"}, {"malformed": "skip"}, {"content": "cumulative"}]),
)
@SETTINGS
def test_mutated_recordings(dialect: str, seed: int, options: dict[str, str]) -> None:
    rng = random.Random(seed)
    check(dialect, mutated(BODIES[dialect], rng), rng, **options)


@pytest.mark.parametrize("dialect", BUILTIN)
@given(body=st.binary(max_size=200), seed=st.integers(0, 99))
@SETTINGS
def test_random_bytes(dialect: str, body: bytes, seed: int) -> None:
    check(dialect, body, random.Random(seed))


@pytest.mark.parametrize("dialect", BUILTIN)
@given(other=st.sampled_from(sorted(BUILTIN)), seed=st.integers(0, 2**32))
@settings(deadline=None, max_examples=40)
def test_a_body_of_another_dialect(dialect: str, other: str, seed: int) -> None:
    rng = random.Random(seed)
    check(dialect, BODIES[other] if seed % 2 else mutated(BODIES[other], rng), rng)


HEADS = [
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.0 200 OK\r\n",
    b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n",
    b"HTTP/1.1 100 C\r\n\r\n",
]
LINES = [
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n",
    b"X: \xff\r\n",
    b"\r\n",
    b"5\r\nhello\r\n",
    b"0\r\n\r\n",
    b"hello",
]


@given(st.lists(st.sampled_from(HEADS + LINES) | st.binary(max_size=12), max_size=12), st.integers(0, 99))
@settings(deadline=None, max_examples=400)
def test_answers_of_http(parts: list[bytes], seed: int) -> None:
    whole, body = Answer(), b""
    data = b"".join(parts)
    try:
        body = whole.feed(data)
    except HttpError:
        body = whole.salvage()
    pieces, out = Answer(), b""
    try:
        for piece in cut(data, random.Random(seed)):
            out += pieces.feed(piece)
    except HttpError:
        out += pieces.salvage()
    assert (whole.status, body) == (pieces.status, out)
    # the headers of a head that never became whole are nobody's
    assert not whole.status or whole.headers == pieces.headers


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["error", "message", "code", "status", "contextId", "access_token", "expires_in", "scope", "type"]
            )
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=9,
)


@given(json_values | st.binary(max_size=40), st.integers(100, 599), st.text(max_size=40))
@settings(deadline=None, max_examples=300)
def test_answers_of_token_endpoints_and_refusals(value: Any, status: int, header: str) -> None:
    body = value if isinstance(value, bytes) else msgspec.json.encode(value)
    parse_error(body)
    assert isinstance(refusal(status, {"location": header}, body, ("s",)), StreamweirError)
    assert isinstance(token_refusal(status, body, "id", "here"), StreamweirError)
    wait = parse_retry_after(header, 0.0)
    assert wait is None or wait >= 0
    try:
        grant = read_grant(body, "id", ("s",))
    except StreamweirError:
        return
    assert grant.access_token
    assert grant.expires_in > 0


@given(
    st.lists(
        st.sampled_from(
            ["[upstreams.a]", "[profiles.p]", "[server]", 'dialect = "openai"', "dialect = 5", 'upstream = "a"',
             'model = "m"', "deadline = -1", 'deadline = "5x"', "max_tries = true", "a.b.c = 1", "x = [", "[records]",
             'url = "off"', "headers = {a = 1}", "[[server]]", "scopes = 'x'"]
        ) | st.text(max_size=8),
        max_size=8,
    )
)  # fmt: skip
@settings(deadline=None, max_examples=300)
def test_configurations(lines: list[str]) -> None:
    try:
        load_text("\n".join(lines))
    except ConfigError as error:
        assert len(error.message) > 5  # noqa: PT017 (some draws are right)
