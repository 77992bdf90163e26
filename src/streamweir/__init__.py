"""streamweir: the measured gate for LLM token streams.

The public names are imported when they are first used, so that `import streamweir` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streamweir.client.aio.gateway import AsyncGateway
    from streamweir.client.aio.stream import AsyncStream
    from streamweir.client.sync.gateway import Gateway
    from streamweir.client.sync.stream import Stream
    from streamweir.errors import (
        APIConnectionError,
        APIError,
        APIStatusError,
        APITimeoutError,
        AuthenticationError,
        BadRequestError,
        ConfigError,
        ContextWindowExceeded,
        HandshakeError,
        InternalServerError,
        MissingScopeError,
        NotFoundError,
        PermissionDeniedError,
        ProtocolError,
        RateLimitError,
        RequestError,
        StreamBlocked,
        StreamCancelled,
        StreamError,
        StreamFailed,
        StreamIntegrityError,
        StreamInterrupted,
        StreamStalled,
        StreamTimedOut,
        StreamweirError,
    )
    from streamweir.report import Report

__all__ = [
    "APIConnectionError",
    "APIError",
    "APIStatusError",
    "APITimeoutError",
    "AsyncGateway",
    "AsyncStream",
    "AuthenticationError",
    "BadRequestError",
    "ConfigError",
    "ContextWindowExceeded",
    "Gateway",
    "HandshakeError",
    "InternalServerError",
    "MissingScopeError",
    "NotFoundError",
    "PermissionDeniedError",
    "ProtocolError",
    "RateLimitError",
    "Report",
    "RequestError",
    "Stream",
    "StreamBlocked",
    "StreamCancelled",
    "StreamError",
    "StreamFailed",
    "StreamIntegrityError",
    "StreamInterrupted",
    "StreamStalled",
    "StreamTimedOut",
    "StreamweirError",
]

_WHERE = {
    "AsyncGateway": "streamweir.client.aio.gateway",
    "AsyncStream": "streamweir.client.aio.stream",
    "Gateway": "streamweir.client.sync.gateway",
    "Report": "streamweir.report",
    "Stream": "streamweir.client.sync.stream",
}
"""Where the names are that are no errors."""


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("streamweir")
    if name not in __all__:
        raise AttributeError(f"module 'streamweir' has no attribute {name!r}")
    return getattr(import_module(_WHERE.get(name, "streamweir.errors")), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
