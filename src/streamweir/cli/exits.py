"""Exit codes, and where words go: stdout carries data, stderr everything else."""

from __future__ import annotations

from typing import Final

import click

from streamweir.errors import (
    APIStatusError,
    AuthenticationError,
    ConfigError,
    InternalServerError,
    MissingScopeError,
    PermissionDeniedError,
    RateLimitError,
    RequestError,
    StreamBlocked,
    StreamCancelled,
    StreamError,
    StreamTimedOut,
    StreamweirError,
)

CODES: Final[tuple[tuple[type[StreamweirError], int], ...]] = (
    (RequestError, 2),
    (ConfigError, 3),
    (AuthenticationError, 4),
    (MissingScopeError, 4),
    (PermissionDeniedError, 4),
    (RateLimitError, 5),
    (InternalServerError, 6),
    (APIStatusError, 1),
    (StreamBlocked, 8),
    (StreamCancelled, 130),
)
"""The first class that fits gives the code."""

BEFORE_CONTENT: Final = 6
AFTER_CONTENT: Final = 7
DEADLINE: Final = 124


def exit_code_of(error: StreamweirError) -> int:
    """The exit code for an error, as docs/errors.md lists them."""
    for kind, code in CODES:
        if isinstance(error, kind):
            return code
    if isinstance(error, StreamTimedOut) and error.limit == "deadline":
        return DEADLINE
    chunks = error.report.chunks if error.report is not None else 0
    if isinstance(error, StreamError) and (chunks or _cut(error)):
        return AFTER_CONTENT
    return BEFORE_CONTENT


def _cut(error: StreamError) -> bool:
    """A stream that was accepted and then cut is 7 even where nothing had come yet."""
    return error.code in (
        "stream_interrupted",
        "upstream_lost",
        "stream_stalled",
        "integrity_failed",
        "receipt_mismatch",
    )


def say(sentence: str) -> None:
    """A sentence on stderr."""
    click.echo(f"streamweir: {sentence}", err=True)
