"""streamweir: the measured gate for LLM token streams.

The public names are imported when they are first used, so that `import streamweir` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streamweir.client.aio import AsyncGateway
    from streamweir.client.stream import AsyncStream
    from streamweir.errors import ConfigError, RequestError, StreamError, StreamweirError
    from streamweir.report import Report

_WHERE = {
    "AsyncGateway": "streamweir.client.aio",
    "AsyncStream": "streamweir.client.stream",
    "ConfigError": "streamweir.errors",
    "Report": "streamweir.report",
    "RequestError": "streamweir.errors",
    "StreamError": "streamweir.errors",
    "StreamweirError": "streamweir.errors",
}

__all__ = ["AsyncGateway", "AsyncStream", "ConfigError", "Report", "RequestError", "StreamError", "StreamweirError"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("streamweir")
    if name not in _WHERE:
        raise AttributeError(f"module 'streamweir' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
