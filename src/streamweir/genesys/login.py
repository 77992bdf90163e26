"""The token request and its answer (OAuth 2.0 client credentials). Wire contract 1. Pure."""

from __future__ import annotations

from base64 import b64encode
from typing import Any, Final, Literal
from urllib.parse import urlencode

import msgspec

from streamweir.errors import (
    APIStatusError,
    AuthenticationError,
    MissingScopeError,
    ProtocolError,
    RateLimitError,
    status_class,
)
from streamweir.genesys.errors import parse_error
from streamweir.genesys.regions import Hosts

Login = Literal["platform", "api-body", "api-basic", "login-v2"]

PATHS: Final[dict[Login, str]] = {
    "platform": "/oauth/token",
    "api-body": "/oauth/token",
    "api-basic": "/oauth/token",
    "login-v2": "/login/oauth2/token",
}
ASSUMED_LIFETIME: Final = 300.0
"""Seconds, where the answer names none: the shortest that the platform can be set to."""

MAX_LIFETIME: Final = 10 * 365 * 86_400
"""Seconds that are believed: the number is the peer's choice, and may be one that no float holds."""


class TokenRequest(msgspec.Struct, frozen=True):
    """The POST that asks for a token. Never log it: the headers or the body hold the secret."""

    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def __repr__(self) -> str:
        return f"TokenRequest({self.url!r})"


class Grant(msgspec.Struct, frozen=True):
    """A token and how long it is said to live, in seconds; `scopes` are those that the answer lists, if any."""

    access_token: str
    expires_in: float
    scopes: tuple[str, ...] | None = None

    def __repr__(self) -> str:
        return f"Grant(expires_in={self.expires_in:g})"


def token_request(
    login: Login,
    hosts: Hosts,
    client_id: str,
    client_secret: str,
    scopes: tuple[str, ...],
    token_url: str | None,
    *,
    send_scope: bool = False,
) -> TokenRequest:
    """The request for one login form. `token_url` replaces the endpoint, not the form.

    `login-v2` always sends the scopes, `api-body` where `send_scope` says so, the others never.
    """
    base = hosts.login if login == "platform" else hosts.api
    form = {"grant_type": "client_credentials"}
    headers = [("Content-Type", "application/x-www-form-urlencoded"), ("Accept", "application/json")]
    if login in ("platform", "api-basic"):
        secret = b64encode(f"{client_id}:{client_secret}".encode()).decode()
        headers.append(("Authorization", f"Basic {secret}"))
    else:
        form |= {"client_id": client_id, "client_secret": client_secret}
    if scopes and (login == "login-v2" or (login == "api-body" and send_scope)):
        form["scope"] = " ".join(scopes)
    return TokenRequest(token_url or base + PATHS[login], tuple(headers), urlencode(form).encode())


def read_grant(body: bytes, client_id: str, scopes: tuple[str, ...]) -> Grant:
    """The token in a 200 answer. Raises MissingScopeError or ProtocolError."""
    try:
        answer = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        answer = {}
    token = answer.get("access_token")
    if not isinstance(token, str) or not token:
        raise ProtocolError(
            "the token endpoint answered 200 without an access_token: check token_url", code="protocol_error"
        )
    granted = answer.get("scope")
    if isinstance(granted, str) and granted.strip():
        missing = [scope for scope in scopes if scope not in granted.split()]
        if missing:
            raise MissingScopeError(
                f"client {client_id!r} was granted a token without the scope {' '.join(missing)}: "
                "add it to the OAuth client, or set scopes = [] if your tenant does not use them",
                code="missing_scope",
            )
    lifetime = answer.get("expires_in")
    return Grant(
        token,
        float(min(lifetime, MAX_LIFETIME)) if isinstance(lifetime, int | float) and lifetime > 0 else ASSUMED_LIFETIME,
        tuple(granted.split()) if isinstance(granted, str) and granted.strip() else None,
    )


def token_refusal(status: int, body: bytes, client_id: str, where: str) -> APIStatusError:
    """The error that a refused token request means."""
    said = parse_error(body)
    kind = status_class(status)
    message = f"the token endpoint refused client {client_id!r} with HTTP {status}"
    if said.code == "invalid_client" or status == 401:
        kind = AuthenticationError
        message += (
            f": the client id or secret is wrong, or they belong to another region than {where}; "
            "check both, and the region"
        )
    elif status == 429 or (status == 400 and "rate limit" in said.message.lower()):
        kind = RateLimitError
        message += ": its rate limit is used up"
    elif said.message:
        message += f": {said.message}"
    error = kind(message, code=said.code)
    error.status = status
    return error
