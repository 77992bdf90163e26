"""Everything streamweir raises.

StreamweirError
    ConfigError                     configuration: a bad file, a missing credential, an unknown region
    RequestError (a ValueError)     the request itself; `.problems` lists every one
        ContextWindowExceeded       `.tokens`, `.limit`
    APIError                        the upstream was not reached, or refused
        APIConnectionError
            APITimeoutError
        APIStatusError              `.status`, `.code`, `.context_id`, `.retry_after`
            BadRequestError         400, 413, 422 and any other 4xx
            AuthenticationError     401
            MissingScopeError       the token lacks a scope
            PermissionDeniedError   403
            NotFoundError           404
            RateLimitError          429
            InternalServerError     5xx
    StreamError                     the stream began and did not end whole
        StreamInterrupted           no end marker: cut, reset, closed
        StreamStalled               no content, or nothing at all, for too long
        StreamTimedOut              no first content in time, or the deadline
        StreamBlocked               a guard or the upstream's own filter ended it
        StreamFailed                an error object in the stream, or an error of our own
        StreamCancelled
        StreamIntegrityError        sequence gaps above the limit
        ProtocolError               what came is not what the dialect says
        HandshakeError              a WebSocket that did not become ready

Every error that a stream raises carries `.report` (with the partial text), `.retryable` and
`.correlation_id`. All pickle.
"""

from __future__ import annotations

from streamweir.report import Report


class StreamweirError(Exception):
    """The base of all. `retryable` says whether sending the same request again can help."""

    report: Report | None = None
    retryable: bool = False
    correlation_id: str | None = None
    code: str | None = None

    def __init__(
        self,
        message: str,
        *,
        report: Report | None = None,
        correlation_id: str | None = None,
        code: str | None = None,
        retryable: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        if report is not None:
            self.report = report
        if correlation_id is not None:
            self.correlation_id = correlation_id
        if code is not None:
            self.code = code
        if retryable is not None:
            self.retryable = retryable


class ConfigError(StreamweirError):
    """Configuration that cannot be used; the message says what, where and how to mend it."""


class RequestError(StreamweirError, ValueError):
    """A request that cannot be sent. `problems` lists all that is wrong with it, not just the first."""

    problems: tuple[str, ...] = ()

    def __init__(self, message: str, *, problems: tuple[str, ...] = (), code: str | None = None) -> None:
        super().__init__(message, code=code or "invalid_request")
        self.problems = problems or (message,)


class ContextWindowExceeded(RequestError):
    """The prompt has more tokens than the model's context window. `source` says what counted them: "estimate" is an
    upper bound.
    """

    tokens: int = 0
    limit: int = 0
    source: str = ""


class APIError(StreamweirError):
    """The upstream was not reached, or refused."""


class APIConnectionError(APIError):
    """No connection, or it broke before an answer."""

    retryable = True


class APITimeoutError(APIConnectionError):
    """No connection, or no token, within its time limit."""


class APIStatusError(APIError):
    """The upstream answered with an error status."""

    status: int = 0
    context_id: str | None = None
    retry_after: float | None = None


class BadRequestError(APIStatusError):
    """400, 413, 422 or another 4xx without a class of its own."""


class AuthenticationError(APIStatusError):
    """401, or credentials that the token endpoint does not take."""


class MissingScopeError(APIStatusError):
    """The token was granted without a scope that the dialect names."""


class PermissionDeniedError(APIStatusError):
    """403: a role permission is missing."""


class NotFoundError(APIStatusError):
    """404."""


class RateLimitError(APIStatusError):
    """429 beyond the retry budget."""

    retryable = True


class InternalServerError(APIStatusError):
    """5xx."""

    retryable = True


class StreamError(StreamweirError):
    """A stream that began and did not end whole."""


class StreamInterrupted(StreamError):
    """Ended without an end marker: cut, reset or closed."""

    retryable = True


class StreamStalled(StreamError):
    """No content for `idle_timeout`, or nothing at all for `inactivity_timeout`."""

    retryable = True


class StreamTimedOut(StreamError):
    """No first content within `first_token_timeout`, or not done by the `deadline`; `limit` names which."""

    retryable = True
    limit: str | None = None


class StreamBlocked(StreamError):
    """Ended by a guard in block mode, or by the upstream's own content filter."""


class StreamFailed(StreamError):
    """An error object in the stream, or an error of our own."""


class StreamCancelled(StreamError):
    """Cancelled; raised to whoever iterates."""


class StreamIntegrityError(StreamError):
    """Too many sequence numbers are missing, or cumulative text does not extend the text so far."""


class ProtocolError(StreamError):
    """What came over the wire is not what the dialect says."""


class HandshakeError(StreamError):
    """The upstream's WebSocket did not become ready; `received` is what came instead, if anything."""

    received: str | None = None


BY_STATUS: dict[int, type[APIStatusError]] = {
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    429: RateLimitError,
}
"""The class of an error status; any other 4xx is a BadRequestError, anything else an InternalServerError."""


def status_class(status: int) -> type[APIStatusError]:
    """The error class of an HTTP status that means refusal."""
    if status in BY_STATUS:
        return BY_STATUS[status]
    return BadRequestError if 400 <= status < 500 else InternalServerError


def stream_error(report: Report) -> StreamError:
    """The error to raise for the report of a stream that began and did not end whole."""
    error = report.error
    found = globals().get(error.type) if error is not None else None
    kind: type[StreamError] = found if isinstance(found, type) and issubclass(found, StreamError) else StreamFailed
    raised = kind(
        error.message if error is not None else f"the stream ended as {report.status}",
        report=report,
        correlation_id=report.correlation_id,
        code=error.code if error is not None else None,
    )
    if isinstance(raised, StreamTimedOut) and error is not None:
        raised.limit = error.limit
    return raised
