"""The HTTP proxy before an upstream, as curl and Go find it. No input or output: the environment is an argument."""

from __future__ import annotations

import ipaddress
from base64 import b64encode
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

from streamweir.errors import ConfigError

VARIABLES = {
    "https": ("HTTPS_PROXY", "https_proxy"),
    "wss": ("HTTPS_PROXY", "https_proxy"),
    # upper case would let a CGI client set it with a `Proxy:` header (httpoxy)
    "http": ("http_proxy",),
    "ws": ("http_proxy",),
}
"""Scheme of the upstream to variables; ALL_PROXY and all_proxy come after them."""


def proxy_for(url: str, environ: Mapping[str, str], given: str | None) -> str | None:
    """The proxy to reach `url` through: the one `given` ("" for none), else the environment's. Raises ConfigError.

    From the environment nothing on this machine goes through a proxy, nor what NO_PROXY names.
    """
    if given is not None:
        return checked(given, "proxy") if given else None
    parts = urlsplit(url)
    host = parts.hostname or ""
    for name in (*VARIABLES.get(parts.scheme, ()), "ALL_PROXY", "all_proxy"):
        if value := environ.get(name):
            port = parts.port or (443 if parts.scheme in ("https", "wss") else 80)
            excepted = environ.get("NO_PROXY") or environ.get("no_proxy") or ""
            return None if _local(host) or _named(host, port, excepted) else checked(value, name)
    return None


def checked(url: str, where: str) -> str:
    """A proxy's URL, `http://` where it names no scheme. Raises ConfigError that shows no credentials."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    try:
        usable = parts.scheme == "http" and bool(parts.hostname) and (parts.port or 80) > 0
    except ValueError:
        usable = False
    if not usable:
        shown = f"{parts.scheme}://{parts.hostname or ''}"
        raise ConfigError(f"{where} is {shown}…: a proxy is an http:// URL such as http://proxy.example.com:3128")
    return parts.geturl()


def proxy_authorization(url: str) -> str | None:
    """The Proxy-Authorization header for a proxy's URL that holds credentials."""
    parts = urlsplit(url)
    if parts.username is None:
        return None
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return "Basic " + b64encode(pair.encode()).decode()


def _local(host: str) -> bool:
    address = _address(host)
    return host == "localhost" or host.endswith(".localhost") or (address is not None and address.is_loopback)


def _named(host: str, port: int, excepted: str) -> bool:
    address = _address(host)
    for raw in excepted.split(","):
        entry = raw.strip().lower()
        if not entry:
            continue
        if entry == "*":
            return True
        name, _, its_port = entry.rpartition(":") if entry.count(":") == 1 else (entry, "", "")
        if its_port and its_port != str(port):
            continue
        name = (name or entry).strip("[]").removeprefix("*")
        if address is not None and _covers(name, address):
            return True
        if host == name.lstrip(".") or host.endswith(name if name.startswith(".") else f".{name}"):
            return True
    return False


def _covers(name: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    try:
        return address in ipaddress.ip_network(name, strict=False)
    except ValueError:
        return False


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
