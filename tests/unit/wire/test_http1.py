import pytest

from streamweir.wire.http1 import MAX_HEAD, Answer, HttpError, encode_request
from tests.chunkings import chunkings

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"

# name, bytes, status, body, complete, reusable
CASES = [
    ("content-length", HEAD + b"Content-Length: 5\r\n\r\nhello", 200, b"hello", True, True),
    (
        "chunked",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
        200,
        b"hello",
        True,
        True,
    ),
    (
        "chunk extensions",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\n\r\n",
        200,
        b"hello",
        True,
        True,
    ),
    (
        "trailers",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n",
        200,
        b"hello",
        True,
        True,
    ),
    ("until close", HEAD + b"\r\nhello", 200, b"hello", False, False),
    ("cut in a chunk", HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel", 200, b"hel", False, False),
    ("connection close", HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\nok", 200, b"ok", True, False),
    ("interim", b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + b"Content-Length: 2\r\n\r\nok", 200, b"ok", True, True),
    (
        "early hints",
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + HEAD + b"Content-Length: 2\r\n\r\nok",
        200,
        b"ok",
        True,
        True,
    ),
    ("no body", b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", 503, b"", True, True),
    ("HTTP/1.0", b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, b"ok", True, False),
]


@pytest.mark.parametrize(
    ("data", "status", "body", "complete", "reusable"), [pytest.param(*c[1:], id=c[0]) for c in CASES]
)
def test_answers_under_every_chunking(data: bytes, status: int, body: bytes, complete: bool, reusable: bool) -> None:
    for pieces in chunkings(data):
        answer = Answer()
        assert b"".join(answer.feed(piece) for piece in pieces) == body
        assert (answer.status, answer.complete, answer.reusable) == (status, complete, reusable)
        assert not answer.trailing


def test_bytes_behind_the_answer_are_no_part_of_it() -> None:
    data = HEAD + b"Content-Length: 2\r\n\r\nok"
    for tail in (b"x", b"HTTP/1.1 200 OK\r\nX-Evil: 1\r\nContent-Length: 3\r\n\r\nbad"):
        for pieces in chunkings(data + tail):
            answer = Answer()
            assert b"".join(answer.feed(piece) for piece in pieces) == b"ok"
            assert answer.trailing
            assert "x-evil" not in answer.headers


def test_header_names_are_lower_case_and_repeats_are_joined() -> None:
    answer = Answer()
    answer.feed(b"HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 0\r\n\r\n")
    assert answer.headers["x-a"] == "1, 2"


def test_what_came_before_a_broken_chunk_is_kept() -> None:
    answer = Answer()
    with pytest.raises(HttpError):
        answer.feed(HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\nzz\r\n")
    assert answer.salvage() == b"hel"


@pytest.mark.parametrize("data", [b"SSH-2.0-OpenSSH\r\n", b"\x16\x03\x01\x00\x00", b"HTTP/1.1 abc\r\n\r\n"])
def test_what_is_no_http_is_refused(data: bytes) -> None:
    with pytest.raises(HttpError, match="not HTTP/1.1"):
        Answer().feed(data)


def test_an_endless_head_is_refused() -> None:
    answer = Answer()
    answer.feed(b"HTTP/1.1 200 OK\r\n")
    with pytest.raises(HttpError):
        for _ in range(MAX_HEAD):
            answer.feed(b"X-Padding: " + b"x" * 100 + b"\r\n")


CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"


@pytest.mark.parametrize("piece", [b"X: y\r\n", b"X: " + b"y" * 1000, b"5;" + b"a=b;" * 100])
def test_endless_trailers_are_refused(piece: bytes) -> None:
    answer = Answer()
    assert answer.feed(CHUNKED) == b"hello"
    if piece.startswith(b"X"):
        answer.feed(b"0\r\n")
    with pytest.raises(HttpError):
        for _ in range(MAX_HEAD // len(piece) + 2):
            answer.feed(piece)
    assert "x" not in answer.headers


def test_trailers_change_no_header() -> None:
    answer = Answer()
    answer.feed(CHUNKED + b"0\r\nTransfer-Encoding: x\r\nRetry-After: 5\r\n\r\n")
    assert answer.complete
    assert answer.headers == {"content-type": "text/event-stream", "transfer-encoding": "chunked"}


def test_a_long_body_in_small_chunks_is_no_head() -> None:
    answer, got = Answer(), 0
    answer.feed(CHUNKED)
    for _ in range(MAX_HEAD):
        for piece in (b"1;x=yyyyyy\r\n", b"a", b"\r\n"):
            got += len(answer.feed(piece))
    assert got == MAX_HEAD


def test_a_request() -> None:
    assert encode_request("POST", "/a?b=c", "h:1", [("X", "y")], b"{}") == (
        b"POST /a?b=c HTTP/1.1\r\nHost: h:1\r\nX: y\r\nContent-Length: 2\r\n\r\n{}"
    )


@pytest.mark.parametrize(("name", "value"), [("X", "a\r\nEvil: 1"), ("X\n", "a"), ("X", "a\0")])
def test_a_header_cannot_inject_another(name: str, value: str) -> None:
    with pytest.raises(ValueError, match="line end or a NUL"):
        encode_request("POST", "/", "h", [(name, value)])
