"""Failures before the first byte: a status, and a body in the shape of the route. Wire contract 6. Pure."""

from __future__ import annotations

from math import ceil
from typing import Any, Final

from streamweir.errors import (
    APIConnectionError,
    APIError,
    APIStatusError,
    ConfigError,
    ContextWindowExceeded,
    ProtocolError,
    RequestError,
    StreamTimedOut,
    StreamweirError,
)
from streamweir.faces import SENTENCES
from streamweir.faces.openai_chat import error_object

OPENAI_KINDS: Final[dict[int, str]] = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "invalid_request_error",
    405: "invalid_request_error",
    408: "invalid_request_error",
    413: "invalid_request_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
}


DRAINING_WAIT: Final = 1.0
"""Seconds that a draining server tells clients to wait: another instance behind the address takes them at once."""


class Problem(Exception):
    """A refusal with a status. `param` names the key of the request that is at fault, where one is."""

    def __init__(self, status: int, code: str, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        self.correlation_id: str | None = None
        self.retry_after: float | None = None

    def body(self, *, openai: bool) -> dict[str, Any]:
        """The JSON body: of the OpenAI routes, or of streamweir's own."""
        if openai:
            kind = OPENAI_KINDS.get(self.status, "upstream_error")
            return error_object(
                self.message, kind=kind, code=self.code, param=self.param, correlation_id=self.correlation_id
            )
        return {"error": self.message, "code": self.code, "correlation_id": self.correlation_id}

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the answer."""
        return {} if self.retry_after is None else {"Retry-After": str(whole_seconds(self.retry_after))}


def whole_seconds(retry_after: float) -> int:
    """Seconds to wait, never fewer than they are."""
    return max(1, ceil(retry_after))


def problem_of(error: StreamweirError) -> Problem:
    """The refusal that an error before the first byte means.

    A client is told what it can mend itself. What an upstream said, and why its credentials failed, stays here.
    """
    if error.code == "server_draining":
        return draining()
    if error.code == "records_unavailable":
        problem = Problem(503, "records_unavailable", SENTENCES["records_unavailable"])
        problem.retry_after = DRAINING_WAIT
        return problem
    if isinstance(error, ContextWindowExceeded):
        return Problem(422, "context_window_exceeded", error.message, param="messages")
    if error.code == "prompt_blocked":
        return Problem(422, "prompt_blocked", error.message, param="messages")
    if isinstance(error, RequestError):
        return Problem(400, error.code or "invalid_request", error.message)
    if isinstance(error, ConfigError):
        return Problem(
            503, "configuration", "The profile that was asked for is not usable: its credentials are missing."
        )
    problem = Problem(502, "upstream_error", SENTENCES["upstream_error"])
    if isinstance(error, StreamTimedOut):
        problem = Problem(504, "stream_timed_out", SENTENCES["stream_timed_out"])
    elif isinstance(error, ProtocolError):
        problem = Problem(502, "protocol_error", SENTENCES["protocol_error"])
    elif isinstance(error, APIStatusError) and error.status == 429:
        left = error.retry_after
        paused = error.code == "upstream_paused"
        why = "The model has asked for a pause" if paused else "The model's request budget is used up"
        when = "later" if left is None else f"in {whole_seconds(left)} s"
        problem = Problem(429, "rate_limited", f"{why}; try again {when}.")
        problem.retry_after = left
    elif isinstance(error, APIStatusError) and error.status in (400, 413, 422):
        problem = Problem(502, "upstream_refused", "The model refused the request.")
    elif isinstance(error, APIConnectionError):
        problem = Problem(502, "upstream_unreachable", "The model cannot be reached.")
    elif isinstance(error, APIError):
        problem = Problem(502, "upstream_refused", "The model refused the request.")
    problem.correlation_id = error.correlation_id
    return problem


def draining() -> Problem:
    """The refusal of whatever would begin while the server stops."""
    problem = Problem(503, "server_draining", SENTENCES["server_draining"])
    problem.retry_after = DRAINING_WAIT
    return problem
