"""Bytes on a connection that are no request, or half of one, or several in one: a clear answer, and nobody disturbed."""

import asyncio
import contextlib
import gzip
import json
import logging
import re
import time
from collections.abc import AsyncIterator

import pytest

from streamweir.server import bodies, listener
from streamweir.server.app import ROUTES
from streamweir.server.life import Server
from streamweir.simulator.app import RunningSimulator
from streamweir.simulator.replies import SCRIPTS
from tests.proxies import Downstream, body_of, masked, post, profile, proxy_with, upstream

pytestmark = pytest.mark.usefixtures("cleared")

LIMIT = 100_000
STATUS = re.compile(rb"HTTP/\d\.\d (\d\d\d)")
BODY = json.dumps(body_of("sse", "p")).encode()
HEAD = b"POST /api/llm/stream HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture
async def server(simulator: RunningSimulator, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Server]:
    """A proxy whose live streams come out byte-equal whatever the test does meanwhile, and that logs no error."""
    text = upstream(simulator) + profile("p", "sim:none?rate=0") + profile("slowly", "sim:none?rate=120")
    text += upstream(simulator, "sse-generative", "generative") + profile("g", "sim:none?rate=0", "generative")
    server = await proxy_with(text + f"[server]\nbody_limit = {LIMIT}\n")
    over = asyncio.Event()
    live = [asyncio.create_task(undisturbed(server, over)) for _ in range(3)]
    yield server
    over.set()
    assert min(await asyncio.gather(*live)) >= 1
    await server.stop()
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def undisturbed(server: Server, over: asyncio.Event) -> int:
    """Streams one behind the other until the test is over; how many were whole."""
    count = 0
    while not over.is_set():
        client = await Downstream.ask(server, "openai", "slowly")
        data = b""
        async with asyncio.timeout(30):
            while b"data: [DONE]" not in data:
                piece = await client.reader.read(65536)
                assert piece
                data += piece
        await client.close()
        chunks = [json.loads(line[6:]) for line in data.splitlines() if line.startswith(b"data: {")]
        text = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks if chunk["choices"])
        assert text == SCRIPTS["hello"]
        count += 1
    return count


