"""Refusals as answers of the proxy."""

from __future__ import annotations

import msgspec
from aiohttp import web

from streamweir.faces.problems import Problem


def answer_of(problem: Problem, *, openai: bool) -> web.Response:
    """The answer that says a problem, in the shape of the OpenAI routes or of streamweir's own."""
    body = msgspec.json.encode(problem.body(openai=openai))
    return web.Response(status=problem.status, body=body, content_type="application/json", headers=problem.headers)
