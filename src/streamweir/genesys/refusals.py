"""What an error status from a gateway means, as an error that says what to do. Wire contract 4. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from streamweir.errors import APIStatusError, status_class
from streamweir.genesys.errors import parse_error
from streamweir.report import RateLimitReport

CORRELATION_ID = "inin-correlation-id"
COUNT = "inin-ratelimit-count"
ALLOWED = "inin-ratelimit-allowed"
RESET = "inin-ratelimit-reset"


def refusal(status: int, headers: Mapping[str, str], body: bytes, scopes: tuple[str, ...]) -> APIStatusError:
    """The error for an answer of 300 or above. `headers` have lower-case names."""
    said = parse_error(body)
    parts = [f"the upstream refused with HTTP {status}"]
    if said.message:
        parts.append(said.message.rstrip("."))
    if 300 <= status < 400:
        parts.append(
            f"it redirects to {headers.get('location', 'elsewhere')!r}, and credentials are not re-sent: mend base_url"
        )
    elif status == 401:
        parts.append("the token or API key is not accepted")
    elif status == 403:
        named = f" (the dialect names {' '.join(scopes)})" if scopes else ""
        parts.append(f"a role permission is missing: give the OAuth client's role the LLM permissions{named}")
    elif status == 404:
        parts.append("check base_url or region, path and model")
    error = status_class(status)(
        ": ".join(parts[:2]) + "".join(f"; {part}" for part in parts[2:]),
        code=said.code,
        correlation_id=headers.get(CORRELATION_ID),
    )
    error.status = status
    error.context_id = said.context_id
    return error


def rate_limit(headers: Mapping[str, str]) -> RateLimitReport | None:
    """What the `inin-ratelimit-*` headers said, if they were there."""
    count, allowed, reset = headers.get(COUNT), headers.get(ALLOWED), headers.get(RESET)
    if count is None and allowed is None and reset is None:
        return None
    said = RateLimitReport(count=_int(count), allowed=_int(allowed), reset=_int(reset))
    return said if said != RateLimitReport() else None


def _int(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 10 else None
