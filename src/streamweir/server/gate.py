"""Before any route: which page asks, who asks, and how refusals look. Wire contract 6."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from streamweir.errors import StreamweirError
from streamweir.faces.problems import Problem, problem_of
from streamweir.server.keys import NOBODY, Who
from streamweir.server.origins import allowed, preflight_headers
from streamweir.server.problems import answer_of
from streamweir.server.shared import ORIGIN_ALLOWED, SHARED, WHO, Serving, answer_headers, seen_of

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

OPEN: Final = ("/healthz", "/version", "/openapi.json", "/asyncapi.json", "/static/", "/console")
"""What everybody may see: it says nothing of any stream."""

KEY_PROTOCOL: Final = "streamweir.key."
TICKET_PROTOCOL: Final = "streamweir.ticket."

CODES: Final = {404: "not_found", 405: "method_not_allowed", 413: "body_too_large"}


@web.middleware
async def gate(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Lets in who may ask, and gives every refusal the shape of its route."""
    try:
        origin = request.headers.get("Origin")
        if origin is not None:
            _check_origin(request, origin)
            if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
                headers = preflight_headers(request.headers) | answer_headers(request)
                return web.Response(status=204, headers=headers)
        serving = request.app[SHARED].serving
        if serving.keys and not request.path.startswith(OPEN):
            request[WHO] = _who(request, serving)
        answer = await handler(request)
    except Problem as problem:
        answer = _shaped(request, problem)
    except StreamweirError as error:
        answer = _shaped(request, problem_of(error))
    except web.HTTPException as error:
        if error.status < 400:
            raise
        code = CODES.get(error.status, "bad_request")
        answer = _shaped(request, Problem(error.status, code, f"{request.method} {request.path}: {error.reason}"))
        if "Allow" in error.headers:
            answer.headers["Allow"] = error.headers["Allow"]
    if not answer.prepared:
        answer.headers.update(answer_headers(request))
    return answer


def _shaped(request: web.Request, problem: Problem) -> web.Response:
    return answer_of(problem, openai=request.path.startswith("/v1/"))


def _check_origin(request: web.Request, origin: str) -> None:
    serving = request.app[SHARED].serving
    if not allowed(origin, serving.origins, seen_of(request).origin, keys=bool(serving.keys)):
        raise Problem(
            403,
            "origin_not_allowed",
            f"pages of {origin[:200]} may not ask here: whoever runs this proxy adds the origin to server.origins",
        )
    request[ORIGIN_ALLOWED] = True


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
        return use_ticket(request, ticket)
    if request.path == "/ws":
        return NOBODY
    raise Problem(
        401, "key_missing", "an API key is needed: Authorization: Bearer, X-API-Key, or a ticket from a page's server"
    )


def use_ticket(request: web.Request, ticket: str) -> Who:
    """Whom a ticket lets in. Raises Problem; a ticket that is refused is used up too."""
    shared = request.app[SHARED]
    who = shared.tickets.use(ticket, request.headers.get("Origin"), time.time())
    if who is None:
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
