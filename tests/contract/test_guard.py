"""The guard from end to end: planted values, deltas of one character, every dialect and face, and nothing of them leaves."""

import asyncio
import json
import re
from typing import Any

import aiohttp
import pytest

from streamweir import AsyncGateway, StreamBlocked
from streamweir.dialects import BUILTIN
from streamweir.guard.fold import fold
from tests.proxies import FACES, Downstream, Told, body_of, profile, proxy_with

VALUES = {
    "US_SSN": "123-45-6789",
    "CARD": "4111 1111 1111 1111",
    "EMAIL": "jane.doe+x@sub.example.co.uk",
    "IBAN": "DE89 3704 0044 0532 0130 00",
    "API_KEY": "ghp_" + "a1B2" * 9,
}
TEXT = "Here you are: " + ", and ".join(VALUES.values()) + ". Anything else, Zürich 😊?"
REDACTED = "Here you are: " + ", and ".join(f"[{kind}]" for kind in VALUES) + ". Anything else, Zürich 😊?"


class Upstream:
    """An OpenAI-style server whose reply is what a test gives it, a character a chunk."""

    def __init__(self, choices: list[dict[str, Any]], end: bytes = b"data: [DONE]\n\n") -> None:
        self.choices, self.end = choices, end

    async def __aenter__(self) -> str:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}/v1"

    async def __aexit__(self, *_: object) -> None:
        self.server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        for delta in self.choices:
            choice = {
                "index": 0,
                "delta": delta,
                "logprobs": {"content": [{"token": delta.get("content")}]},
                "odd": str(delta),
            }
            writer.write(b"data: " + json.dumps({"choices": [choice], "note": str(delta)}).encode() + b"\n\n")
        writer.write(self.end)
        await writer.drain()
        writer.close()


def content(text: str, key: str = "content") -> list[dict[str, Any]]:
    return [{key: char} for char in text]


def leaks(data: str) -> list[str]:
    """The values, or runs of six of their digits, that a text holds once escapes and separators are taken out."""
    plain = re.sub(r"\\u([0-9a-fA-F]{4})", lambda m: chr(int(m[1], 16)), data)
    plain = "".join(map(fold, plain))
    bare = re.sub(r"[^0-9A-Za-z@]", "", plain)
    out = []
    for value in VALUES.values():
        digits = re.sub(r"[^0-9]", "", value)
        runs = {digits[at : at + 6] for at in range(len(digits) - 5)}
        if value in plain or re.sub(r"[^0-9A-Za-z@]", "", value) in bare or any(run in bare for run in runs):
            out.append(value)
    return out


async def proxied(deltas: list[dict[str, Any]], guard: str, face: str, **more: Any) -> tuple[bytes, Told]:
    told = Told()
    async with Upstream(deltas, **more) as url:
        text = f'[upstreams.u]\ndialect = "openai"\nbase_url = "{url}"\n' + profile("p", "m", "u", guard=guard)
        server = await proxy_with(text, told)
        client = await Downstream.ask(server, face, "p")
        data = b""
        async with asyncio.timeout(10):
            while not told.reports or not data.endswith((b"0\r\n\r\n", b"}", b"}}")):
                data += await client.reader.read(65536)
        await client.close()
        await server.stop()
    return data, told


@pytest.mark.parametrize("face", FACES)
async def test_nothing_planted_leaves_by_any_face(face: str) -> None:
    data, told = await proxied(content(TEXT), "redact", face)
    assert leaks(data.decode(errors="replace").replace("\r\n", "")) == []
    report = told.reports[0]
    assert report.text == REDACTED
    assert [finding["kind"] for finding in report.guard.findings] == list(VALUES)
    for finding, value in zip(report.guard.findings, VALUES.values(), strict=True):
        assert TEXT[finding["start"] : finding["end"]] == value
    assert (report.guard.pii_found, report.guard.safety_passed, report.guard.mode) == (True, True, "redact")
    assert leaks(repr(report)) == []


@pytest.mark.parametrize("face", FACES)
async def test_a_block_ends_before_the_first_value(face: str) -> None:
    data, told = await proxied(content(TEXT), "block", face)
    assert leaks(data.decode(errors="replace").replace("\r\n", "")) == []
    report = told.reports[0]
    assert (report.status, report.text, report.error.code) == ("blocked", "Here you are: ", "stream_blocked")
    assert b"Anything else" not in data


