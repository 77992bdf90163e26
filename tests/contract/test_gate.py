"""Who may ask: keys, tickets and origins, and what is answered to each. Over real sockets."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from streamweir.config import load_text
from streamweir.errors import ConfigError
from streamweir.server.keys import digest_of
from streamweir.server.life import Server, check_host
from streamweir.simulator.app import RunningSimulator
from tests.proxies import body_of, profile, proxy_with, upstream

pytestmark = pytest.mark.usefixtures("cleared")

SITE = "https://app.example.com"
SERVER = f"""
[server]
origins = ["{SITE}"]
default_profile = "a"
[[server.keys]]
name = "all"
sha256 = "{digest_of("key-all")}"
[[server.keys]]
name = "one"
sha256 = "{digest_of("key-one").upper()}"
profiles = ["a"]
"""
PATHS = {
    "sse": "/api/llm/stream",
    "openai": "/v1/chat/completions",
    "responses": "/v1/responses",
    "ai-sdk": "/api/chat",
}


@pytest.fixture
async def server(simulator: RunningSimulator) -> AsyncIterator[Server]:
    text = upstream(simulator) + profile("a", "sim:none?rate=0") + profile("b", "sim:none?rate=0") + SERVER
    server = await proxy_with(text)
    yield server
    await server.stop()


@pytest.fixture
async def http(server: Server) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(server.url) as session:
        yield session


def code_of(body: str) -> str | None:
    try:
        found: dict[str, Any] = json.loads(body)
    except ValueError:
        return None
    return found["error"]["code"] if isinstance(found.get("error"), dict) else found.get("code")


async def asked(http: aiohttp.ClientSession, face: str, profile: str = "a", **headers: str) -> tuple[int, str | None]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with http.post(PATHS[face], json=body_of(face, profile), headers=named) as answer:
        assert answer.headers["X-Request-Id"]
        return answer.status, code_of(await answer.text())


@pytest.mark.parametrize("face", PATHS)
@pytest.mark.parametrize(
    ("profile", "headers", "status", "code"),
    [
        ("a", {}, 401, "key_missing"),
        ("a", {"Authorization": "Bearer"}, 401, "key_missing"),
        ("a", {"Authorization": "Basic a2V5"}, 401, "key_missing"),
        ("a", {"Authorization": "Bearer wrong"}, 401, "invalid_key"),
        ("a", {"Authorization": "Bearer key-al"}, 401, "invalid_key"),
        ("a", {"Authorization": "Bearer key-all "}, 200, None),
        ("a", {"Authorization": "bearer key-one"}, 200, None),
        ("a", {"X_API_Key": "key-one"}, 200, None),
        ("b", {"X_API_Key": "key-all"}, 200, None),
        ("b", {"X_API_Key": "key-one"}, 403, "profile_not_allowed"),
        ("none", {"X_API_Key": "key-one"}, 403, "profile_not_allowed"),
        ("none", {"X_API_Key": "key-all"}, 404, "profile_not_found"),
        ("a", {"X_Streamweir_Ticket": "made-up"}, 401, "invalid_ticket"),
        ("a", {"X_API_Key": digest_of("key-all")}, 401, "invalid_key"),
    ],
)
async def test_keys(
    http: aiohttp.ClientSession, face: str, profile: str, headers: dict[str, str], status: int, code: str | None
) -> None:
    assert await asked(http, face, profile, **headers) == (status, code)


async def test_what_is_open_to_all_and_what_is_not(http: aiohttp.ClientSession) -> None:
    for path in ("/healthz", "/version", "/console/", "/static/streamweir.js", "/openapi.json", "/asyncapi.json"):
        async with http.get(path) as answer:
            assert answer.status == 200, path
    for path in ("/v1/models", "/nowhere"):
        async with http.get(path) as answer:
            assert answer.status == 401, path
    async with http.get("/v1/models", headers={"X-API-Key": "key-one"}) as answer:
        assert [model["id"] for model in (await answer.json())["data"]] == ["a"]


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (SITE, True),
        ("own", True),
        ("null", False),
        ("", False),
        ("https://app.example.com.evil.example", False),
        ("https://evil-app.example.com", False),
        ("https://sub.app.example.com", False),
        ("https://app.example.com:8443", False),
        ("https://app.example.com:443", False),
        ("http://app.example.com", False),
        ("https://app.example.com/", False),
        ("https://APP.example.com", False),
        ("https://app.example.com, https://evil.example", False),
        ("https://x@app.example.com", False),
        ("*", False),
        (None, True),
    ],
)
async def test_origins(server: Server, http: aiohttp.ClientSession, origin: str | None, allowed: bool) -> None:
    named = {} if origin is None else {"Origin": server.url if origin == "own" else origin}
    key = {"X-API-Key": "key-all"}
    for face in PATHS:
        async with http.post(PATHS[face], json=body_of(face, "a"), headers=named | key) as answer:
            body = await answer.text()
            assert answer.status == (200 if allowed else 403), face
            assert allowed or code_of(body) == "origin_not_allowed"
            assert answer.headers.get("Access-Control-Allow-Origin") == (named.get("Origin") if allowed else None)
            assert "Access-Control-Allow-Credentials" not in answer.headers
            assert not allowed or origin is None or answer.headers["Vary"] == "Origin"
    preflight = {
        **named,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "x-api-key,content-type",
    }
    if origin is not None:
        async with http.options("/api/llm/stream", headers=preflight) as answer:
            assert answer.status == (204 if allowed else 403)
            assert ("Access-Control-Allow-Headers" in answer.headers) == allowed
    with contextlib.nullcontext() if allowed else pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
        async with http.ws_connect("/ws", headers=named | key) as socket:
            await socket.send_json({"type": "ping"})
            assert (await socket.receive()).json()["type"] == "pong"


async def test_preflights_echo_only_names_of_headers(http: aiohttp.ClientSession) -> None:
    asked = {"Origin": SITE, "Access-Control-Request-Method": "POST"}
    for names, echoed in (
        ("x-a, x-b", True),
        ("x-a;b", False),
        ("x a", False),
        (",".join(["a"] * 60), False),
        ("é", False),
    ):
        async with http.options(
            "/v1/chat/completions", headers={**asked, "Access-Control-Request-Headers": names}
        ) as answer:
            assert answer.status == 204
            assert (answer.headers.get("Access-Control-Allow-Headers") == names) == echoed, names
    private = {**asked, "Access-Control-Request-Private-Network": "true"}
    async with http.options("/api/llm/stream", headers=private) as answer:
        assert answer.headers["Access-Control-Allow-Private-Network"] == "true"


async def ticket(http: aiohttp.ClientSession, status: int = 201, **asked: Any) -> Any:
    async with http.post("/api/llm/tickets", json=asked, headers={"X-API-Key": "key-one"}) as answer:
        body = await answer.json()
        assert answer.status == status, body
        return body["ticket"] if status == 201 else body["code"]


async def test_tickets(http: aiohttp.ClientSession) -> None:
    one = await ticket(http, profile="a")
    assert await asked(http, "sse", X_Streamweir_Ticket=one) == (200, None)
    assert await asked(http, "sse", X_Streamweir_Ticket=one) == (401, "invalid_ticket")
    # it opens its profile alone, and is used up by whoever tries another
    one = await ticket(http, profile="a")
    assert await asked(http, "sse", "b", X_Streamweir_Ticket=one) == (403, "profile_not_allowed")
    assert await asked(http, "sse", X_Streamweir_Ticket=one) == (401, "invalid_ticket")
    # no profile: the default one; a profile that the key may not use: none
    assert await asked(http, "ai-sdk", X_Streamweir_Ticket=await ticket(http)) == (200, None)
    assert await ticket(http, 403, profile="b") == "profile_not_allowed"
    for ttl in (0, -1, 1e9, 3601):
        assert await ticket(http, 400, profile="a", ttl=ttl) == "invalid_request"
    assert await ticket(http, 400, profile="a", ttl="x") == "invalid_request"
    for origin in ("https://app.example.com:443", "https://*.example.com", "app.example.com", "*", ""):
        assert await ticket(http, 400, profile="a", origin=origin) == "invalid_request"
    # nobody makes a ticket of a ticket
    async with http.post("/api/llm/tickets", json={}, headers={"X-Streamweir-Ticket": await ticket(http)}) as answer:
        assert (answer.status, (await answer.json())["code"]) == (403, "ticket_from_ticket")


async def test_a_creation_that_is_sent_again_with_its_ticket(http: aiohttp.ClientSession) -> None:
    one = await ticket(http, profile="a")

    async def created(key: str, path: str = "/api/llm/streams") -> tuple[int, str]:
        headers = {"X-Streamweir-Ticket": one, "Idempotency-Key": key}
        async with http.post(path, json=body_of("sse", "a"), headers=headers) as answer:
            body = await answer.json()
            return answer.status, body.get("id") or body["code"]

    first = await created("k")
    assert first[0] == 201
    assert await created("k") == first
    assert await created("other") == (401, "invalid_ticket")
    # elsewhere the key would begin another reply
    assert await created("k", "/api/llm/stream") == (401, "invalid_ticket")


async def test_a_ticket_for_one_origin_and_one_that_expires(server: Server, http: aiohttp.ClientSession) -> None:
    one = await ticket(http, profile="a", origin=SITE)
    assert await asked(http, "sse", X_Streamweir_Ticket=one, Origin=SITE) == (200, None)
    for origin in ({}, {"Origin": server.url}):
        one = await ticket(http, profile="a", origin=SITE)
        assert await asked(http, "sse", X_Streamweir_Ticket=one, **origin) == (401, "invalid_ticket")
        # another origin's attempt has used it up
        assert await asked(http, "sse", X_Streamweir_Ticket=one, Origin=SITE) == (401, "invalid_ticket")
    one = await ticket(http, profile="a", ttl=0.001)
    await asyncio.sleep(0.01)
    assert await asked(http, "sse", X_Streamweir_Ticket=one) == (401, "invalid_ticket")


async def test_websockets_with_keys_and_tickets(http: aiohttp.ClientSession) -> None:
    async def outcome(protocols: tuple[str, ...], profile: str = "a", **payload: Any) -> str:
        async with http.ws_connect("/ws", protocols=("streamweir.v1", *protocols)) as socket:
            assert socket.protocol == "streamweir.v1"
            await socket.send_json({"type": "init", "payload": {**body_of("websocket", profile), **payload}})
            message = (await socket.receive()).json()
            return message.get("code", message["type"])

    assert await outcome(("streamweir.key.key-all",)) == "handshake_ack"
    assert await outcome(("streamweir.key.key-one",), "b") == "profile_not_allowed"
    assert await outcome((f"streamweir.ticket.{await ticket(http)}",)) == "handshake_ack"
    assert await outcome((), ticket=await ticket(http)) == "handshake_ack"
    assert await outcome((), "b", ticket=await ticket(http)) == "profile_not_allowed"
    assert await outcome((), ticket="made-up") == "invalid_ticket"
    assert await outcome(()) == "key_missing"
    for protocols in (("streamweir.key.wrong",), ("streamweir.ticket.wrong",)):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await outcome(protocols)
        assert refused.value.status == 401
    # a ticket opens a connection, and as many streams on it as its client likes
    async with http.ws_connect("/ws", protocols=("streamweir.v1",)) as socket:
        one = await ticket(http)
        for _ in range(2):
            await socket.send_json({"type": "init", "payload": {**body_of("websocket", "a"), "ticket": one}})
            assert (await socket.receive()).json()["type"] == "handshake_ack"
            while (await socket.receive()).json()["type"] != "complete":
                pass


async def test_any_origin_needs_keys_and_never_credentials(simulator: RunningSimulator) -> None:
    text = upstream(simulator) + profile("a", "sim:none?rate=0")
    with pytest.raises(ConfigError, match="no keys are configured"):
        await proxy_with(text + '[server]\norigins = ["*"]\n')
    server = await proxy_with(text + SERVER.replace(f'"{SITE}"', f'"*", "{SITE}"').replace('["a"]', '["a"]'))
    async with aiohttp.ClientSession(server.url) as http:
        for origin, answered in (("https://any.example", "*"), (SITE, SITE)):
            headers = {"Origin": origin, "X-API-Key": "key-all", "Cookie": "session=1"}
            async with http.post("/api/llm/stream", json=body_of("sse", "a"), headers=headers) as answer:
                assert answer.status == 200
                assert answer.headers["Access-Control-Allow-Origin"] == answered
                assert "Access-Control-Allow-Credentials" not in answer.headers
    await server.stop()


async def test_without_keys_a_name_is_no_origin_of_ours(simulator: RunningSimulator) -> None:
    """A page of a name that its owner lets point at this machine must not spend the upstream's tokens."""
    server = await proxy_with(upstream(simulator) + profile("a", "sim:none?rate=0"))
    async with aiohttp.ClientSession() as http:
        for host, status in (
            (f"127.0.0.1:{server.port}", 200),
            (f"localhost:{server.port}", 200),
            (f"evil.example:{server.port}", 403),
        ):
            headers = {"Host": host, "Origin": f"http://{host}"}
            async with http.post(f"{server.url}/api/llm/stream", json=body_of("sse", "a"), headers=headers) as answer:
                assert answer.status == status, host
        # and a bearer is ignored
        async with http.post(
            f"{server.url}/v1/chat/completions", json=body_of("openai", "a"), headers={"Authorization": "Bearer any"}
        ) as answer:
            assert answer.status == 200
    await server.stop()


