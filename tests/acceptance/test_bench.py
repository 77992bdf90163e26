"""The measuring instrument: it sees what is lost, repeated or broken, and a whole small run of `make bench` sees nothing."""

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from bench.peers.processes import build

from streamweir.wire.websocket import encode_message
from tests.conftest import ROOT, needs

pytestmark = pytest.mark.check

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
UPGRADED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
DONE = b"data: [DONE]\n\n"
EVENTS = 4


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    needs("gcc")
    return build(tmp_path_factory.mktemp("programs"), "-Werror", "-fsanitize=address,undefined")


def letters(number: int) -> str:
    return "".join("abcdefghijklmnop"[int(digit, 16)] for digit in f"{number:x}")


def mark(number: int) -> str:
    return f" w~{letters(time.monotonic_ns())}:{letters(number)}~"


def message(text: str) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return json.dumps({"object": "chat.completion.chunk", "choices": [choice]}).encode()


def event(text: str) -> bytes:
    return b"data: " + message(text) + b"\n\n"


def chunked(body: bytes, size: int) -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


async def measured(
    program: Path, answer: bytes, *options: str, upgrade: bool = False, write: int = 1 << 20
) -> dict[str, float]:
    """What the load client says of one stream of four events, of which the server sends these bytes, and no more.

    `write`: bytes at a time.
    """

    over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # the client leaves when it has seen the end, whatever is still to come
        with contextlib.suppress(ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            if upgrade:
                writer.write(UPGRADED)
                await reader.readexactly(4)
            for at in range(0, len(answer), write):
                writer.write(answer[at : at + write])
                await writer.drain()
                await asyncio.sleep(0.001)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        over.set()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        words = ["-p", str(port), "-s", "1", "-n", str(EVENTS), "-r", "0", "-m", "20", *options]
        ran = await asyncio.create_subprocess_exec(
            program, *words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={"ASAN_OPTIONS": "detect_leaks=0"}
        )
        out, error = await ran.communicate()
        await over.wait()
    assert ran.returncode == 0, error
    return json.loads(out)


def seen(figures: dict[str, float]) -> tuple[float, ...]:
    return tuple(figures[name] for name in ("lost", "dup", "req_ok", "req_err"))


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
async def test_a_whole_answer_is_whole_however_it_is_cut(programs: dict[str, Path], size: int, line_end: bytes) -> None:
    body = b"".join(event(mark(number) + " prose") for number in range(EVENTS)) + DONE
    figures = await measured(programs["load"], HEAD + chunked(body.replace(b"\n", line_end), size), write=50)
    assert seen(figures) == (0, 0, 1, 0)
    assert figures["events"] == EVENTS


@pytest.mark.parametrize("write", [1, 50])
async def test_frames_are_whole_however_they_are_cut(programs: dict[str, Path], write: int) -> None:
    # the second form of a frame's length begins at 126 bytes
    texts = [mark(0), mark(1) + "x" * 300, mark(2), mark(3)]
    frames = b"".join(map(encode_message, map(message, texts))) + encode_message(b'{"type":"complete"}')
    assert seen(await measured(programs["load"], frames, "-w", upgrade=True, write=write)) == (0, 0, 1, 0)


async def test_a_proxy_may_cut_and_merge_text(programs: dict[str, Path]) -> None:
    text = "".join(mark(number) + " p" for number in range(EVENTS))
    for size in (1, 10, len(text)):
        body = b"".join(event(text[at : at + size]) for at in range(0, len(text), size)) + DONE
        assert seen(await measured(programs["load"], HEAD + chunked(body, 100))) == (0, 0, 1, 0)


FAULTS = {
    "one lost": ([0, 1, 3], DONE, (1, 0, 1, 0)),
    "the last ones lost": ([0, 1], DONE, (2, 0, 0, 1)),
    "all lost": ([], DONE, (4, 0, 0, 1)),
    "one twice": ([0, 1, 1, 2, 3], DONE, (0, 1, 1, 0)),
    "all twice": ([0, 1, 2, 3, 0, 1, 2, 3], DONE, (0, 4, 1, 0)),
    "two in the wrong order": ([0, 2, 1, 3], DONE, (1, 1, 1, 0)),
    "no end": ([0, 1, 2, 3], b"", (0, 0, 0, 1)),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_what_is_wrong_over_sse_is_counted(programs: dict[str, Path], fault: str) -> None:
    numbers, end, wanted = FAULTS[fault]
    body = b"".join(map(event, map(mark, numbers))) + end
    assert seen(await measured(programs["load"], HEAD + chunked(body, 64))) == wanted


@pytest.mark.parametrize("fault", FAULTS)
async def test_what_is_wrong_over_a_websocket_is_counted(programs: dict[str, Path], fault: str) -> None:
    numbers, end, wanted = FAULTS[fault]
    frames = b"".join(encode_message(message(mark(number))) for number in numbers)
    frames += encode_message(b'{"type":"complete"}') if end else b"\x88\x02\x03\xe8"
    assert seen(await measured(programs["load"], frames, "-w", upgrade=True)) == wanted


async def test_an_answer_that_breaks_off_or_refuses_has_failed(programs: dict[str, Path]) -> None:
    broken = chunked(b"".join(map(event, map(mark, range(EVENTS)))) + DONE, 64)[:300]
    lost, repeated, whole, failed = seen(await measured(programs["load"], HEAD + broken))
    assert (repeated, whole, failed) == (0, 0, 1)
    assert lost > 0
    figures = await measured(programs["load"], b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
    assert seen(figures) == (4, 0, 0, 1)
    assert figures["status_err"] == 503


def test_the_smallest_run_loses_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    needs("gcc", "nginx")
    told = tmp_path / "rows.json"
    words = ["--workloads", "D", "--rounds", "1", "--seconds", "1", "--no-knee", "--json", str(told)]
    command = [sys.executable, "-m", "bench.peers", *words, "--only", "guard off", "--only", "read"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)
    with capsys.disabled():
        print("\n" + ran.stdout.strip())
    assert ran.returncode == 0, ran.stderr
    rows = {row["column"]: row["figures"] for row in json.loads(told.read_text())}
    ours = {"streamweir, guard off", "streamweir, guard off, records on", "streamweir, guard off, WebSocket"}
    floor = {"bytes passed on in Python, read", "bytes passed on in Python, unread"}
    assert rows.keys() == {"nginx"} | ours | floor
    for column, figures in rows.items():
        assert (figures["lost"], figures["dup"], figures["req_err"], figures["unfinished"]) == (0, 0, 0, 0), column
        assert figures["events"] == 16 * figures["req_ok"] > 0, column
