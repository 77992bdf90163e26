"""A token request, its answer, and how it fails, in both clients. No input or output."""

from __future__ import annotations

from streamweir.client.origin import Origin, origin_of
from streamweir.client.settings import UpstreamSettings
from streamweir.errors import APIConnectionError, APITimeoutError, StreamweirError
from streamweir.flows.backoff import parse_retry_after
from streamweir.flows.handshake import Failure
from streamweir.genesys.login import Grant, read_grant, token_refusal, token_request
from streamweir.wire.http1 import Answer, encode_request

TOKEN_TIMEOUT = 10.0
"""Seconds for connecting to the token endpoint, and again for its answer (wire contract 1)."""

MAX_ERROR_BODY = 64 * 1024
"""Bytes of an error's or a token's body that are read; more is no message."""


GIVEN = "(from a function)"
"""Stands for a token where a function gives it."""


class TokenFailed(Exception):
    """No token; `failure` says why, for the handshake to decide on."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.error.message)
        self.failure = failure


def no_token_in_time() -> Failure:
    """The token endpoint was silent."""
    late = APITimeoutError(f"the token endpoint did not answer within {TOKEN_TIMEOUT:g} s", code="token_timeout")
    return Failure("not_connected", late)


def token_lost(detail: str) -> Failure:
    """The token endpoint closed the connection."""
    lost = APIConnectionError(f"the token endpoint closed the connection: {detail}", code="lost")
    return Failure("not_connected", lost)


def token_post(settings: UpstreamSettings) -> tuple[Origin, bytes]:
    """Where a token is asked for, and the HTTP request that does."""
    asked = token_request(
        settings.login_form,
        settings.hosts,
        settings.client_id or "",
        settings.client_secret or "",
        settings.asked_scopes,
        settings.token_url,
        send_scope=settings.dialect == "ws-gateway",
    )
    origin, path = origin_of(asked.url, settings.ca_file, settings.token_proxy)
    headers = (*asked.headers, ("Accept-Encoding", "identity"), ("User-Agent", "streamweir"))
    return origin, encode_request("POST", origin.target(path), origin.authority, headers, asked.body)


def grant_in(settings: UpstreamSettings, answer: Answer, body: bytes, wall: float) -> Grant:
    """The token in the answer of a token endpoint. Raises TokenFailed."""
    client_id = settings.client_id or ""
    if answer.status != 200:
        where = settings.hosts.region or settings.token_url or settings.hosts.api
        refused = token_refusal(answer.status, body, client_id, where)
        wait = parse_retry_after(answer.headers.get("retry-after"), wall)
        raise TokenFailed(Failure("refused", refused, answer.status, wait))
    try:
        return read_grant(body, client_id, settings.required_scopes)
    except StreamweirError as error:
        raise TokenFailed(Failure("final", error)) from None
