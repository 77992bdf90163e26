"""Where an upstream is, as a connection sees it. No input or output."""

from __future__ import annotations

from urllib.parse import urlsplit

import msgspec

from streamweir.errors import ConfigError

SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}


class Origin(msgspec.Struct, frozen=True):
    """Where connections go. `ca_file` None means the system's trust store, `proxy` is an http:// URL or None.

    `tunnelled` asks for a tunnel through the proxy for plain http too: a WebSocket needs one.
    """

    scheme: str
    host: str
    port: int
    ca_file: str | None = None
    proxy: str | None = None
    tunnelled: bool = False

    def __repr__(self) -> str:
        return f"Origin({self.scheme}://{self.authority})"

    @property
    def authority(self) -> str:
        """The Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.scheme == "https" else 80) else f"{host}:{self.port}"

    def target(self, path: str) -> str:
        """The request target: the path, or the whole URL where a proxy reads it."""
        whole = self.proxy is not None and self.scheme == "http" and not self.tunnelled
        return f"http://{self.authority}{path}" if whole else path

    @property
    def where(self) -> str:
        """Host and port, for messages."""
        return f"{self.host}:{self.port}"


def origin_of(
    url: str, ca_file: str | None = None, proxy: str | None = None, *, tunnelled: bool = False
) -> tuple[Origin, str]:
    """The origin of a URL, and the path and query on it. Raises ConfigError."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        raise ConfigError(f"URL {url!r} has a bad port") from None
    scheme = SCHEMES.get(parts.scheme)
    if scheme is None or not parts.hostname:
        raise ConfigError(f"URL {url!r} is no http, https, ws or wss URL")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    port = port or (443 if scheme == "https" else 80)
    return Origin(scheme, parts.hostname, port, ca_file, proxy, tunnelled), target
