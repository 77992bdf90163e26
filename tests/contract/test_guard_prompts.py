"""What a guard makes of prompts, in every face: masked, restored, blocked, told; and of profiles that stand in."""

import json

import aiohttp
import pytest

from streamweir.simulator.app import RunningSimulator
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
