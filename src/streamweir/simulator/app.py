"""The simulator as a server: it carries out what faults.py says, byte for byte, and remembers what it was asked."""

from __future__ import annotations

import asyncio
import base64
import email.utils
import time
from functools import partial
from typing import Any, Final

import msgspec
from aiohttp import web

from streamweir.dialects import BUILTIN, Dialect
from streamweir.server.life import port_error
from streamweir.simulator.allowance import Allowance
from streamweir.simulator.embedding import embeddings
from streamweir.simulator.faults import Asked, Close, Head, Sleep, Write, actions, genesys_error
from streamweir.simulator.scenario import BadScenario, Scenario, scenario_of
from streamweir.simulator.seen import MAX_SEEN, Seen
from streamweir.simulator.sockets import close, converse
from streamweir.simulator.spellings import read_put

CLIENT_ID: Final = "sim-client"
CLIENT_SECRET: Final = "sim-secret"
LIFETIME: Final = 86_400
ALLOWED: Final = 300


class Simulator:
    """State of one simulated gateway: tokens, counters, and what was asked."""

    def __init__(
        self, *, seed: int = 0, speed: float = 1.0, scenario: Scenario | None = None, requests_per_minute: int = 0
    ) -> None:
        self._seed = seed
        self.allowance = Allowance(requests_per_minute)
        self.speed = speed
        self.scenario = scenario or Scenario()
        self._tokens: set[str] = set()
        self._issued = 0
        self._counts: dict[str, int] = {}
        self._first: dict[str, float] = {}
        self.seen: list[Seen] = []
        self.token_requests = 0

    def app(self) -> web.Application:
        """Its routes."""
        app = web.Application(client_max_size=16 * 1024 * 1024)
        app.router.add_post("/oauth/token", self.token)
        app.router.add_post("/login/oauth2/token", self.token)
        for dialect in BUILTIN.values():
            if dialect.framing == "websocket":
                app.router.add_get(dialect.path, self.websocket)
            else:
                prefix = "/v1" if dialect.login == "none" else ""
                app.router.add_post(prefix + dialect.path, partial(self.completion, dialect))
        app.router.add_get("/v1/models", self.models)
        app.router.add_post("/v1/embeddings", self.embeddings)
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

    async def completion(self, dialect: Dialect, request: web.Request) -> web.StreamResponse:
        """A completion over HTTP: all dialects but `openai` need a token that was issued here."""
        if dialect.login != "none" and self.token_of(request) not in self._tokens:
            return self.refuse(genesys_error(401, "bad.credentials", "Invalid login credentials."))
        try:
            put = read_put(dialect, await request.read())
            scenario = scenario_of(put.model, self.scenario)
        except (msgspec.DecodeError, KeyError, TypeError) as error:
            return self.refuse(genesys_error(400, "bad.request", f"the request cannot be read: {error}"))
        except BadScenario as error:
            return self.refuse(genesys_error(400, "invalid.value", str(error)))
        asked = self.asked(dialect, put.model, put.messages, put.tools)
        seen = self.saw(request, put.model, put.request_id)
        if (refused := self.over_budget()) is not None:
            seen.status, seen.outcome = 429, "finished"
            self.closed(seen)
            return self.refuse(refused)
        if scenario.fault == "401-once" and not asked.again:
            self.revoke(request)
        try:
            return await self._carry_out(request, scenario, asked, seen)
        except (asyncio.CancelledError, ConnectionError):
            seen.outcome = "client_closed"
            raise
        finally:
            self.closed(seen)

    async def websocket(self, request: web.Request) -> web.StreamResponse:
        """`ws-gateway`, with the token in a header or as a subprotocol."""
        if self.token_of(request) not in self._tokens:
            return self.refuse(genesys_error(401, "bad.credentials", "Invalid login credentials."))
        return await converse(self, request)

    @staticmethod
    def token_of(request: web.Request) -> str:
        """The bearer token of a request."""
        offered = request.headers.get("Sec-WebSocket-Protocol", "").split(", ")
        return request.headers.get("Authorization", "").removeprefix("Bearer ") or offered[-1]

    def revoke(self, request: web.Request) -> None:
        """The request's token is good no more."""
        self._tokens.discard(self.token_of(request))

    def revoke_all(self) -> None:
        """No token is good any more."""
        self._tokens.clear()

    def asked(self, dialect: Dialect, model: str, messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> Asked:
        """What the scenario needs of a request; counts how often its model was asked for."""
        again, now = self._counts.get(model, 0), time.monotonic()
        self._counts[model] = again + 1
        return Asked(
            model=model,
            messages=messages,
            dialect=dialect,
            tools=tools,
            again=again,
            since=now - self._first.setdefault(model, now),
            seed=self._seed,
            tokens_before=sum(len(str(message.get("content", "")).split()) for message in messages),
            retry_date=email.utils.formatdate(time.time() + 1.5, usegmt=True),
        )

    def saw(self, request: web.Request, model: str, request_id: str | None, status: int = 0) -> Seen:
        """Remember a request."""
        named = request_id or request.headers.get("X-Genesys-Request-Id")
        seen = Seen(request.path, model, named, time.monotonic(), status)
        self.seen.append(seen)
        del self.seen[:-MAX_SEEN]
        return seen

    @staticmethod
    def closed(seen: Seen) -> None:
        """The request is over."""
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
                        return self.refuse(action)
                    reply = web.StreamResponse(headers=self.headers() | {"Content-Type": action.content_type})
                    reply.enable_chunked_encoding()
                    writer = await reply.prepare(request)
                    if writer is not None:
                        writer.send_headers()
                case Sleep():
                    await asyncio.sleep(action.seconds / self.speed if self.speed else 0)
                case Write():
                    # drained each time, so that a proxy that stops reading stops us
                    try:
                        await reply.write(action.data)
                        if writer is not None:
                            await writer.drain()
                    except ConnectionError:
                        seen.outcome = "client_closed"
                        return reply
                    seen.written += len(action.data)
                    if scenario.split:
                        # a write of its own is only a read of its own if the peer gets to run in between
                        await asyncio.sleep(0)
                case Close():
                    seen.outcome = "finished"
                    if action.how != "clean":
                        close(request, hard=action.how == "reset")
        return reply

    def refuse(self, head: Head) -> web.Response:
        """An answer that is no stream."""
        return web.Response(
            status=head.status, body=head.body, content_type=head.content_type, headers=self.headers() | head.headers
        )

    def headers(self) -> dict[str, str]:
        """What every answer carries."""
        budget, count = self.allowance, len(self.seen)
        kept = budget.allowed > 0
        return {
            "ININ-Correlation-Id": f"sim-correlation-{self._seed}-{count}",
            "inin-ratelimit-count": str(budget.count if kept else count % ALLOWED),
            "inin-ratelimit-allowed": str(budget.allowed or ALLOWED),
            "inin-ratelimit-reset": str(budget.reset(time.monotonic()) if kept else 60),
        }

    def over_budget(self) -> Head | None:
        """Count a request; the refusal of one too many."""
        now = time.monotonic()
        if not self.allowance.take(now):
            return None
        wait = {"Retry-After": str(self.allowance.reset(now))}
        return genesys_error(429, "too.many.requests.retry.after", "Rate limit exceeded the maximum.", **wait)

    # -- the rest --------------------------------------------------------------------------------------

    async def models(self, request: web.Request) -> web.Response:
        """`GET /v1/models`."""
        return _json({"object": "list", "data": [{"id": "sim-1", "object": "model", "created": 0, "owned_by": "sim"}]})

    async def embeddings(self, request: web.Request) -> web.Response:
        """`POST /v1/embeddings`."""
        status, body = embeddings(await request.read())
        return web.Response(status=status, body=body, content_type="application/json")

    async def healthz(self, request: web.Request) -> web.Response:
        """`GET /healthz`."""
        return _json({"status": "ok"})

    async def requests(self, request: web.Request) -> web.Response:
        """`GET /sim/requests`: what was asked, for tests."""
        said = {"requests": self.seen, "token_requests": self.token_requests}
        return _json({**said, "over_budget": self.allowance.violations})

    async def forget(self, request: web.Request) -> web.Response:
        """`DELETE /sim/requests`: forget what was asked, and start counting anew."""
        self.seen.clear()
        self._counts.clear()
        self._first.clear()
        self.token_requests = 0
        return _json({})


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(value), content_type="application/json")


class RunningSimulator:
    """A simulator that accepts on `host` and `port` (0: any free one)."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0, **options: Any) -> None:
        """`options` are those of `Simulator`: seed, speed, scenario, requests_per_minute."""
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
