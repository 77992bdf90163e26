"""Before any route: which page asks, who asks, and how refusals look. Wire contract 6."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from aiohttp import HttpVersion10, HttpVersion11, web

from streamweir.errors import StreamweirError
from streamweir.faces.problems import Problem, problem_of
from streamweir.server.bodies import read_body, too_large
from streamweir.server.keys import ANYONE, NOBODY, Who
from streamweir.server.listener import Inbound
from streamweir.server.origins import allowed, preflight_headers
from streamweir.server.shared import (
    FOUND,
    SHARED,
    Found,
    Serving,
    Shared,
    answer_headers,
    origin_of,
    printable,
    request_id,
)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

OPEN: Final = ("/healthz", "/readyz", "/version", "/openapi.json", "/asyncapi.json", "/static/", "/console")
"""What everybody may see: it says nothing of any stream."""

CAPABLE: Final = "/api/llm/streams/"
"""Where a stream's own capability stands for a key: an EventSource can send nothing else."""

ADMIN: Final = ("/metrics",)
"""What only operators' keys open, where there are keys."""

CREATES: Final = "/api/llm/streams"

KEY_PROTOCOL: Final = "streamweir.key."
TICKET_PROTOCOL: Final = "streamweir.ticket."

log = logging.getLogger("streamweir.server")

CODES: Final = {404: "not_found", 405: "method_not_allowed", 413: "body_too_large"}


