"""The lines on stderr: one for each stream and each refusal, with what an operator needs, and nothing that is a secret."""

import json
from typing import Any

import aiohttp
import pytest

from streamweir.config import load_text
from streamweir.faces.browser_ws import SUBPROTOCOL
from streamweir.server.keys import digest_of
from streamweir.server.life import Server
from streamweir.server.log import refused, told
from streamweir.simulator.app import RunningSimulator
from tests.proxies import FACES, body_of, profile, upstream

pytestmark = pytest.mark.usefixtures("cleared")

KEY = "sw_PLANTED-key"
PROMPT = "PLANTED-prompt"
SECRET = "PLANTED"


async def logging_proxy(text: str) -> Server:
    keys = f'[[server.keys]]\nname = "web"\nsha256 = "{digest_of(KEY)}"\n'
    server = Server(load_text(text + keys), {}, "127.0.0.1", 0, told=told, refused=refused)
    await server.start()
    return server


def lines(capfd: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    out, err = capfd.readouterr()
    assert SECRET not in out + err
    return [json.loads(line) for line in err.splitlines()]


@pytest.mark.parametrize("face", list(FACES))
async def test_a_stream_has_one_line_and_no_secret_is_in_it(
    simulator: RunningSimulator, face: str, capfd: pytest.CaptureFixture[str]
) -> None:
    # the reply repeats the prompt
    server = await logging_proxy(
        upstream(simulator, api_key=SECRET) + profile("p", "sim:none?echo=1&rate=0", system="PLANTED-system")
    )
    path = FACES[face][0]
    headers = {
        "Authorization": f"Bearer {KEY}",
        "Cookie": "a=PLANTED",
        "X-Request-Id": f"mine-{face.replace(' ', '-')}",
    }
    body = {**body_of(face, "p", PROMPT), "metadata": {"note": "PLANTED"}}
    async with aiohttp.ClientSession(server.url) as http:
        if face == "websocket":
            async with http.ws_connect(path, params={"cap": SECRET}, headers=headers) as socket:
                await socket.send_json({"type": "init", "payload": body})
                while (message := (await socket.receive_json()))["type"] != "complete":
                    assert message["type"] != "error", message
        else:
            async with http.post(path, params={"cap": SECRET}, headers=headers, json=body) as answer:
                assert answer.status == 200
                assert SECRET.encode() in await answer.read()
    await server.stop()
    (line,) = lines(capfd)
    assert (line["event"], line["level"], line["route"], line["key"]) == ("stream", "info", path, "web")
    assert line["client"] == "127.0.0.1"
    assert line["time"] >= line["report"]["ended_at"]
    report = line["report"]
    assert (report["status"], report["profile"], report["request_id"]) == ("completed", "p", headers["X-Request-Id"])
    assert "text" not in report


async def test_what_an_operator_needs_of_a_stream_that_failed(
    simulator: RunningSimulator, capfd: pytest.CaptureFixture[str]
) -> None:
    models = {"refused": "sim:503", "cut": "sim:cut?rate=0", "failed": "sim:error?rate=0"}
    server = await logging_proxy(
        upstream(simulator, "sse-gateway", max_tries=1) + "".join(profile(n, m) for n, m in models.items())
    )
    async with aiohttp.ClientSession(server.url, headers={"X-API-Key": KEY}) as http:
        for name in models:
            async with http.post("/api/llm/stream", json=body_of("sse", name, PROMPT)) as answer:
                await answer.read()
    await server.stop()
    told = {line["report"]["profile"]: line for line in lines(capfd)}
    assert {name: line["level"] for name, line in told.items()} == {
        "refused": "error", "cut": "warning", "failed": "error"
    }  # fmt: skip
    # an upstream's refusal is a stream that failed, and has no second line
    assert told["refused"]["report"]["error"]["status"] == 503
    assert told["cut"]["report"]["error"]["code"] == "stream_interrupted"


async def test_a_refusal_has_one_line_and_no_secret_is_in_it(
    simulator: RunningSimulator, capfd: pytest.CaptureFixture[str]
) -> None:
    text = upstream(simulator) + profile("p", "sim:none?rate=0") + profile("small", "sim:none", context_window=2)
    server = await logging_proxy(text + "[server]\nbody_limit = 2000\n")
    good = {"X-API-Key": KEY}
    stream, chat = "/api/llm/stream", "/v1/chat/completions"
    asked: list[tuple[str, str, dict[str, str], Any, int, str]] = [
        # method, path, headers, body, status, code
        ("POST", stream, {}, body_of("sse", "p", PROMPT), 401, "key_missing"),
        ("POST", stream, {"X-API-Key": "sw_PLANTED-other"}, body_of("sse", "p"), 401, "invalid_key"),
        ("POST", stream, {"X-Streamweir-Ticket": "PLANTED-ticket"}, body_of("sse", "p"), 401, "invalid_ticket"),
        ("GET", "/ws", {"Sec-WebSocket-Protocol": "streamweir.ticket.PLANTED"}, None, 401, "invalid_ticket"),
        (
            "GET",
            "/ws",
            {"Sec-WebSocket-Protocol": f"streamweir.key.{KEY}, {SUBPROTOCOL}"},
            None,
            426,
            "upgrade_required",
        ),
        ("POST", stream, good | {"Origin": "https://PLANTED.example"}, body_of("sse", "p"), 403, "origin_not_allowed"),
        ("POST", stream, good, body_of("sse", "PLANTED-profile"), 404, "profile_not_found"),
        ("POST", chat, good, {"model": "p", "messages": "PLANTED"}, 400, "invalid_request"),
        ("POST", chat, good, body_of("openai", "p", PROMPT * 1000), 413, "body_too_large"),
        ("POST", stream, good, body_of("sse", "small", PROMPT), 422, "context_window_exceeded"),
        ("GET", "/metrics", good, None, 403, "admin_needed"),
    ]
    async with aiohttp.ClientSession(server.url) as http:
        for method, path, headers, body, status, code in asked:
            async with http.request(method, path, params={"cap": SECRET}, headers=headers, json=body) as answer:
                assert answer.status == status, (path, code, await answer.text())
            (line,) = lines(capfd)
            assert (line["event"], line["route"], line["status"], line["code"]) == ("refused", path, status, code)
            assert (line["level"], line["client"]) == ("warning", "127.0.0.1")
            assert line["request_id"] == answer.headers["X-Request-Id"]
        # what was asked of nobody
        for path in ("/PLANTED", "/static/PLANTED", "/console/PLANTED"):
            async with http.get(path, headers=good) as answer:
                assert answer.status == 404
        assert lines(capfd) == []
    await server.stop()
