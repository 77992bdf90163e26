"""One line of JSON a stream, on stderr: how it ended, without text, secrets or an upstream's own words."""

from __future__ import annotations

import sys

import msgspec
from aiohttp import web

from streamweir.faces import public_report
from streamweir.report import Report
from streamweir.server.shared import printable, seen_of, who_of

_encode = msgspec.json.Encoder().encode


def told(report: Report, request: web.Request) -> None:
    """Write the line of one stream."""
    line = {
        "event": "stream",
        "route": printable(request.path),
        "client": printable(seen_of(request).address),
        "key": who_of(request).name,
        "report": public_report(report),
    }
    sys.stderr.write(_encode(line).decode() + "\n")