async def test_forwarded_headers_count_from_trusted_proxies_only(simulator: RunningSimulator) -> None:
    text = upstream(simulator) + profile("a", "sim:none?rate=0") + SERVER
    forwarded = {
        "Origin": "https://gate.example.com",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "gate.example.com",
    }
    for trusted, status in (('["127.0.0.0/8"]', 200), ('["10.0.0.0/8"]', 403), ("[]", 403)):
        server = await proxy_with(text.replace("[server]\n", f"[server]\ntrusted_proxies = {trusted}\n"))
        async with aiohttp.ClientSession(server.url) as http:
            headers = {**forwarded, "X-API-Key": "key-all"}
            async with http.post("/api/llm/stream", json=body_of("sse", "a"), headers=headers) as answer:
                assert answer.status == status
        await server.stop()


def test_beyond_this_machine_keys_are_needed() -> None:
    plain = load_text('[upstreams.u]\nregion = "us-east-1"\n[profiles.p]\nupstream = "u"\nmodel = "m"\n')
    keyed = load_text(f'[[server.keys]]\nname = "k"\nsha256 = "{digest_of("k")}"\n')
    check_host("127.0.0.1", plain, False)
    check_host("0.0.0.0", keyed, False)
    check_host("0.0.0.0", plain, True)
    with pytest.raises(ConfigError, match="keys new"):
        check_host("0.0.0.0", plain, False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('origins = ["app.example.com"]', "is no origin"),
        ('origins = ["https://app.example.com/"]', "is no origin"),
        ('origins = ["null"]', "is no origin"),
        ('origins = ["https://*.example.com"]', "is no origin"),
        ('origins = ["https://app.example.com:65536"]', "is no origin"),
        ('origins = ["https://app.example.com:443"]', "leave out the usual port: 'https://app.example.com'$"),
        ('origins = ["http://app.example.com:80"]', "leave out the usual port: 'http://app.example.com'$"),
        ('origins = ["https://App.example.com"]', "lower case"),
        ('trusted_proxies = ["10.0.0.1/8"]', "is no address or network"),
        ('tls_cert = "x"', "belong together"),
        ('heartbeat = "1ms"', "at least 0.1 s"),
        ('commit_after = "soon"', "commit_after is 'soon'"),
        ('[[server.keys]]\nname = "k"\nsha256 = "abc"', r"keys\[0\].sha256 is no SHA-256"),
        (
            f'[[server.keys]]\nname = "k"\nsha256 = "{"0" * 64}"\nprofiles = ["q"]',
            r"keys\[0\].profiles names 'q', did you mean|known are p",
        ),
        (
            f'[[server.keys]]\nname = "k"\nsha256 = "{"0" * 64}"\n[[server.keys]]\nname = "k"\nsha256 = "{"1" * 64}"',
            "a name of its own",
        ),
        (
            f'[[server.keys]]\nname = "k"\nsha256 = "{"0" * 64}"\nprofile = ["p"]',
            r"unknown key server.keys\[0\].profile, did you mean 'profiles'",
        ),
        ("orgins = []", "unknown key server.orgins, did you mean 'origins'"),
    ],
)
async def test_mistakes_in_the_configuration(simulator: RunningSimulator, text: str, message: str) -> None:
    base = upstream(simulator) + profile("p", "sim:none")
    with pytest.raises(ConfigError, match=message):
        await proxy_with(f"{base}[server]\n{text}\n")