@web.middleware
async def gate(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Lets in who may ask, and gives every refusal the shape of its route."""
    inbound = inbound_of(request)
    if inbound is not None:
        inbound.begin()
    shared = request.app[SHARED]
    found = request[FOUND] = Found(shared, request_id(request.headers.get("X-Request-Id")))
    try:
        _let_in(request, found)
        if begins(request, shared):
            shared.census.check()
        found.body = await read_body(request, shared)
        answer = await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        answer = _shaped(request, _problem(request, error))
        if "Allow" in error.headers:
            answer.headers["Allow"] = error.headers["Allow"]
        error.__traceback__ = None
    except Exception as error:
        if found.begun:
            raise
        answer = _shaped(request, _problem(request, error))
        # its frames hold the handshake, which holds it: all of that would be left to the collector
        error.__traceback__ = None
    finally:
        if inbound is not None:
            inbound.end()
    if not answer.prepared:
        answer.headers.update(answer_headers(request))
    if shared.census.draining:
        answer.force_close()
    return answer


def begins(request: web.Request, shared: Shared) -> bool:
    """Whether a request wants something new; what reads, attaches or cancels goes on while the server drains.

    A WebSocket says in its messages what it wants: where a stream waits for its client to come back it is let in.
    """
    if request.path == "/ws":
        return not shared.kept.awaited("ws")
    return request.method == "POST"


def _let_in(request: web.Request, found: Found) -> None:
    """Find out which page asks, and who. Raises Problem, and for a preflight its answer."""
    if request.version not in (HttpVersion10, HttpVersion11):
        raise Problem(400, "bad_request", "this server speaks HTTP/1.0 and HTTP/1.1")
    origin = request.headers.get("Origin")
    if origin is not None and not request.path.startswith(OPEN):
        _check_origin(request, origin, found)
        if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
            raise web.HTTPNoContent(headers=preflight_headers(request.headers) | answer_headers(request))
    serving = found.shared.serving
    if serving.keys and not request.path.startswith(OPEN):
        found.who = who = _who(request, serving)
        if request.path.startswith(ADMIN) and not who.admin:
            raise Problem(403, "admin_needed", "this needs the key of an operator: one with admin = true")


def _problem(request: web.Request, error: Exception) -> Problem:
    """What a client is told of whatever went wrong before its answer began."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, StreamweirError):
        return problem_of(error)
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return too_large(request.app[SHARED].body_limit)
    if isinstance(error, web.HTTPException):
        code = CODES.get(error.status, "bad_request")
        return Problem(error.status, code, f"{request.method} {printable(request.path)}: {error.reason}")
    if isinstance(error, RecursionError):
        return Problem(400, "invalid_request", "the request is nested too deeply")
    if isinstance(error, web.RequestPayloadError):
        return Problem(400, "bad_request", "the body cannot be read: its encoding is broken")
    log.error("%s %s failed", request.method, printable(request.path), exc_info=error)
    return Problem(500, "internal_error", "an error inside the proxy; its log says more")


def _shaped(request: web.Request, problem: Problem) -> web.Response:
    request.app[SHARED].refuse(problem, request)
    body = msgspec.json.encode(problem.body(openai=request.path.startswith("/v1/")))
    answer = web.Response(status=problem.status, body=body, content_type="application/json", headers=problem.headers)
    if not request.content.is_eof():
        # the rest of the body is not read: nothing else can come on this connection
        answer.force_close()
    return answer


def inbound_of(request: web.Request) -> Inbound | None:
    """The connection that a request came on; None where it is gone, or another server's."""
    found = request.transport.get_protocol() if request.transport is not None else None
    return found if isinstance(found, Inbound) else None


def _check_origin(request: web.Request, origin: str, found: Found) -> None:
    serving = found.shared.serving
    if not allowed(origin, serving.origins, origin_of(request), keys=bool(serving.keys)):
        raise Problem(
            403,
            "origin_not_allowed",
            f"pages of {printable(origin)} may not ask here: whoever runs this proxy adds the origin to server.origins",
        )
    found.of_a_page = True


def _who(request: web.Request, serving: Serving) -> Who:
    """Whose key or ticket the request bears. Raises Problem; a WebSocket may still bear one in its first message."""
    key = key_of(request)
    if key is not None:
        who = serving.keys.who(key)
        if who is None:
            raise Problem(401, "invalid_key", "the API key is not known here")
        return who
    ticket = ticket_of(request)
    if ticket is not None:
        # only there a request that comes again begins nothing more
        once = request.path == CREATES and request.method == "POST"
        return use_ticket(request, ticket, request.headers.get("Idempotency-Key") if once else None)
    if request.path == "/ws" or (request.path.startswith(CAPABLE) and "cap" in request.query):
        # the one shows a ticket in its first message, the other what opens a single stream
        return NOBODY
    raise Problem(
        401, "key_missing", "an API key is needed: Authorization: Bearer, X-API-Key, or a ticket from a page's server"
    )


def still(request: web.Request, who: Who, serving: Serving) -> Who:
    """Who somebody is under a configuration that came later. Raises Problem where the key is known no more."""
    if not serving.keys:
        return ANYONE
    key = key_of(request)
    found = serving.keys.who(key) if key is not None else who if serving.keys.has(who.name) else None
    if found is not None:
        return found
    if key is not None or who.ticket:
        raise Problem(401, "invalid_key", "the API key, or the one behind the ticket, is not known here any more")
    return NOBODY


def use_ticket(request: web.Request, ticket: str, key: str | None = None) -> Who:
    """Whom a ticket lets in, or let in for that idempotency key. Raises Problem; one that is refused is used up too."""
    shared = request.app[SHARED]
    who = shared.tickets.use(ticket, request.headers.get("Origin"), time.time(), key)
    keys = shared.serving.keys
    if who is None or (keys and not keys.has(who.name)):
        raise Problem(
            401, "invalid_ticket", "the ticket is unknown, used, expired or another origin's: ask for a new one"
        )
    return who


def key_of(request: web.Request) -> str | None:
    """The API key that a request bears."""
    scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and bearer.strip():
        return bearer.strip()
    given = request.headers.get("X-API-Key")
    return given or _offered(request, KEY_PROTOCOL)


def ticket_of(request: web.Request) -> str | None:
    """The ticket that a request bears."""
    return request.headers.get("X-Streamweir-Ticket") or _offered(request, TICKET_PROTOCOL)


def _offered(request: web.Request, prefix: str) -> str | None:
    """What a WebSocket's client put into its subprotocols, the one header that a browser lets it write."""
    for offered in request.headers.get("Sec-WebSocket-Protocol", "").split(","):
        if offered.strip().startswith(prefix):
            return offered.strip().removeprefix(prefix)
    return None
