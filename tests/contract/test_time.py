"""When an answer begins, heartbeats, and what stands between: nginx with its defaults, HTTP/1.0, TLS, a reload."""

import asyncio
import contextlib
import itertools
import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from streamweir.server.keys import digest_of
from streamweir.server.life import Server
from streamweir.simulator.app import RunningSimulator
from streamweir.simulator.replies import SCRIPTS
from tests.conftest import ROOT, needs
from tests.networks import accepting, free_port, make_ca
from tests.proxies import FACES, Downstream, Told, body_of, post, profile, proxy_with, upstream

pytestmark = pytest.mark.usefixtures("cleared")

WHOLE = SCRIPTS["hello"]
SOON = '[server]\ncommit_after = "200ms"\nheartbeat = "200ms"\n'
STREAMED = [face for face in FACES if face != "openai whole"]
BEATS = {"websocket": b'{"type":"ping"}'}


class Late:
    """An upstream that takes requests and answers after a while: with a reply, or with a refusal."""

    def __init__(self, seconds: float, answer: bytes) -> None:
        self.seconds, self.answer = seconds, answer
        self.writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> str:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}/v1"

    async def __aexit__(self, *_: object) -> None:
        self.server.close()
        for writer in self.writers:
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                await reader.readexactly(size)
                await asyncio.sleep(self.seconds)
                writer.write(self.answer)
                await writer.drain()


def reply() -> bytes:
    chunk = {"choices": [{"index": 0, "delta": {"content": "late but whole"}, "finish_reason": "stop"}]}
    body = f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n".encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


REFUSAL = b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


async def test_a_deadline_is_told_as_one_and_nobody_is_asked_behind_it(simulator: RunningSimulator) -> None:
    told = Told()
    async with Late(60, reply()) as url:
        text = upstream(simulator) + profile("q", "sim:none")
        text += f'[upstreams.mute]\ndialect = "openai"\nbase_url = "{url}"\n'
        text += profile("p", "m", "mute", fallback=["q"], deadline="30ms")
        server = await proxy_with(text, told)
        async with aiohttp.ClientSession(server.url) as http:
            for _ in range(40):
                async with http.post("/api/llm/stream", json=body_of("sse", "p")) as answer:
                    assert answer.status == 504
        await server.stop()
    assert [report.error and report.error.limit for report in told.reports] == ["deadline"] * 40
    assert simulator.simulator.seen == []


@pytest.mark.parametrize("face", STREAMED)
@pytest.mark.parametrize(("answer", "ends"), [(reply(), b"late but whole"), (REFUSAL, b"upstream_")])
async def test_an_answer_begins_before_its_upstream_speaks(face: str, answer: bytes, ends: bytes) -> None:
    told = Told()
    async with Late(0.9, answer) as url:
        text = f'[upstreams.u]\ndialect = "openai"\nbase_url = "{url}"\n' + profile("p", "m", "u", guard="off") + SOON
        server = await proxy_with(text, told)
        began = time.monotonic()
        client = await Downstream.ask(server, face, "p")
        first = await client.read(1)
        if face != "websocket":
            assert first.startswith(b"HTTP/1.1 200 OK\r\n")
        assert time.monotonic() - began < 0.7
        data = first
        async with asyncio.timeout(5):
            while not told.reports or not data.endswith((b"0\r\n\r\n", b"}")):
                data += await client.reader.read(65536)
        # commit, then about three heartbeats until the upstream spoke
        assert data.count(BEATS.get(face, b": heartbeat")) >= 2
        assert ends in data
        assert data.index(BEATS.get(face, b": heartbeat")) < data.index(ends)
        assert told.reports[0].status == ("failed" if ends == b"upstream_" else "completed")
        await client.close()
        await server.stop()


@pytest.mark.parametrize("face", [face for face in STREAMED if face != "websocket"])
async def test_an_upstream_that_refuses_in_time_is_a_status(simulator: RunningSimulator, face: str) -> None:
    server = await proxy_with(upstream(simulator) + profile("p", "sim:403") + SOON)
    client = await Downstream.ask(server, face, "p")
    assert (await client.read(1)).startswith(b"HTTP/1.1 502 ")
    await client.close()
    await server.stop()