async def test_other_channels() -> None:
    key = VALUES["API_KEY"]
    arguments = json.dumps({"mail": "jane.doe+x\u0040sub.example.co.uk", "ssn": 123, "key": key}).replace(
        "@", "\\u0040"
    )
    deltas = content("I think of 123-45-6789.", "reasoning_content") + content("No: 123-45-6789.", "refusal")
    deltas.append(
        {"tool_calls": [{"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}]}
    )
    deltas += [{"tool_calls": [{"index": 0, "function": {"arguments": char}}]} for char in arguments]
    for face in ("openai", "openai whole", "responses", "ai-sdk", "websocket"):
        data, told = await proxied(deltas, "redact", face)
        assert leaks(data.decode(errors="replace").replace("\r\n", "")) == [], face
        channels = [finding["channel"] for finding in told.reports[0].guard.findings]
        assert channels == ["reasoning", "refusal", "tool_call", "tool_call"]


async def test_a_reply_that_breaks_off_shows_no_half_of_a_value() -> None:
    for end in (b"", b"data: {broken\n\n", b'data: {"error": {"message": "my SSN is 123-45-6789"}}\n\n'):
        data, told = await proxied(content("It is 4111 1111 1111"), "redact", "sse", end=end)
        assert leaks(data.decode()) == []
        assert told.reports[0].text == "It is [CARD]"
        assert leaks(repr(told.reports[0])) == []


@pytest.mark.parametrize("dialect", BUILTIN)
async def test_every_dialect_and_the_library(simulator: Any, dialect: str) -> None:
    base = simulator.url + ("/v1" if dialect == "openai" else "")
    keys = {"api_key": "k"} if dialect == "openai" else {"client_id": "sim-client", "client_secret": "sim-secret"}
    more = {"prompt_id": "p"} if dialect == "ws-gateway" else {}
    async with AsyncGateway(dialect=dialect, base_url=base, **keys) as gateway:
        asked = {"model": "sim:none?rate=0", "messages": [{"role": "user", "content": "hello"}], **more}
        plain = await gateway.complete(**asked)
        guarded = await gateway.complete(**asked, guard="redact")
        assert guarded.text == plain.text
        assert (guarded.guard.mode, guarded.guard.pii_found, guarded.guard.findings) == ("redact", False, [])
        assert plain.guard.pii_found is None
        assert guarded.guard.held_max < 64


async def test_the_library_raises_where_a_guard_blocks() -> None:
    async with (
        Upstream(content(TEXT)) as url,
        AsyncGateway(dialect="openai", base_url=url, api_key="k", model="m") as gateway,
    ):
        stream = gateway.stream(messages=[{"role": "user", "content": "x"}], guard="block")
        with pytest.raises(StreamBlocked) as blocked:
            async with stream:
                async for _ in stream.text:
                    pass
        assert blocked.value.report.text == "Here you are: "
        assert leaks(repr(blocked.value) + str(blocked.value)) == []


async def test_a_guard_that_fails_lets_nothing_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from streamweir.guard import engine

    def broken(self: Any, text: str) -> str:
        if "6" in text:
            raise RuntimeError("a mistake")
        return original(self, text)

    original = engine.Scan.push
    monkeypatch.setattr(engine.Scan, "push", broken)
    data, told = await proxied(content("It is 123-45-6789, you know."), "redact", "sse")
    assert leaks(data.decode()) == []
    assert told.reports[0].text in ("", "It is ")
    assert told.reports[0].status == "failed"


async def test_a_table_of_ones_own(simulator: Any) -> None:
    text = '[guards.mine]\nrecognisers = ["EMAIL"]\nlabels = { EMAIL = "<mail>" }\nterms = ["Zürich"]\nlists = ["tutorial"]\n'
    text += '[[guards.mine.patterns]]\nname = "ORDER"\npattern = "ORD-[0-9]{4}"\nlabel = "<order>"\n'
    async with Upstream(content("a@b.de ORD-1234 ZÜRICH 123-45-6789 a bomb")) as url:
        base = f'[upstreams.u]\ndialect = "openai"\nbase_url = "{url}"\n' + profile("p", "m", "u", guard="mine")
        server = await proxy_with(base + text)
        async with (
            aiohttp.ClientSession() as http,
            http.post(f"{server.url}/api/llm/stream", json=body_of("sse", "p")) as answer,
        ):
            data = (await answer.read()).decode()
        await server.stop()
    tokens = "".join(json.loads(line[6:]).get("content", "") for line in data.splitlines() if line.startswith("data: "))
    assert tokens == "<mail> <order> [TERM] 123-45-6789 a [TERM]"


class Echo(Upstream):
    """Answers with what it was asked, a character a chunk, and remembers it."""

    asked = ""

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        body = json.loads(
            await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))
        )
        self.asked = body["messages"][-1]["content"]
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        for char in f"You said: {self.asked}":
            writer.write(
                b"data: " + json.dumps({"choices": [{"index": 0, "delta": {"content": char}}]}).encode() + b"\n\n"
            )
        writer.write(self.end)
        await writer.drain()
        writer.close()


@pytest.mark.parametrize("restore", [True, False])
async def test_a_model_never_sees_what_is_masked(restore: bool) -> None:
    told = Told()
    prompt = "I am a@b.de, not c@d.de; a@b.de! My SSN: 123-45-6789"
    masked = "I am [EMAIL_1], not [EMAIL_2]; [EMAIL_1]! My SSN: [US_SSN_1]"
    echo = Echo([])
    async with echo as url:
        text = f'[upstreams.u]\ndialect = "openai"\nbase_url = "{url}"\n' + profile("p", "m", "u", guard="g")
        server = await proxy_with(f'{text}[guards.g]\ninput = "mask"\nrestore = {str(restore).lower()}\n', told)
        body = {**body_of("sse", "p"), "messages": [{"role": "user", "content": prompt}]}
        async with aiohttp.ClientSession() as http, http.post(f"{server.url}/api/llm/stream", json=body) as answer:
            await answer.read()
        await server.stop()
    assert echo.asked == masked
    report = told.reports[0]
    assert report.text == f"You said: {prompt if restore else masked}"
    assert [f["channel"] for f in report.guard.findings] == ["prompt"] * 4
    assert report.guard.pii_found is False


async def test_a_prompt_that_is_blocked_is_not_sent(simulator: Any) -> None:
    text = f'[upstreams.u]\ndialect = "openai"\nbase_url = "{simulator.url}/v1"\n' + profile(
        "p", "sim:none", "u", guard="g"
    )
    server = await proxy_with(f'{text}[guards.g]\ninput = "block"\n')
    body = {**body_of("openai", "p"), "messages": [{"role": "user", "content": "My SSN: 123-45-6789"}]}
    async with aiohttp.ClientSession() as http, http.post(f"{server.url}/v1/chat/completions", json=body) as answer:
        said = await answer.text()
        assert (answer.status, json.loads(said)["error"]["code"]) == (422, "prompt_blocked")
    assert leaks(said) == []
    assert simulator.simulator.seen == []
    await server.stop()