async def answers(server: Server, data: bytes, *more: bytes, every: float = 0.0, count: int = 1) -> bytes:
    """What is answered to these bytes: `count` answers, 0: all until the connection is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)

    async def say() -> None:
        writer.write(data)
        for piece in more:
            await asyncio.sleep(every)
            if writer.transport.is_closing():
                break
            writer.write(piece)

    saying = asyncio.create_task(say())
    answer = b""
    try:
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(8):
                while piece := await reader.read(65536):
                    answer += piece
                    if len(statuses(answer)) == count and complete(answer):
                        break
    finally:
        saying.cancel()
        writer.transport.abort()
    return answer


def complete(answer: bytes) -> bool:
    """Whether the last answer is whole."""
    last = list(STATUS.finditer(answer))[-1]
    head, _, body = answer[last.start() :].partition(b"\r\n\r\n")
    if b"Transfer-Encoding: chunked" in head:
        return body.endswith(b"\r\n0\r\n\r\n")
    found = re.search(rb"Content-Length: (\d+)", head)
    return found is not None and len(body) >= int(found[1])


def statuses(answer: bytes) -> list[int]:
    return [int(status) for status in STATUS.findall(answer)]


HIDDEN = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
NO_REQUESTS = {
    "length and chunks": HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "chunks and length": HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + HIDDEN,
    "two lengths": HEAD + b"Content-Length: 0\r\nContent-Length: 5\r\n\r\n" + HIDDEN,
    "two lengths in one": HEAD + b"Content-Length: 0, 5\r\n\r\n" + HIDDEN,
    "a length below zero": HEAD + b"Content-Length: -1\r\n\r\n" + HIDDEN,
    "a length with a sign": HEAD + b"Content-Length: +5\r\n\r\n" + HIDDEN,
    "a length of no number": HEAD + b"Content-Length: 0x5\r\n\r\n" + HIDDEN,
    "a length beyond 64 bits": HEAD + b"Content-Length: 99999999999999999999999\r\n\r\n" + HIDDEN,
    "an encoding behind chunks": HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + HIDDEN,
    "an encoding that is none": HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "a size of a chunk that is none": HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n" + HIDDEN,
    "a size of a chunk below zero": HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n" + HIDDEN,
    "a chunk beyond 64 bits": HEAD + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n" + HIDDEN,
    "a chunk longer than its size": HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n" + HIDDEN,
    "a space before the colon": HEAD + b"Content-Length : 0\r\n\r\n" + HIDDEN,
    "a folded header": HEAD + b"X-A: b\r\n c\r\nContent-Length: 0\r\n\r\n" + HIDDEN,
    "a NUL in a header": HEAD + b"X-A: b\0c\r\nContent-Length: 0\r\n\r\n" + HIDDEN,
    "a bare CR in a header": HEAD + b"X-A: b\rX-B: c\r\nContent-Length: 0\r\n\r\n" + HIDDEN,
    "no name of a header": HEAD + b": b\r\nContent-Length: 0\r\n\r\n" + HIDDEN,
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 50,
    "another version": b"GET /healthz HTTP/2.0\r\nHost: x\r\n\r\n",
    "a version that there is none of": b"GET /healthz HTTP/3.7\r\nHost: x\r\n\r\n",
    "no version": b"GET /healthz\r\n\r\n",
    "a method in small letters": b"get /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    "a long address": b"GET /healthz?" + b"a" * 9_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "a long header": b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 9_000 + b"\r\n\r\n",
    "many headers": b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"X-A: b\r\n" * 200 + b"\r\n",
    "a head without end": b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"X-A: b\r\n" * 100_000,
}


@pytest.mark.parametrize("what", NO_REQUESTS)
async def test_what_is_no_request_is_refused_and_nothing_behind_it_is_answered(server: Server, what: str) -> None:
    answer = await answers(server, NO_REQUESTS[what], count=0)
    assert len(statuses(answer)) == 1, answer
    assert 400 <= statuses(answer)[0] < 500, answer
    assert b'"status": "ok"' not in answer
    assert b"Traceback" not in answer


BODIES = {
    "announced too large": (HEAD + b"Content-Length: %d\r\n\r\n" % (LIMIT + 1), 413, "body_too_large"),
    "too large": (HEAD + b"Content-Length: %d\r\n\r\n" % (LIMIT + 1) + b"x" * (LIMIT + 1), 413, "body_too_large"),
    "too large in chunks": (
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"2710\r\n%b\r\n" % (b"x" * 10_000) * 30,
        413,
        "body_too_large",
    ),
    "too large once it is unpacked": (
        HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b" % (len(g := gzip.compress(b"x" * 10**7)), g),
        413,
        "body_too_large",
    ),
    "not what the encoding says": (HEAD + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", 400, "bad_request"),
    "an encoding that is unknown": (HEAD + b"Content-Encoding: zzz\r\nContent-Length: 2\r\n\r\n{}", 400, None),
    "no JSON": (HEAD + b"Content-Length: 3\r\n\r\n{]}", 400, "invalid_request"),
    "no UTF-8": (HEAD + b'Content-Length: 7\r\n\r\n{"a\xff":1', 400, "invalid_request"),
    "UTF-16": (HEAD + b"Content-Length: %d\r\n\r\n%b" % (len(u := "{}".encode("utf-16")), u), 400, "invalid_request"),
    "nothing": (HEAD + b"Content-Length: 0\r\n\r\n", 400, "invalid_request"),
    "too deep": (HEAD + b"Content-Length: 40000\r\n\r\n" + b"[" * 20_000 + b"]" * 20_000, 400, "invalid_request"),
}


@pytest.mark.parametrize("what", BODIES)
async def test_bodies_that_are_not_taken(server: Server, what: str) -> None:
    data, status, code = BODIES[what]
    answer = await answers(server, data)
    assert statuses(answer) == [status], answer
    if code is not None:
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == code


async def test_wrong_methods(server: Server) -> None:
    known: dict[str, set[str]] = {}
    for route in ROUTES:
        known.setdefault(route.path.replace("{part}", "x").replace("{id}", "x"), set()).add(route.method)
    for path, methods in known.items():
        for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND"):
            if method in methods:
                continue
            target = b"x:1" if method == "CONNECT" else path.encode()
            answer = await answers(server, b"%b %b HTTP/1.1\r\nHost: x\r\n\r\n" % (method.encode(), target))
            assert statuses(answer)[0] in ((405,) if method != "CONNECT" else (400, 404, 405)), (method, path, answer)
            if method != "CONNECT":
                assert b"\r\nAllow: " in answer


async def test_slow_heads(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "HEAD_WITHIN", 1.0)
    monkeypatch.setattr(listener, "LOOK", 0.1)
    idle = await asyncio.open_connection("127.0.0.1", server.port)
    drops = [b"X-A: b\r\n"] * 60
    for before in (b"", HIDDEN):
        # drop by drop: each is a sign of life, and the head never ends
        began = time.monotonic()
        answer = await answers(server, before + b"GET /healthz HTTP/1.1\r\n", *drops, every=0.05, count=0)
        assert statuses(answer) == [200] * bool(before) + [408], answer
        assert b"request_timeout" in answer
        assert time.monotonic() - began > 0.9
    # a connection that says nothing is only idle
    idle[1].write(HIDDEN)
    assert (await idle[0].readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    idle[1].close()


async def test_slow_bodies(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "BODY_WITHIN", 1.0)
    drops = [b" "] * 60
    for encoding in (b"Content-Length: 5000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n1388\r\n"):
        answer = await answers(server, HEAD + encoding, *drops, every=0.05)
        assert statuses(answer) == [408], answer
        assert b'"code":"request_timeout"' in answer
    assert server.shared.uploading == 0
    # one that comes slowly, and in time
    parts = [BODY[at : at + 10] for at in range(0, len(BODY), 10)]
    answer = await answers(server, HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY), *parts, every=0.02)
    assert statuses(answer) == [200]


async def test_truncated_requests_leave_nothing_behind(server: Server, simulator: RunningSimulator) -> None:
    whole = post("sse", "p")
    asked = [seen for seen in simulator.simulator.seen if seen.outcome]
    for at in (1, 20, len(whole) // 2, len(whole) - 1):
        for end in (True, False):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(whole[:at])
            await asyncio.sleep(0.02)
            if end:
                writer.write_eof()
                with contextlib.suppress(ConnectionError):
                    await asyncio.wait_for(reader.read(), 5)
            writer.transport.abort()
    async with asyncio.timeout(5):
        while server.connections > 3:
            await asyncio.sleep(0.01)
    assert server.shared.uploading == 0
    assert all("slowly" not in str(seen) for seen in asked)


async def test_large_uploads_together_have_a_limit(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "UPLOADING", 3 * LIMIT)
    held = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(3)]
    for _, writer in held:
        writer.write(HEAD + b"Content-Length: %d\r\n\r\n{" % LIMIT)
    async with asyncio.timeout(5):
        while server.shared.uploading != 3 * LIMIT:
            await asyncio.sleep(0.01)
    for head in (b"Content-Length: 50\r\n\r\n{", b"Transfer-Encoding: chunked\r\n\r\n5\r\n{"):
        answer = await answers(server, HEAD + head)
        assert statuses(answer) == [503]
        assert b"Retry-After: 1\r\n" in answer
    # what comes whole with its head is not held up
    assert statuses(await answers(server, HEAD + b"Content-Length: %d\r\n\r\n%b" % (len(BODY), BODY))) == [200]
    for _, writer in held:
        writer.transport.abort()
    async with asyncio.timeout(5):
        while server.shared.uploading:
            await asyncio.sleep(0.01)


async def test_one_connection_too_many_takes_the_place_of_the_idlest(server: Server) -> None:
    assert server._listener is not None
    server._listener._most = 8
    first = await Downstream.ask(server, "sse", "slowly")
    idle = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(30)]
    async with asyncio.timeout(10):
        await first.reader.readuntil(b'"type":"stop"')
    last_reader, last_writer = idle[-1]
    last_writer.write(HIDDEN)
    assert (await last_reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    with contextlib.suppress(ConnectionError):
        assert await idle[0][0].read() == b""
    assert server.connections <= 8
    assert server._listener.sent_away >= 20
    for _, writer in idle:
        writer.transport.abort()


@pytest.mark.parametrize("evil", ["p\r\nX-Evil: 1", "p\n", "p\0", "\r\n\r\nGET / HTTP/1.1\r\n\r\n", "p" * 80_000])
async def test_line_ends_in_values(server: Server, simulator: RunningSimulator, evil: str) -> None:
    for profile_, key, status in (
        (evil, "metadata", 404),
        ("g", "metadata", 200),
        ("g", "conversation_id", 400),
    ):
        more = {"metadata": {"a": evil[:10_000]}} if key == "metadata" else {key: evil}
        body = json.dumps({**body_of("sse", profile_), **more}).encode()
        answer = await answers(server, HEAD + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        assert statuses(answer)[0] in (status, 400), (profile_, key, answer)
        assert b"\r\nX-Evil" not in answer
        assert len(answer) < 20_000
    # a header's value cannot hold them; other bytes that may be sent are not handed on
    for value in (b"a\tb", b"\xff\xfe", b"a" * 200, b"a b"):
        body = json.dumps(body_of("sse", "g")).encode()
        head = HEAD + b"X-Request-Id: %b\r\nContent-Length: %d\r\n\r\n" % (value, len(body))
        answer = await answers(server, head + body)
        assert statuses(answer) == [200]
        assert (b"X-Request-Id: %b\r\n" % value in answer) == (value == b"a b")


# -- WebSocket ---------------------------------------------------------------------------------------------


UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: streamweir.v1\r\n\r\n"
)


def frame(head: int, payload: bytes = b"", *, length: int | None = None, mask: bool = True) -> bytes:
    size = len(payload) if length is None else length
    flag = 0x80 if mask else 0
    first = bytes((head, flag | size)) if size < 126 else bytes((head, flag | 127)) + size.to_bytes(8)
    return first + b"\0\0\0\0" * mask + payload


FRAMES = {
    "unmasked": (frame(0x81, b'{"type":"ping"}', mask=False), 1002),
    "unmasked, in pieces": (frame(0x81, b"x" * 50_000, mask=False), 1002),
    "over the limit": (frame(0x81, b"x" * (LIMIT + 1)), 1009),
    "announced over the limit": (frame(0x81, length=LIMIT * 10), 1009),
    "announced beyond all sense": (b"\x81\xff" + b"\x7f" * 8 + b"\0\0\0\0", 1009),
    "fragments over the limit": (frame(0x01, b"x" * 60_000) + frame(0x00, b"x" * 60_000), 1009),
    "no UTF-8": (frame(0x81, b"\xff\xfe"), 1007),
    "half a character": (frame(0x81, b"\xe2\x82"), 1007),
    "a surrogate": (frame(0x81, b"\xed\xa0\x80"), 1007),
    "reserved bits": (frame(0xC1, b"{}"), 1002),
    "an opcode that there is none of": (frame(0x83, b"{}"), 1002),
    "a fragment of nothing": (frame(0x80, b"{}"), 1002),
    "a message inside a message": (frame(0x01, b"{") + frame(0x81, b"{}"), 1002),
    "a control frame in fragments": (frame(0x09, b"x"), 1002),
    "a long control frame": (b"\x89\xfe\x00\x80\0\0\0\0" + b"x" * 128, 1002),
    "a close code that there is none of": (frame(0x88, b"\x00\x05"), 1002),
}


async def closed_with(reader: asyncio.StreamReader) -> int:
    """The code of the close frame that ends a connection on which nothing else is said."""
    data = b""
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(10):
            while piece := await reader.read(65536):
                data += piece
    at = data.find(b"\x88")
    assert at >= 0, data
    return int.from_bytes(data[at + 2 : at + 4])


@pytest.mark.parametrize("what", FRAMES)
@pytest.mark.parametrize("early", [False, True])
async def test_frames_that_are_not_taken(server: Server, what: str, early: bool) -> None:
    """`early`: in one segment with the request to upgrade."""
    data, code = FRAMES[what]
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(UPGRADE + data[:4000] if early else UPGRADE)
    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    writer.write(data[4000:] if early else data)
    assert await closed_with(reader) == code
    writer.transport.abort()


async def test_messages_without_end(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "MESSAGE_WITHIN", 1.0)
    monkeypatch.setattr(listener, "LOOK", 0.1)
    for data in (frame(0x01, b"x" * 100), frame(0x81, b"x" * 100, length=5_000), b"\x81"):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(UPGRADE)
        await reader.readuntil(b"\r\n\r\n")
        # whole messages, and control frames, however many, are none of it
        for _ in range(15):
            writer.write(masked(b'{"type":"pong"}') + frame(0x8A))
            await asyncio.sleep(0.1)
        assert not reader.at_eof()
        writer.write(data)
        for _ in range(5):
            await asyncio.sleep(0.1)
            if data[0] == 1:
                writer.write(frame(0x00, b"x") + frame(0x8A))
        assert await closed_with(reader) == 1008
        writer.transport.abort()