@pytest.mark.parametrize(("face", "commit_after"), [*((face, "200ms") for face in STREAMED), ("sse", "10s")])
async def test_heartbeats_while_an_upstream_is_silent(
    simulator: RunningSimulator, face: str, commit_after: str
) -> None:
    """Also where the answer began long before it would have had to."""
    text = upstream(simulator, idle_timeout="900ms") + profile("p", "sim:stall?rate=0")
    server = await proxy_with(text + f'[server]\ncommit_after = "{commit_after}"\nheartbeat = "200ms"\n')
    client = await Downstream.ask(server, face, "p")
    data = b""
    async with asyncio.timeout(5):
        while b"stream_stalled" not in data:
            data += await client.reader.read(65536)
    assert 3 <= data.count(BEATS.get(face, b": heartbeat")) <= 6
    await client.close()
    await server.stop()


@pytest.mark.parametrize("face", ["openai", "responses", "ai-sdk"])
async def test_what_a_dialect_cannot_carry_is_a_400(simulator: RunningSimulator, face: str) -> None:
    server = await proxy_with(upstream(simulator, "sse-gateway") + profile("p", "sim:none") + SOON)
    body = {**body_of(face, "p"), "tools": [{"type": "function", "name": "f", "function": {"name": "f"}}]}
    async with aiohttp.ClientSession() as http, http.post(server.url + FACES[face][0], json=body) as answer:
        assert answer.status == 400
        assert "tools cannot be carried by sse-gateway" in await answer.text()
    await server.stop()


# -- what stands between -------------------------------------------------------------------------------

NGINX = """
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass {url}; {more} }}
  }}
}}
"""


@pytest.fixture
async def slow_proxy(simulator: RunningSimulator) -> AsyncIterator[Server]:
    server = await proxy_with(upstream(simulator) + profile("p", "sim:none?rate=25", guard="off"))
    yield server
    await server.stop()


@contextlib.asynccontextmanager
async def nginx(folder: Path, url: str, more: str) -> AsyncIterator[str]:
    program = needs("nginx")["nginx"]
    port = free_port()
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port, url=url, more=more))
    process = await asyncio.create_subprocess_exec(
        program, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")
    )
    try:
        await accepting(port, 10)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


