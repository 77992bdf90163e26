"""How a token request fails, in both clients. No input or output."""

from __future__ import annotations

from streamweir.errors import APIConnectionError, APITimeoutError
from streamweir.flows.handshake import Failure

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
