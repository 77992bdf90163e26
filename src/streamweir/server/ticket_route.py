"""`POST /api/llm/tickets`: a site's own server asks, with its key, for what a page may use once. Wire contract 6."""

from __future__ import annotations

import math
import secrets
import time

import msgspec
from aiohttp import web

from streamweir.errors import ConfigError, RequestError
from streamweir.faces.problems import Problem
from streamweir.faces.wanted import read_body
from streamweir.server.keys import Who
from streamweir.server.origins import check_origin
from streamweir.server.shared import SHARED, body_of, who_of
from streamweir.server.tickets import MAX_TTL, TTL, Ticket
from streamweir.stages.report import rfc3339


class TicketRequest(msgspec.Struct):
    """What is asked for: a ticket for one profile, good for `ttl` seconds, and for one origin where it names one."""

    profile: str | None = None
    origin: str | None = None
    ttl: float = TTL


class TicketAnswer(msgspec.Struct):
    """The ticket, shown once, and until when it is good."""

    ticket: str
    expires_at: str


_decode = msgspec.json.Decoder(TicketRequest).decode


async def tickets(request: web.Request) -> web.Response:
    """Give a ticket."""
    asked = read_body(_decode, body_of(request))
    shared = request.app[SHARED]
    who = who_of(request)
    if who.ticket:
        raise Problem(403, "ticket_from_ticket", "a ticket makes no other ticket: a key does")
    if not 0 < asked.ttl <= MAX_TTL or math.isnan(asked.ttl):
        raise RequestError(f"ttl is {asked.ttl:g}: it must be over 0 and at most {MAX_TTL:g} seconds")
    if asked.origin is not None:
        try:
            check_origin(asked.origin, "origin")
        except ConfigError as error:
            raise RequestError(error.message) from None
    profile = shared.serving.profiles.get(asked.profile, who)
    now = time.time()
    text = secrets.token_urlsafe(16)
    ticket = Ticket(Who(who.name, frozenset((profile.name,)), ticket=True), asked.origin, now + asked.ttl)
    if not shared.tickets.give(text, ticket, now):
        raise Problem(503, "too_many_tickets", "too many tickets wait to be used: try again later")
    body = msgspec.json.encode(TicketAnswer(text, rfc3339(ticket.expires_at)))
    return web.Response(status=201, body=body, content_type="application/json", headers={"Cache-Control": "no-store"})
