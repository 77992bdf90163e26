"""The simulator as a server: it carries out what faults.py says, byte for byte, and remembers what it was asked."""

from __future__ import annotations

import asyncio
import base64
import email.utils
import socket
import struct
import time
from typing import Any, Final

import msgspec
from aiohttp import web

from streamweir.dialects import BUILTIN
from streamweir.server.app import port_error
from streamweir.simulator.faults import Asked, Close, Head, Sleep, Write, actions, genesys_error
from streamweir.simulator.scenario import BadScenario, Scenario, scenario_of

CLIENT_ID: Final = "sim-client"
CLIENT_SECRET: Final = "sim-secret"  # noqa: S105 (the simulator's own, and public)
LIFETIME: Final = 86_400
ALLOWED: Final = 300
MAX_SEEN: Final = 10_000
"""Requests that are remembered; a soak test makes more, and only the last matter."""


class Seen(msgspec.Struct):
    """A completion request as the simulator saw it. Times are monotonic seconds."""

    path: str
    model: str
    request_id: str | None
    opened: float
    status: int = 0
    outcome: str = "open"
    closed: float | None = None
    written: int = 0


class Simulator:
    """State of one simulated gateway: tokens, counters, and what was asked."""

    def __init__(self, *, seed: int = 0, speed: float = 1.0, scenario: Scenario | None = None) -> None:
        self._seed = seed
        self._speed = speed
        self._scenario = scenario or Scenario()
        self._tokens: set[str] = set()
        self._issued = 0
        self._counts: dict[str, int] = {}
        self.seen: list[Seen] = []
        self.token_requests = 0

    def app(self) -> web.Application:
        """Its routes."""
        app = web.Application(client_max_size=16 * 1024 * 1024)
        app.router.add_post("/oauth/token", self.token)
        app.router.add_post("/login/oauth2/token", self.token)
        app.router.add_post(BUILTIN["sse-gateway"].path, self.gateway)
        app.router.add_post("/v1" + BUILTIN["openai"].path, self.openai)
        app.router.add_get("/v1/models", self.models)
        app.router.add_get("/healthz", self.healthz)
        app.router.add_get("/sim/requests", self.requests)
        app.router.add_delete("/sim/requests", self.forget)
        return app

    # -- OAuth -----------------------------------------------------------------------------------------

    async def token(self, request: web.Request) -> web.Response:
        """`POST /oauth/token` and `/login/oauth2/token`: Basic, or the credentials in the body."""
        form = await request.post()
        given = (str(form.get("client_id", "")), str(form.get("client_secret", "")))
        basic = request.headers.get("Authorization", "")
        if basic.startswith("Basic "):
            name, _, secret = base64.b64decode(basic[6:]).decode().partition(":")
            given = (name, secret)
        self.token_requests += 1
        if form.get("grant_type") != "client_credentials":
            return _json({"error": "unsupported_grant_type", "error_description": "use client_credentials"}, 400)
        if given != (CLIENT_ID, CLIENT_SECRET):
            failed = "authentication failed"
            return _json({"error": "invalid_client", "description": failed, "error_description": failed}, 400)
        self._issued += 1
        token = f"sim-token-{self._seed}-{self._issued}"
        self._tokens.add(token)
        answer: dict[str, Any] = {"access_token": token, "token_type": "bearer", "expires_in": LIFETIME}
        if form.get("scope"):
            answer["scope"] = form["scope"]
        return _json(answer)

    # -- completions -----------------------------------------------------------------------------------

    async def gateway(self, request: web.Request) -> web.StreamResponse:
        """`sse-gateway`: needs a token that was issued here."""
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in self._tokens:
            return self._refuse(genesys_error(401, "bad.credentials", "Invalid login credentials."))
        return await self._complete(request, "sse-gateway", token)

    async def openai(self, request: web.Request) -> web.StreamResponse:
        """`openai`: takes any bearer, or none."""
        return await self._complete(request, "openai", "")

    async def _complete(self, request: web.Request, dialect: str, token: str) -> web.StreamResponse:
        try:
            body: Any = msgspec.json.decode(await request.read())
            model, messages = str(body["model"]), list(body["messages"])
            scenario = scenario_of(model, self._scenario)
        except (msgspec.DecodeError, KeyError, TypeError) as error:
            return self._refuse(genesys_error(400, "bad.request", f"the request cannot be read: {error}"))
        except BadScenario as error:
            return self._refuse(genesys_error(400, "invalid.value", str(error)))
        again = self._counts.get(model, 0)
        self._counts[model] = again + 1
        metadata: dict[str, Any] = body.get("metadata") or {}
        seen = Seen(request.path, model, metadata.get("request_id"), time.monotonic())
        self.seen.append(seen)
        del self.seen[:-MAX_SEEN]
        asked = Asked(
            model=model,
            messages=messages,
            dialect=BUILTIN[dialect],
            tools=body.get("tools") or [],
            again=again,
            seed=self._seed,
            tokens_before=sum(len(str(message.get("content", "")).split()) for message in messages),
            retry_date=email.utils.formatdate(time.time() + 1.5, usegmt=True),
        )
        if scenario.fault == "401-once" and not again:
            self._tokens.discard(token)
        try:
            return await self._carry_out(request, scenario, asked, seen)
        except (asyncio.CancelledError, ConnectionError):
            seen.outcome = "client_closed"
            raise
        finally:
            seen.closed = time.monotonic()

    async def _carry_out(
        self, request: web.Request, scenario: Scenario, asked: Asked, seen: Seen
    ) -> web.StreamResponse:
        reply = web.StreamResponse()
        writer = None
        for action in actions(scenario, asked):
            match action:
                case Head():
                    seen.status = action.status
                    if action.body is not None:
                        seen.outcome = "finished"
                        return self._refuse(action)
                    reply = web.StreamResponse(headers=self._headers() | {"Content-Type": action.content_type})
                    reply.enable_chunked_encoding()
                    writer = await reply.prepare(request)
                    if writer is not None:
                        writer.send_headers()
                case Sleep():
                    await asyncio.sleep(action.seconds / self._speed if self._speed else 0)
                case Write():
                    # drained each time, so that a proxy that stops reading stops us
                    await reply.write(action.data)
                    if writer is not None:
                        await writer.drain()
                    seen.written += len(action.data)
                    if scenario.split:
                        # a write of its own is only a read of its own if the peer gets to run in between
                        await asyncio.sleep(0)
                case Close():
                    seen.outcome = "finished"
                    if action.how != "clean":
                        _close(request, hard=action.how == "reset")
        return reply

    def _refuse(self, head: Head) -> web.Response:
        return web.Response(
            status=head.status, body=head.body, content_type=head.content_type, headers=self._headers() | head.headers
        )

    def _headers(self) -> dict[str, str]:
        count = len(self.seen)
        return {
            "ININ-Correlation-Id": f"sim-correlation-{self._seed}-{count}",
            "inin-ratelimit-count": str(count % ALLOWED),
            "inin-ratelimit-allowed": str(ALLOWED),
            "inin-ratelimit-reset": "60",
        }

    # -- the rest --------------------------------------------------------------------------------------

    async def models(self, request: web.Request) -> web.Response:
        """`GET /v1/models`."""
        return _json({"object": "list", "data": [{"id": "sim-1", "object": "model", "created": 0, "owned_by": "sim"}]})

    async def healthz(self, request: web.Request) -> web.Response:
        """`GET /healthz`."""
        return _json({"status": "ok"})

    async def requests(self, request: web.Request) -> web.Response:
        """`GET /sim/requests`: what was asked, for tests."""
        return _json({"requests": self.seen, "token_requests": self.token_requests})

    async def forget(self, request: web.Request) -> web.Response:
        """`DELETE /sim/requests`: forget what was asked, and start counting anew."""
        self.seen.clear()
        self._counts.clear()
        self.token_requests = 0
        return _json({})


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(value), content_type="application/json")


def _close(request: web.Request, *, hard: bool) -> None:
    """End the connection in the middle of the body: with a reset, or with an end of file."""
    transport = request.transport
    if transport is None:
        return
    if hard:
        sock: socket.socket | None = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    else:
        transport.close()


class RunningSimulator:
    """A simulator that accepts on `host` and `port` (0: any free one)."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0, **options: Any) -> None:
        """`options` are those of `Simulator`: seed, speed, scenario."""
        self.simulator = Simulator(**options)
        self._runner = web.AppRunner(
            self.simulator.app(), handler_cancellation=True, access_log=None, shutdown_timeout=0.2
        )
        self.host = host
        self.port = port

    @property
    def url(self) -> str:
        """Where it is: a base URL for the client."""
        return f"http://{self.host}:{self.port}"

    async def start(self) -> None:
        """Accept. Raises OSError with a sentence where the port is taken."""
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self.host, self.port, backlog=1024).start()
        except OSError as error:
            await self._runner.cleanup()
            raise port_error(error, self.host, self.port) from None
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close everything."""
        await self._runner.cleanup()
