"""/openapi.json and /asyncapi.json: valid, complete, and true of what really goes over the wire."""

import json
from typing import Any

import aiohttp
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from streamweir.server.app import ROUTES
from streamweir.server.asyncapi import REFUSED, asyncapi_document
from streamweir.server.keys import digest_of
from streamweir.server.openapi import openapi_document
from streamweir.simulator.app import RunningSimulator
from streamweir.wire.sse import SseDecoder
from tests.conftest import ROOT
from tests.proxies import FACES, body_of, profile, proxy_with, upstream

NOT_FOR_TOOLS = {"/openapi.json", "/asyncapi.json", "/console", "/console/", "/console/{part}", "/static/{part}", "/ws"}
MODELS = ("none?rate=0", "length?rate=0", "cut?rate=0", "403", "400", "429-always")


def against(document: dict[str, Any], schema: Any) -> Draft202012Validator:
    """A validator of one schema of a document, references resolved in it."""
    whole = {**document, **schema} if "$ref" not in schema else {**document, "allOf": [schema]}
    return Draft202012Validator(whole)


def test_openapi_is_valid_and_lists_every_route() -> None:
    document = json.loads(json.dumps(openapi_document()))
    OpenAPIV31SpecValidator(document).validate()
    served = {route.path for route in ROUTES} - NOT_FOR_TOOLS
    assert set(document["paths"]) == served
    for path in served:
        assert set(document["paths"][path]) == {route.method.lower() for route in ROUTES if route.path == path}


@pytest.mark.parametrize("face", [face for face in FACES if face != "websocket"])
async def test_openapi_is_true(simulator: RunningSimulator, face: str) -> None:
    names = {f"m{n}": f"sim:{model}" for n, model in enumerate(MODELS)}
    text = upstream(simulator, max_tries=1) + "".join(profile(n, m) for n, m in names.items())
    key = f'[[server.keys]]\nname = "k"\nsha256 = "{digest_of("k")}"\nprofiles = {json.dumps([*names])}\n'
    server = await proxy_with(text + key)
    path = FACES[face][0]
    async with aiohttp.ClientSession(server.url, headers={"X-API-Key": "k"}) as http:
        document = await (await http.get("/openapi.json")).json()
        described = document["paths"][path]["post"]
        requests = described["requestBody"]["content"]["application/json"]["schema"]
        seen = set()
        for name in [*names, "none"]:
            body = body_of(face, name)
            against(document, requests).validate(body)
            async with http.post(path, json=body) as answer:
                seen.add(answer.status)
                assert str(answer.status) in described["responses"], answer.status
                content = described["responses"][str(answer.status)]["content"]
                assert answer.content_type in content
                if answer.content_type == "application/json":
                    against(document, content["application/json"]["schema"]).validate(await answer.json())
                else:
                    events = content["text/event-stream"]["schema"]["x-event-data"]
                    for frame in SseDecoder().feed(await answer.read()):
                        if frame.data != "[DONE]":
                            against(document, events).validate(json.loads(frame.data))
        async with http.post(path, json=body_of(face, "m0"), headers={"X-API-Key": "wrong"}) as answer:
            against(document, described["responses"]["401"]["content"]["application/json"]["schema"]).validate(
                await answer.json()
            )
        assert seen >= {200, 403, 429, 502}
    await server.stop()


async def test_the_small_answers(simulator: RunningSimulator) -> None:
    server = await proxy_with(upstream(simulator) + profile("p", "sim:none"))
    async with aiohttp.ClientSession(server.url) as http:
        document = await (await http.get("/openapi.json")).json()
        for path in ("/healthz", "/readyz", "/version", "/v1/models"):
            schema = document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
            async with http.get(path) as answer:
                against(document, schema).validate(await answer.json())
        described = document["paths"]["/api/llm/tickets"]["post"]
        asked = {"profile": "p", "origin": "https://app.example.com", "ttl": 5}
        against(document, described["requestBody"]["content"]["application/json"]["schema"]).validate(asked)
        async with http.post("/api/llm/tickets", json=asked) as answer:
            content = described["responses"][str(answer.status)]["content"]["application/json"]["schema"]
            against(document, content).validate(await answer.json())
            assert answer.headers["Cache-Control"] == "no-store"
        server.shared.census.drain()
        for method, path in (("GET", "/readyz"), ("POST", "/api/llm/stream")):
            async with http.request(method, path) as answer:
                assert answer.status == 503
                content = document["paths"][path][method.lower()]["responses"]["503"]["content"]
                against(document, content["application/json"]["schema"]).validate(await answer.json())
    await server.stop()


def test_the_page_of_the_websocket_names_every_refusal() -> None:
    page = (ROOT / "docs/faces/websocket.md").read_text()
    assert [code for code in REFUSED if f"`{code}`" not in page] == []


async def test_asyncapi_is_true_of_every_message(simulator: RunningSimulator) -> None:
    document = json.loads(json.dumps(asyncapi_document()))
    messages = document["components"]["messages"]
    for operation in document["operations"].values():
        for reference in operation["messages"]:
            assert reference["$ref"].rpartition("/")[2] in messages
    server_side = [r["$ref"].rpartition("/")[2] for r in document["operations"]["toClient"]["messages"]]
    names = {f"m{n}": f"sim:{model}" for n, model in enumerate(MODELS)}
    text = upstream(simulator, max_tries=1) + "".join(profile(n, m) for n, m in names.items())
    text += profile("j", "sim:cut-once?rate=0", on_cut="continue") + profile(
        "r", "sim:cut-once?rate=0&key=r", on_cut="restart"
    )
    text += profile("b", "sim:none?rate=0", guard="b") + '[guards.b]\noutput = "block"\nterms = ["calling"]\n'
    server = await proxy_with(text + '[server]\nheartbeat = "100ms"\n')
    seen: set[str] = set()

    def known(message: dict[str, Any]) -> str:
        fits = [name for name in server_side if against(document, messages[name]["payload"]).is_valid(message)]
        assert len(fits) == 1, (message, fits)
        seen.add(fits[0])
        return fits[0]

    async with aiohttp.ClientSession() as http, http.ws_connect(f"{server.url}/ws") as socket:
        acknowledged: dict[str, Any] = {}
        # the 429 comes last: it pauses the upstream for all of them
        for name in ["j", "r", "b", "none", *names]:
            init = {"type": "init", "payload": {**body_of("websocket", name), "idempotencyKey": name}}
            against(document, messages["init"]["payload"]).validate(init)
            await socket.send_json(init)
            while known(message := (await socket.receive()).json()) not in ("complete", "failed", "refused", "blocked"):
                acknowledged = message if message["type"] == "handshake_ack" else acknowledged
        payload = {"streamId": acknowledged["streamId"], "after": -1, "cap": acknowledged["cap"]}
        resume = {"type": "resume", "payload": payload}
        against(document, messages["resume"]["payload"]).validate(resume)
        await socket.send_json(resume)
        while (name := known((await socket.receive()).json())) not in ("complete", "failed"):
            assert name != "refused"
        await socket.send_json({"type": "ping"})
        while "answer" not in seen or "heartbeat" not in seen:
            known((await socket.receive()).json())
    assert seen == set(server_side)
    await server.stop()
