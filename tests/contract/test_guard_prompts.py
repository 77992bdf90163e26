"""What a guard makes of prompts, in every face: masked, restored, blocked, told; and of profiles that stand in."""

import asyncio
import json
import threading
from functools import partial
from typing import Any

import aiohttp
import pytest

from streamweir.client.asking import opening_for
from streamweir.client.guarding import Guards
from streamweir.client.resolve import Client
from streamweir.client.settings import UpstreamSettings
from streamweir.genesys.regions import Hosts
from streamweir.server.shared import LONG_PROMPT
from streamweir.simulator.app import RunningSimulator
from streamweir.tables import GuardTable
from tests.planted import REDACTED, TEXT, VALUES, Echo, heard, leaking, leaks
from tests.proxies import FACES, Told, body_of, profile, proxy_with, upstream

CARD = VALUES["CARD"]


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


CODES = {"openai": ("error", "code"), "openai whole": ("error", "code"), "responses": ("error", "code")}


@pytest.mark.parametrize("face", FACES)
async def test_a_prompt_that_is_blocked_is_not_sent(simulator: RunningSimulator, face: str) -> None:
    server = await proxy_with(
        upstream(simulator) + profile("p", "sim:none", guard="g") + '[guards.g]\ninput = "block"\n'
    )
    body = body_of(face, "p", "My SSN: 123-45-6789")
    if face == "websocket":
        said = (await heard(server, face, "p", "My SSN: 123-45-6789"))[-1]
        assert (said["type"], said["code"]) == ("error", "prompt_blocked")
    else:
        async with aiohttp.ClientSession() as http, http.post(server.url + FACES[face][0], json=body) as answer:
            said = await answer.json()
            assert answer.status == 422
        for key in CODES.get(face, ("code",)):
            code = said = said[key] if isinstance(said, dict) and key in said else said
        assert code == "prompt_blocked"
    await server.stop()
    assert leaks(json.dumps(said)) == []
    assert simulator.simulator.seen == []


SSN = "123-45-6789"
PLACES = [
    {"metadata": {"note": SSN}},
    {"user": SSN},
    {"stop": SSN},
    {"stop": [SSN]},
    {"prediction": {"type": "content", "content": f"SSN {SSN}"}},
    {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "123-45-"}, {"type": "text", "text": "6789"}]}
        ]
    },
]


@pytest.mark.parametrize("place", PLACES, ids=str)
async def test_every_place_of_a_request_is_read(place: dict[str, Any]) -> None:
    guards = '[guards.in]\ninput = "mask"\n[guards.none]\ninput = "block"\n'
    echo = Echo([])
    async with echo as url, aiohttp.ClientSession() as http:
        text = f'[upstreams.u]\ndialect = "openai"\nbase_url = "{url}"\n{guards}'
        server = await proxy_with(text + profile("p", "m", "u", guard="in") + profile("q", "m", "u", guard="none"))
        for name, status in (("q", 422), ("p", 200)):
            assert echo.body is None
            body = {"model": name, "messages": [{"role": "user", "content": "hello"}], **place}
            async with http.post(f"{server.url}/v1/chat/completions", json=body) as answer:
                assert (answer.status, await answer.read() != b"") == (status, True)
        await server.stop()
    sent = json.dumps(echo.body)
    assert "[US_SSN_1]" in sent
    assert "6789" not in sent


