"""Reading requests' bodies: within a size, a time, and the memory that all of them may have together."""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web

from streamweir.faces.problems import Problem
from streamweir.server.shared import Shared

BODY_WITHIN: Final = 30.0
"""Seconds that a body has, from the end of its head; more where server.body_limit is over 3.75 MiB."""

SLOWEST: Final = 128 * 1024
"""Bytes a second at which the largest allowed body comes in time: a mobile network's uplink on a bad day."""

UPLOADING: Final = 256 * 1024 * 1024
"""Bytes of bodies that may be on their way in at a time, of all clients: 64 of the largest. Usual ones come whole with
their heads and are not counted."""

RETRY_AFTER: Final = 1.0


async def read_body(request: web.Request, shared: Shared) -> bytes:
    """The body, waited for where it is not there yet. Raises Problem (408, 413, 503) and aiohttp's own."""
    limit = shared.body_limit
    if request.content.is_eof():
        body = request.content.read_nowait()
        if len(body) > limit and request.match_info.http_exception is None:
            raise too_large(limit)
        return body
    if request.match_info.http_exception is not None:
        return b""
    announced = request.content_length
    if announced is not None and announced > limit:
        raise too_large(limit)
    size = limit if announced is None else announced
    if shared.uploading + size > max(UPLOADING, limit):
        problem = Problem(503, "server_full", "too many large requests are on their way in: try again later")
        problem.retry_after = RETRY_AFTER
        raise problem
    within = max(BODY_WITHIN, limit / SLOWEST)
    shared.uploading += size
    try:
        async with asyncio.timeout(within):
            return await request.read()
    except TimeoutError:
        raise Problem(408, "request_timeout", f"the body did not come within {within:g} s") from None
    finally:
        shared.uploading -= size


def too_large(limit: int) -> Problem:
    """The answer to a body of more than `limit` bytes."""
    return Problem(413, "body_too_large", f"the body has over {limit} bytes, which server.body_limit allows")
