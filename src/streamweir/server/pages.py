"""What is served as it is: the console's page, the browsers' module, and the small answers."""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import version as version_of
from importlib.resources import files
from typing import Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from streamweir.faces import SENTENCES
from streamweir.server.shared import SHARED, Shared

CONSOLE: Final = {
    "": ("index.html", "text/html"),
    "style.css": ("style.css", "text/css"),
    "console.js": ("console.js", "text/javascript"),
}
STATIC: Final = {
    name: (name, "text/javascript")
    for name in (
        "streamweir.js",
        "asking.js",
        "connection.js",
        "fetching.js",
        "receipt.js",
        "reply.js",
        "retries.js",
        "sse.js",
    )
}

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'self'; connect-src 'self' ws: wss:; img-src data:; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}
SHARED_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
    # a page of any origin may load the module: it holds no secret, and asks nothing by itself
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
}


async def console(request: web.Request) -> web.Response:
    """`GET /console/`: the page and its parts."""
    name, kind = _known(CONSOLE, request)
    return web.Response(body=_read("console", name), content_type=kind, charset="utf-8", headers=HEADERS)


async def static(request: web.Request) -> web.Response:
    """`GET /static/streamweir.js`: the module for pages, and its parts."""
    name, kind = _known(STATIC, request)
    return web.Response(body=_read("static", name), content_type=kind, charset="utf-8", headers=SHARED_HEADERS)


async def to_console(request: web.Request) -> web.Response:
    """The page's own links are relative to /console/."""
    raise web.HTTPFound("/console/" + (f"?{request.rel_url.raw_query_string}" if request.query_string else ""))


async def healthz(request: web.Request) -> web.Response:
    """`GET /healthz`: the process answers."""
    return web.json_response({"status": "ok"})


async def readyz(request: web.Request) -> web.Response:
    """`GET /readyz`: whether something new may come here."""
    reasons = unready(request.app[SHARED])
    if not reasons:
        return web.json_response({"status": "ready"})
    body = {"status": next(iter(reasons)), "reasons": list(reasons.values())}
    return web.json_response(body, status=503, headers={"Cache-Control": "no-store"})


async def metrics(request: web.Request) -> web.Response:
    """`GET /metrics`: for Prometheus."""
    text = request.app[SHARED].metrics.text()
    return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4, "Cache-Control": "no-store"})


async def version(request: web.Request) -> web.Response:
    """`GET /version`: which release this is."""
    return web.json_response({"name": "streamweir", "version": version_of("streamweir")})


def unready(shared: Shared) -> dict[str, str]:
    """Why nothing new should come here, by the word for it; the gravest first.

    A tenant's 429 or a failing upstream is no reason: every instance has the same, and then none would be left.
    """
    reasons: dict[str, str] = {}
    if shared.census.draining:
        reasons["draining"] = SENTENCES["server_draining"]
    if shared.records is not None and shared.records.refusing:
        reasons["records_unavailable"] = SENTENCES["records_unavailable"]
    if shared.slots.full:
        reasons["full"] = "every stream that server.max_streams allows is live, and the queue in front is full"
    return reasons


def _known(files: dict[str, tuple[str, str]], request: web.Request) -> tuple[str, str]:
    found = files.get(request.match_info.get("part", ""))
    if found is None:
        raise web.HTTPNotFound
    return found


@lru_cache
def _read(folder: str, name: str) -> bytes:
    return files("streamweir.server").joinpath(folder, name).read_bytes()