@pytest.mark.parametrize("face", FACES)
async def test_other_streams_go_on_while_a_long_prompt_is_read(
    simulator: RunningSimulator, face: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare, begun, read = Guards.prepare, threading.Event(), threading.Event()

    def slow(self: Guards, name: str, asked: dict[str, Any]) -> Any:
        if len(asked["messages"][-1]["content"]) > LONG_PROMPT:
            begun.set()
            assert read.wait(10)
        return prepare(self, name, asked)

    monkeypatch.setattr(Guards, "prepare", slow)
    guard = '[guards.g]\ninput = "mask"\n'
    server = await proxy_with(upstream(simulator) + profile("p", "sim:none", guard="g") + guard)
    long = asyncio.create_task(heard(server, face, "p", "1*2*" * LONG_PROMPT))
    try:
        assert await asyncio.to_thread(begun.wait, 10)
        assert len(await heard(server, face, "p", "short")) > 0
        assert not long.done()
    finally:
        read.set()
        assert len(await long) > 0
        await server.stop()
    assert [seen.status for seen in simulator.simulator.seen] == [200, 200]


async def test_nothing_of_a_profile_is_given_to_whoever_asks_for_a_mask(simulator: RunningSimulator) -> None:
    told = Told()
    model = "sim:none?echo=1&chars=1&rate=0"
    text = upstream(simulator) + profile("p", model, guard="g", system="You are boss@example.com.")
    server = await proxy_with(text + '[guards.g]\ninput = "mask"\nrestore = true\n', told)
    await heard(server, "openai", "p", "I am a@b.de: [EMAIL_1] [EMAIL_2] [EMAIL_3]")
    await server.stop()
    # a@b.de is behind [EMAIL_4]; nothing is behind the others
    assert told.reports[0].text == "I am a@b.de: [EMAIL_1] [EMAIL_2] [EMAIL_3]"


def test_nor_in_the_library() -> None:
    guards = Guards({"g": GuardTable(input="mask", restore=True)})
    settings = UpstreamSettings(dialect="openai", hosts=Hosts("http://127.0.0.1:1", ""))
    client = Client(settings, "m", system="You are boss@example.com.", guards=guards, guard="g")
    ask = {
        "messages": [{"role": "user", "content": "I am a@b.de"}],
        "user": "c@d.de",
        "stop": "x",
        "metadata": {"a": 1},
    }
    opening = opening_for(client, ask, "r", 0.0)
    assert [one["content"] for one in opening.request.messages] == ["You are boss@example.com.", "I am [EMAIL_1]"]
    assert opening.request.passthrough == {"user": "[EMAIL_2]"}
    assert (opening.request.stop, opening.request.metadata) == (("x",), {"a": 1})
    assert isinstance(opening.release, partial)
    restore = opening.release.keywords["restore"]
    assert [(kind.name, kind.label) for kind in restore.kinds] == [("[EMAIL_1]", "a@b.de"), ("[EMAIL_2]", "c@d.de")]


@pytest.mark.parametrize("output", ["redact", "observe", "off"])
async def test_what_is_found_in_a_prompt_is_told(simulator: RunningSimulator, output: str) -> None:
    told = Told()
    guard = f'[guards.g]\ninput = "observe"\noutput = "{output}"\n'
    model = "sim:none?echo=1&chars=1&rate=0"
    server = await proxy_with(upstream(simulator) + profile("p", model, guard="g") + guard, told)
    await heard(server, "sse", "p", "SSN 123-45-6789")
    await server.stop()
    report = told.reports[0]
    assert report.text == ("SSN [US_SSN]" if output == "redact" else "SSN 123-45-6789")
    assert [(f["channel"], f["kind"]) for f in report.guard.findings] == [("prompt", "US_SSN"), ("content", "US_SSN")]
    assert (report.guard.mode, report.guard.found) == ("redact" if output == "redact" else "observe", 2)


@pytest.mark.parametrize("own", ["off", "observe", "redact"])
async def test_a_fallback_is_under_the_guard_of_the_profile_that_was_asked(
    simulator: RunningSimulator, own: str
) -> None:
    """Its system prompt may hold values too, which must not be given to whoever asks for a mask."""
    told = Told()
    text = upstream(simulator, max_tries=1) + profile("p", "sim:503", guard="g", fallback=["other"])
    text += profile("other", "sim:none?echo=1&chars=1&rate=0", guard=own, system="You are boss@example.com.")
    text += '[guards.g]\ninput = "mask"\nrestore = true\n'
    server = await proxy_with(text, told)
    objects = await heard(server, "openai", "p", f"SSN 123-45-6789, [EMAIL_1]? {CARD[:4]}-")
    await server.stop()
    report = told.reports[0]
    assert (report.profile, report.guard.mode) == ("other", "redact")
    # what the prompt said itself is put back, and nothing else is
    assert report.text == f"SSN 123-45-6789, [EMAIL_1]? {CARD[:4]}-"
    assert "boss" not in json.dumps(objects)


async def test_a_fallback_lets_nothing_out_that_the_profile_keeps(simulator: RunningSimulator) -> None:
    told = Told()
    text = upstream(simulator, max_tries=1) + profile("p", "sim:503", fallback=["other"])
    text += profile("other", "sim:none?echo=1&chars=1&rate=0", guard="off")
    server = await proxy_with(text, told)
    objects = await heard(server, "sse", "p", TEXT)
    await server.stop()
    assert leaking(objects) == []
    assert (told.reports[0].text, told.reports[0].profile) == (REDACTED, "other")
