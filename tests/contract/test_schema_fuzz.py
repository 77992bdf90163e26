"""What tools make of /openapi.json, valid and not, is never answered with an error of ours, and always as it says."""

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from streamweir.server.keys import digest_of
from streamweir.server.life import Server
from streamweir.simulator.app import RunningSimulator
from tests.proxies import profile, proxy_with, upstream

SOAK = bool(os.environ.get("STREAMWEIR_SOAK"))
EXAMPLES = 3_000 if SOAK else 40
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
ROUTES = (
    "POST /api/llm/stream",
    "POST /api/chat",
    "POST /v1/chat/completions",
    "POST /v1/responses",
    "POST /api/llm/tickets",
    "POST /api/llm/streams",
    "GET /api/llm/streams/{id}",
    "DELETE /api/llm/streams/{id}",
    "GET /api/chat/{id}/stream",
    "DELETE /api/chat/{id}/stream",
    "GET /v1/models",
    "GET /healthz",
    "GET /readyz",
    "GET /metrics",
    "GET /version",
)
KEY = f"""
[[server.keys]]
name = "web"
sha256 = "{digest_of("key")}"
rate = "40/min"
concurrent = 2
"""


class Running:
    """A proxy in a thread of its own: the client of this test blocks."""

    def __init__(self, more: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._simulator = RunningSimulator()
        self.server: Server = self._do(self._start(more))

    async def _start(self, more: str) -> Server:
        await self._simulator.start()
        text = upstream(self._simulator) + profile("p", "sim:none?rate=0")
        return await proxy_with(f'{text}[server]\ndefault_profile = "p"\n{more}')

    async def _stop(self) -> None:
        await self.server.stop()
        await self._simulator.stop()

    def _do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    def stop(self) -> None:
        self._do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture(scope="module", params=["", KEY], ids=["open", "keys"])
def running(request: pytest.FixtureRequest) -> Iterator[Running]:
    proxy = Running(request.param)
    yield proxy
    proxy.stop()


def ours(case: schemathesis.Case, number: int) -> None:
    """Half of the requests name a profile that there is, and get beyond it."""
    body: Any = case.body
    for name in ("configurationId", "model", "profile"):
        if number % 2 and isinstance(body, dict) and name in body:
            body[name] = "p"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("route", "mode"),
    # where any text will do nothing can be wrong
    [(route, GenerationMode.POSITIVE) for route in ROUTES]
    + [(route, GenerationMode.NEGATIVE) for route in ROUTES if route.startswith("POST") or "/streams/" in route],
)
def test_no_request_is_answered_with_an_error_of_ours(running: Running, route: str, mode: GenerationMode) -> None:
    schema = schemathesis.openapi.from_url(f"{running.server.url}/openapi.json")
    method, path = route.split()
    operation = schema[path][method]
    statuses: list[int] = []
    asked = settings(
        max_examples=EXAMPLES if method == "POST" or "{" in path else 5,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )

    @given(operation.as_strategy(generation_mode=mode))
    @asked
    def ask(case: schemathesis.Case) -> None:
        ours(case, len(statuses))
        headers = {"X-API-Key": "key"} if running.server.shared.serving.keys and len(statuses) % 4 else {}
        answer = case.call(headers=headers)
        statuses.append(answer.status_code)
        # the schema of an event stream is a text: tests/contract/test_documents.py reads its events
        stream = answer.headers.get("content-type", [""])[0].startswith("text/event-stream")
        case.validate_response(answer, checks=CHECKS[:4] if stream else CHECKS)

    run: Callable[[], None] = ask
    try:
        run()
    except BaseExceptionGroup as found:
        pytest.fail("\n".join(str(one) for one in found.exceptions))
    print(f"{route}: {len(statuses)} requests, {sorted(set(statuses))}")


def test_every_route_is_asked() -> None:
    from streamweir.server.openapi import openapi_document

    paths = openapi_document()["paths"]
    assert {f"{method.upper()} {path}" for path in paths for method in paths[path]} == set(ROUTES)
