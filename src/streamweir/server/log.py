"""One line of JSON on stderr for each stream, and for each request that came to none.

Without text, secrets or an upstream's own words: no header, and of an address only its path.
"""

from __future__ import annotations

import sys
import time
from typing import Any, Final

import msgspec
from aiohttp import web

from streamweir.faces import public_report
from streamweir.faces.problems import Problem
from streamweir.report import Report, Status
from streamweir.server.shared import Asked, asked_of, request_id_of
from streamweir.stages.report import rfc3339

LEVELS: Final[dict[Status, str]] = {"failed": "error", "interrupted": "warning", "timed_out": "warning"}
"""What an operator may have to look at; all else is "info", a client's leaving and a guard's block too."""

NOWHERE: Final = ("not_found", "method_not_allowed")
"""Codes of what nobody here was asked for: scanners try thousands of addresses, and choose what those say."""

_encode = msgspec.json.Encoder().encode


def told(report: Report, asked: Asked) -> None:
    """Write the line of one stream."""
    level = LEVELS.get(report.status, "info")
    shown = public_report(report)
    # a client must say so for itself; whoever operates the proxy is told of the way from the upstream
    shown.receipt_verified = report.receipt_verified
    _write("stream", level, asked, {"report": shown})


def refused(problem: Problem, request: web.Request) -> None:
    """Write the line of a request that was refused before any stream; addresses that do not exist get none."""
    if problem.code not in NOWHERE:
        level = "error" if problem.status >= 500 and problem.code != "server_draining" else "warning"
        said = {"request_id": request_id_of(request), "status": problem.status, "code": problem.code}
        _write("refused", level, asked_of(request), said)


def _write(event: str, level: str, asked: Asked, said: dict[str, Any]) -> None:
    line = {
        "event": event,
        "time": rfc3339(time.time()),
        "level": level,
        "route": asked.path,
        "client": asked.client,
        "key": asked.key,
        **said,
    }
    sys.stderr.write(_encode(line).decode() + "\n")
