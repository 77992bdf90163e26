"""Which pages may ask: Origin headers, and the CORS answers to them. Exact matches only. No input or output.

No cookie is ever read, so no answer allows credentials; a key travels in a header that a page must set itself.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

from streamweir.errors import ConfigError

METHODS: Final = "GET, POST, DELETE"
EXPOSED: Final = "X-Request-Id, ININ-Correlation-Id, Retry-After"
MAX_AGE: Final = "600"
"""Seconds for which a browser need not ask again; browsers cap it themselves."""

HEADER_NAMES: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}(?:\s*,\s*[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}){0,49}")
"""What a page may list in Access-Control-Request-Headers; SDKs send a dozen of their own."""

ANY: Final = "*"

ORIGIN: Final = re.compile(r"([a-z][a-z0-9+.-]*)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?")
"""Scheme, host and port as browsers write them; apps and extensions have schemes of their own."""

USUAL_PORTS: Final = {"http": "80", "https": "443"}


def checked_origins(origins: Sequence[str], *, keys: bool, where: str) -> frozenset[str]:
    """The configured origins. Raises ConfigError for one that no browser would ever send."""
    for origin in origins:
        if origin == ANY:
            if not keys:
                raise ConfigError(
                    f'{where}: "*" lets every page on the web use the upstreams, and no keys are configured: '
                    "list the origins, or configure server.keys"
                )
            continue
        check_origin(origin, where)
    return frozenset(origins)


def check_origin(origin: str, where: str) -> None:
    """Raise ConfigError for what is no origin, or none as browsers write it."""
    found = ORIGIN.fullmatch(origin)
    if found is None or int(found[3] or 0) > 65535:
        hint = f"; browsers send it in lower case: {origin.lower()!r}" if ORIGIN.fullmatch(origin.lower()) else ""
        raise ConfigError(
            f"{where}: {origin!r} is no origin{hint}: give scheme, host and port alone, such as "
            "https://app.example.com (names of other alphabets as xn--…)"
        )
    if found[3] == USUAL_PORTS.get(found[1]):
        raise ConfigError(f"{where}: {origin!r}: browsers leave out the usual port: {origin.rpartition(':')[0]!r}")


def allowed(origin: str, allowed_origins: frozenset[str], own: str, *, keys: bool) -> bool:
    """Whether a page of `origin` may ask. `own` is the origin under which we are reached: the console's.

    Without keys our own origin counts only where its host is an address or localhost: a name could be anyone's, since
    whoever owns it may let it point here.
    """
    if origin in allowed_origins:
        return True
    if origin == own:
        return keys or _is_address(own)
    return ANY in allowed_origins


def cors_headers(origin: str, allowed_origins: frozenset[str]) -> dict[str, str]:
    """The headers of an answer to a page that may ask."""
    if ANY in allowed_origins and origin not in allowed_origins:
        return {"Access-Control-Allow-Origin": ANY, "Access-Control-Expose-Headers": EXPOSED}
    return {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": EXPOSED, "Vary": "Origin"}


def preflight_headers(asked: Mapping[str, str]) -> dict[str, str]:
    """The headers, besides those of `cors_headers`, of the answer to a preflight request."""
    headers = {"Access-Control-Allow-Methods": METHODS, "Access-Control-Max-Age": MAX_AGE}
    names = asked.get("Access-Control-Request-Headers", "").strip()
    if HEADER_NAMES.fullmatch(names):
        headers["Access-Control-Allow-Headers"] = names
    if asked.get("Access-Control-Request-Private-Network") == "true":
        headers["Access-Control-Allow-Private-Network"] = "true"
    return headers


def _is_address(origin: str) -> bool:
    try:
        host = urlsplit(origin).hostname or ""
    except ValueError:
        return False
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return True
