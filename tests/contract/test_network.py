"""TLS with a private CA, HTTP proxies, login forms and the token endpoint's moods: in both clients, over real sockets."""

import asyncio
import base64
import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streamweir import errors
from streamweir.simulator.app import RunningSimulator
from tests.contract.both import HELLO, Driver
from tests.networks import HttpProxy, listening, make_ca, tls_front
from tests.simulators import threaded_simulator

KINDS = pytest.mark.parametrize("kind", ["async", "sync"])
DIALECTS = pytest.mark.parametrize("dialect", ["sse-gateway", "ws-gateway"])


@pytest.fixture(scope="module")
def simulator() -> Iterator[RunningSimulator]:
    with threaded_simulator() as running:
        yield running


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    return make_ca(tmp_path_factory.mktemp("ca"), "api.gateway.test")


@pytest.fixture(scope="module")
def tls(simulator: RunningSimulator, ca: tuple[Path, ssl.SSLContext]) -> Iterator[int]:
    with tls_front(simulator.port, ca[1]) as port:
        yield port


def ask(dialect: str) -> dict[str, Any]:
    return {"model": "sim:none?rate=0", "messages": HELLO} | ({"prompt_id": "p"} if dialect == "ws-gateway" else {})


def tried(driver: Driver, dialect: str) -> Any:
    try:
        return driver.run(driver.gateway.complete, **ask(dialect))
    finally:
        driver.close()


@KINDS
@DIALECTS
def test_tls_with_a_private_ca(
    kind: str, dialect: str, tls: int, ca: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"dialect": dialect, "base_url": f"https://127.0.0.1:{tls}", "client_id": "sim-client"}
    options["client_secret"] = "sim-secret"
    assert tried(Driver(kind, None, ca_file=str(ca[0]), **options), dialect).status == "completed"
    with pytest.raises(errors.APIConnectionError, match="for a private CA set ca_file") as caught:
        tried(Driver(kind, None, max_tries=1, **options), dialect)
    assert caught.value.code == "tls"
    monkeypatch.setenv("SSL_CERT_FILE", str(ca[0]))
    assert tried(Driver(kind, None, **options), dialect).status == "completed"


@KINDS
def test_the_name_in_the_certificate_counts(kind: str, tls: int, ca: tuple[Path, ssl.SSLContext]) -> None:
    driver = Driver(
        kind,
        None,
        dialect="openai",
        base_url=f"https://localhost:{tls}/v1",
        api_key="k",
        ca_file=str(ca[0]),
        max_tries=1,
    )
    with pytest.raises(errors.APIConnectionError, match="no TLS connection to localhost"):
        tried(driver, "openai")


@KINDS
def test_a_ca_file_that_is_none(kind: str, tmp_path: Path, tls: int) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    for path in (tmp_path / "ca.pem", tmp_path / "none.pem"):
        driver = Driver(
            kind, None, dialect="openai", base_url=f"https://localhost:{tls}/v1", api_key="k", ca_file=str(path)
        )
        with pytest.raises(errors.ConfigError, match="cannot be read"):
            tried(driver, "openai")


@KINDS
@DIALECTS
def test_tls_through_a_proxy_with_credentials(
    kind: str, dialect: str, tls: int, ca: tuple[Path, ssl.SSLContext]
) -> None:
    proxy = HttpProxy(tls)
    with listening(proxy.serve) as port:
        driver = Driver(
            kind,
            None,
            dialect=dialect,
            region="gateway.test",
            login="api-body",
            client_id="sim-client",
            client_secret="sim-secret",
            ca_file=str(ca[0]),
            proxy=f"http://user:p%40ss@127.0.0.1:{port}",
        )
        report = tried(driver, dialect)
    assert report.status == "completed"
    assert report.region == "gateway.test"
    assert {head.split("\r\n")[0] for head in proxy.heads} == {"CONNECT api.gateway.test:443 HTTP/1.1"}
    credentials = base64.b64encode(b"user:p@ss").decode()
    assert all(f"Proxy-Authorization: Basic {credentials}" in head for head in proxy.heads)
    # what is behind the tunnel is none of the proxy's business
    assert not any("sim-" in head for head in proxy.heads)


@KINDS
def test_a_proxy_that_the_environment_names(
    kind: str, tls: int, ca: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"region": "gateway.test", "login": "api-body", "client_id": "sim-client", "client_secret": "sim-secret"}
    proxy = HttpProxy(tls)
    with listening(proxy.serve) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("SSL_CERT_FILE", str(ca[0]))
        assert tried(Driver(kind, None, **options), "sse-gateway").status == "completed"
        assert proxy.heads
        monkeypatch.setenv("NO_PROXY", ".gateway.test")
        with pytest.raises(errors.APIConnectionError, match="no connection to api.gateway.test:443"):
            tried(Driver(kind, None, max_tries=1, **options), "sse-gateway")