@pytest.mark.check
@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("face", [face for face in STREAMED if face != "websocket"])
async def test_behind_nginx_tokens_arrive_one_by_one(
    slow_proxy: Server, tmp_path: Path, version: str, face: str
) -> None:
    """Debian's nginx with its default buffering; HTTP/1.0 to its upstream was long its default too."""
    async with nginx(tmp_path, slow_proxy.url, f"proxy_http_version {version};") as url:
        arrivals: list[float] = []
        data = b""
        async with aiohttp.ClientSession() as http, http.post(url + FACES[face][0], json=body_of(face, "p")) as answer:
            assert answer.status == 200
            async for piece in answer.content.iter_any():
                arrivals.append(time.monotonic())
                data += piece
    gaps = [after - before for before, after in itertools.pairwise(arrivals)]
    # twenty tokens, 40 ms apart: each a read of its own, none held back for the next
    assert len(arrivals) >= 20, len(arrivals)
    assert sorted(gaps)[len(gaps) // 2] < 0.08
    assert arrivals[-1] - arrivals[0] > 0.5
    assert data.count(b"elta" if face != "sse" else b'"token"') >= 20


@pytest.mark.check
async def test_a_websocket_behind_nginx(slow_proxy: Server, tmp_path: Path) -> None:
    more = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;"
    async with (
        nginx(tmp_path, slow_proxy.url, more) as url,
        aiohttp.ClientSession() as http,
        http.ws_connect(f"{url}/ws", protocols=("streamweir.v1",)) as socket,
    ):
        await socket.send_json({"type": "init", "payload": body_of("websocket", "p")})
        kinds, arrivals = [], []
        while not kinds or kinds[-1] != "complete":
            kinds.append((await socket.receive()).json()["type"])
            arrivals.append(time.monotonic())
    assert kinds.count("chunk") >= 20
    assert arrivals[-1] - arrivals[0] > 0.5


async def test_tls_and_a_certificate_that_is_renewed(simulator: RunningSimulator, tmp_path: Path) -> None:
    ca, _ = make_ca(tmp_path, "localhost")
    pem = tmp_path / "server.pem"
    cert = pem.read_bytes()
    key_file, cert_file = tmp_path / "key.pem", tmp_path / "cert.pem"

    def put() -> None:
        at = pem.read_bytes().index(b"-----BEGIN CERTIFICATE")
        key_file.write_bytes(pem.read_bytes()[:at])
        cert_file.write_bytes(pem.read_bytes()[at:])

    put()
    text = upstream(simulator) + profile("p", "sim:none?rate=0")
    text += f'[server]\ntls_cert = "{cert_file}"\ntls_key = "{key_file}"\n'
    server = await proxy_with(text)
    assert server.url.startswith("https://127.0.0.1:")

    async def whole(authority: Path) -> bool:
        context = ssl.create_default_context(cafile=str(authority))
        async with (
            aiohttp.ClientSession() as http,
            http.post(f"{server.url}/api/llm/stream", json=body_of("sse", "p"), ssl=context) as answer,
        ):
            return b'"type":"stop"' in await answer.read()

    assert await whole(ca)
    other = tmp_path / "other"
    other.mkdir()
    new_ca, _ = make_ca(other, "localhost")
    pem.write_bytes((other / "server.pem").read_bytes())
    put()
    from streamweir.config import load_text

    server.reload(load_text(text), {})
    assert await whole(new_ca)
    with pytest.raises(aiohttp.ClientConnectorCertificateError):
        await whole(ca)
    assert cert != pem.read_bytes()
    await server.stop()


# -- reload --------------------------------------------------------------------------------------------


async def test_sighup_reloads_and_streams_keep_theirs(simulator: RunningSimulator, tmp_path: Path) -> None:
    config = tmp_path / "streamweir.toml"
    base = upstream(simulator, "sse-gateway")
    config.write_text(base + profile("old", "sim:none?rate=20"))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "streamweir", "serve", "-c", str(config), "--port", "0",
        stderr=subprocess.PIPE, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip
    assert process.stderr is not None

    async def says(words: str) -> str:
        async with asyncio.timeout(15):
            while words not in (line := (await process.stderr.readline()).decode()):
                assert line, f"the server ended before it said {words!r}"
        return line

    url = (await says("listening on")).split()[-1]
    try:
        async with (
            aiohttp.ClientSession(url) as http,
            http.post("/api/llm/stream", json=body_of("sse", "old")) as running,
        ):
            await running.content.readany()
            config.write_text(base + profile("new", "sim:none?rate=0"))
            process.send_signal(signal.SIGHUP)
            await says("the configuration was reloaded")
            async with http.post("/api/llm/stream", json=body_of("sse", "old")) as answer:
                assert answer.status == 404
            async with http.post("/api/llm/stream", json=body_of("sse", "new")) as answer:
                assert b'"type":"stop"' in await answer.read()
            # one that cannot be served: nothing changes
            config.write_text(base + profile("newer", "sim:none", "nowhere"))
            process.send_signal(signal.SIGHUP)
            assert "profiles.newer.upstream is 'nowhere'" in await says("was not reloaded")
            async with http.post("/api/llm/stream", json=body_of("sse", "new")) as answer:
                assert b'"type":"stop"' in await answer.read()
            # the stream that began before both is whole
            assert b'"type":"stop"' in await running.read()
        line = json.loads(await says('"profile":"old"'))
        assert (line["event"], line["route"], line["report"]["status"]) == ("stream", "/api/llm/stream", "completed")
        assert "text" not in line["report"]
    finally:
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.communicate(), 10)
    assert process.returncode == 0
    # the upstream's settings are the same: its token served both configurations
    assert simulator.simulator.token_requests == 1


async def test_a_reload_swaps_keys_and_origins(simulator: RunningSimulator) -> None:
    from streamweir.config import load_text

    text = upstream(simulator) + profile("p", "sim:none?rate=0")
    server = await proxy_with(text)
    client = server.shared.serving.profiles.clients["sim"]
    server.reload(load_text(text + f'[[server.keys]]\nname = "k"\nsha256 = "{digest_of("k")}"\n'), {})
    assert server.shared.serving.profiles.clients["sim"] is client
    async with aiohttp.ClientSession(server.url) as http:
        for key, status in (("", 401), ("k", 200)):
            headers = {"X-API-Key": key} if key else {}
            async with http.post("/api/llm/stream", json=body_of("sse", "p"), headers=headers) as answer:
                assert answer.status == status
    await server.stop()


async def test_requests_are_read_to_their_limit(simulator: RunningSimulator) -> None:
    server = await proxy_with(upstream(simulator) + profile("p", "sim:none") + "[server]\nbody_limit = 1000\n")
    async with aiohttp.ClientSession(server.url) as http:
        body = {**body_of("sse", "p"), "metadata": {"x": "y" * 1000}}
        async with http.post("/api/llm/stream", json=body) as answer:
            assert (answer.status, (await answer.json())["code"]) == (413, "body_too_large")
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(post("sse", "p", X_Request_Id="mine-1"))
    assert b"X-Request-Id: mine-1\r\n" in await reader.readuntil(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    await server.stop()
