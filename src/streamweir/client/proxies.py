"""The HTTP proxy before an upstream. No input or output: the environment is an argument."""

from __future__ import annotations

from base64 import b64encode
from urllib.parse import unquote, urlsplit


def proxy_authorization(url: str) -> str | None:
    """The Proxy-Authorization header for a proxy's URL that holds credentials."""
    parts = urlsplit(url)
    if parts.username is None:
        return None
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return "Basic " + b64encode(pair.encode()).decode()