@KINDS
@DIALECTS
def test_plain_http_through_a_proxy(kind: str, dialect: str, simulator: RunningSimulator) -> None:
    proxy = HttpProxy(simulator.port)
    with listening(proxy.serve) as port:
        driver = Driver(
            kind,
            None,
            dialect=dialect,
            base_url="http://gateway.test:8080",
            client_id="sim-client",
            client_secret="sim-secret",
            proxy=f"http://127.0.0.1:{port}",
        )
        assert tried(driver, dialect).status == "completed"
    first = [head.split("\r\n")[0] for head in proxy.heads]
    assert first[0] == "POST http://gateway.test:8080/oauth/token HTTP/1.1"
    tunnel = "CONNECT gateway.test:8080 HTTP/1.1"
    assert (tunnel in first) == (dialect == "ws-gateway")


@KINDS
@pytest.mark.parametrize(("status", "why"), [(407, "put them into the proxy's URL"), (403, "ask who runs it")])
def test_a_proxy_that_refuses(kind: str, status: int, why: str, simulator: RunningSimulator) -> None:
    proxy = HttpProxy(simulator.port, status)
    with listening(proxy.serve) as port:
        driver = Driver(
            kind,
            None,
            dialect="openai",
            base_url="https://gateway.test/v1",
            api_key="k",
            proxy=f"http://u:secret@127.0.0.1:{port}",
            max_tries=1,
        )
        with pytest.raises(errors.APIConnectionError, match=why) as caught:
            tried(driver, "openai")
    assert "secret" not in str(caught.value)


def answers(*bodies: tuple[int, dict[str, Any]]) -> Any:
    """A token endpoint that gives these answers in turn, the last one for ever."""
    queue = list(bodies)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        status, body = queue.pop(0) if len(queue) > 1 else queue[0]
        data = json.dumps(body).encode()
        writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % (status, len(data)) + data)
        await writer.drain()
        writer.close()

    return serve


LIMITED = (400, {"error": "invalid_request", "error_description": "rate limit exceeded; try again later"})


def with_token_endpoint(kind: str, simulator: RunningSimulator, serve: Any, **options: Any) -> Any:
    with listening(serve) as port:
        return tried(Driver(kind, simulator, token_url=f"http://127.0.0.1:{port}/token", **options), "sse-gateway")


@KINDS
def test_the_token_endpoints_rate_limit_is_waited_out(kind: str, simulator: RunningSimulator) -> None:
    simulator.simulator._tokens.add("good")
    report = with_token_endpoint(kind, simulator, answers(LIMITED, (200, {"access_token": "good", "expires_in": 300})))
    assert (report.status, report.attempts) == ("completed", 1)


@KINDS
@pytest.mark.parametrize(
    ("answer", "kind_of_error", "message"),
    [
        ((401, {"error": "invalid_client"}), errors.AuthenticationError, "or they belong to another region"),
        ((400, {"error": "invalid_client"}), errors.AuthenticationError, "or they belong to another region"),
        (
            (400, {"error": "unsupported_grant_type"}),
            errors.BadRequestError,
            "refused client 'sim-client' with HTTP 400",
        ),
        (
            (200, {"access_token": "t", "scope": "other:scope"}),
            errors.MissingScopeError,
            "without the scope ai:llm:gateway:use",
        ),
        ((200, {"nothing": 1}), errors.ProtocolError, "answered 200 without an access_token"),
        (LIMITED, errors.RateLimitError, "its rate limit is used up"),
        ((503, {}), errors.InternalServerError, "HTTP 503"),
        ((302, {}), errors.InternalServerError, "HTTP 302"),
    ],
)
def test_a_token_endpoint_that_refuses(
    kind: str, simulator: RunningSimulator, answer: tuple[int, dict[str, Any]], kind_of_error: type, message: str
) -> None:
    with pytest.raises(kind_of_error, match=message) as caught:
        with_token_endpoint(kind, simulator, answers(answer), max_tries=1)
    assert "sim-secret" not in repr(caught.value)
    assert caught.value.report.status == "failed"


@KINDS
@pytest.mark.parametrize("login", ["platform", "api-body", "api-basic", "login-v2"])
def test_every_login_form(kind: str, login: str, simulator: RunningSimulator) -> None:
    assert tried(Driver(kind, simulator, login=login), "sse-gateway").status == "completed"


@KINDS
def test_the_token_as_a_subprotocol(kind: str, simulator: RunningSimulator) -> None:
    driver = Driver(kind, simulator, dialect="ws-gateway", token_in="subprotocol")
    assert tried(driver, "ws-gateway").status == "completed"
