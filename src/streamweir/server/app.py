"""The proxy's application, and its life as a server."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from importlib.resources import files
from typing import Final

from aiohttp import web

from streamweir.config import Config
from streamweir.errors import ConfigError
from streamweir.server.problems import Problem, openai, plain
from streamweir.server.profiles import Profiles
from streamweir.server.routes import PROFILES, browser_stream, chat_completions, models

BACKLOG: Final = 2048
"""Connections that may wait to be accepted; a page's reload by everyone at once is a burst of them."""

KEEPALIVE: Final = 75.0
"""Seconds an idle client connection is kept: longer than nginx's 60, so that nginx never reuses one we just closed."""

PAGES: Final = {
    "": ("index.html", "text/html"),
    "style.css": ("style.css", "text/css"),
    "console.js": ("console.js", "text/javascript"),
    "sse.js": ("sse.js", "text/javascript"),
}
PAGE_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'self'; img-src data:; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refusals of the framework itself (404, 405, 413) in the shape of the route."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        code = {404: "not_found", 405: "method_not_allowed", 413: "body_too_large"}.get(error.status, "bad_request")
        problem = Problem(error.status, code, f"{request.method} {request.path}: {error.reason}")
        answer = (openai if request.path.startswith("/v1/") else plain)(problem)
        if "Allow" in error.headers:
            answer.headers["Allow"] = error.headers["Allow"]
        return answer


async def healthz(request: web.Request) -> web.Response:
    """`GET /healthz`: the process answers."""
    return web.json_response({"status": "ok"})


async def console(request: web.Request) -> web.Response:
    """`GET /console`: the page and its parts."""
    found = PAGES.get(request.match_info.get("part", ""))
    if found is None:
        raise web.HTTPNotFound
    name, kind = found
    body = files("streamweir.server").joinpath("console", name).read_bytes()
    return web.Response(body=body, content_type=kind, charset="utf-8", headers=PAGE_HEADERS)


async def to_console(request: web.Request) -> web.Response:
    """The page's own links are relative to /console/."""
    raise web.HTTPFound("/console/" + (f"?{request.query_string}" if request.query_string else ""))


def make_app(config: Config, environ: Mapping[str, str]) -> web.Application:
    """The application. Raises ConfigError where the configuration cannot be served."""
    app = web.Application(middlewares=[refusals], client_max_size=config.server.body_limit)
    app[PROFILES] = Profiles(config, environ)
    app.router.add_post("/v1/chat/completions", chat_completions)
    app.router.add_post("/api/llm/stream", browser_stream)
    app.router.add_get("/v1/models", models)
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/console", to_console)
    app.router.add_get("/console/", console)
    app.router.add_get("/console/{part}", console)
    app.cleanup_ctx.append(_upstreams)
    return app


async def _upstreams(app: web.Application) -> AsyncIterator[None]:
    yield
    await app[PROFILES].close()


class Server:
    """A proxy that accepts on `host` and `port` (0: any free port; `port` then says which)."""

    def __init__(self, config: Config, environ: Mapping[str, str], host: str, port: int) -> None:
        self._runner = web.AppRunner(
            make_app(config, environ),
            handler_cancellation=True,
            keepalive_timeout=KEEPALIVE,
            access_log=None,
            shutdown_timeout=0.5,
        )
        self.host = host
        self.port = port

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    async def start(self) -> None:
        """Accept connections. Raises OSError with a sentence where the port is taken."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.host, self.port, backlog=BACKLOG)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            raise port_error(error, self.host, self.port) from None
        if not self.port:
            self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close everything."""
        await self._runner.cleanup()


def port_error(error: OSError, host: str, port: int) -> OSError:
    """An error of listening, as a sentence with its mend."""
    if error.errno == errno.EADDRINUSE:
        return OSError(errno.EADDRINUSE, f"port {port} on {host} is in use: stop what listens there, or give --port")
    return OSError(
        error.errno, f"cannot listen on {host}:{port}: {os.strerror(error.errno or 0)}; give --host or --port"
    )


def check_host(host: str, insecure: bool) -> None:
    """Refuse to listen beyond this machine, where anyone could spend the tenant's tokens."""
    if host not in ("127.0.0.1", "::1", "localhost") and not insecure:
        raise ConfigError(
            f"listening on {host} would let anyone who reaches it use the upstream's credentials, and this version has "
            "no API keys yet: listen on 127.0.0.1 behind something that asks who is there, or give --insecure"
        )


async def serve(config: Config, environ: Mapping[str, str], host: str, port: int, say: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM."""
    server = Server(config, environ, host, port)
    await server.start()
    say(f"listening on {server.url}")
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    await stopped.wait()
    await server.stop()
