"""What both clients do about reaching an origin: through a proxy or not, and the errors. No input or output."""

from __future__ import annotations

import ssl

from streamweir.client.origin import Origin, origin_of
from streamweir.client.proxies import proxy_authorization
from streamweir.errors import APIConnectionError, APITimeoutError
from streamweir.wire.http1 import encode_request

MAX_IDLE = 512
"""Idle connections that are kept for one origin; a burst may open more, which are then closed."""

IDLE_SECONDS = 30.0
"""An idle connection is not reused after this: servers commonly close theirs after 60 s, some after 75."""


def via(origin: Origin) -> tuple[str, int]:
    """Host and port to connect to: the proxy's, where there is one."""
    if origin.proxy is None:
        return origin.host, origin.port
    proxy, _ = origin_of(origin.proxy)
    return proxy.host, proxy.port


def tunnel(origin: Origin) -> bytes | None:
    """The CONNECT request that opens a way through the proxy; None where there is no proxy, or none is opened.

    Plain http goes to the proxy as it is, with the whole URL as its target (RFC 9112 3.2.2).
    """
    if origin.proxy is None or (origin.scheme == "http" and not origin.tunnelled):
        return None
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    authority = f"{host}:{origin.port}"
    authorization = proxy_authorization(origin.proxy)
    headers = [("Proxy-Authorization", authorization)] if authorization else []
    return encode_request("CONNECT", authority, authority, headers)


def no_connection(origin: Origin, error: OSError) -> APIConnectionError:
    """No connection was made."""
    return APIConnectionError(
        f"no connection to {_where(origin)}: {error.strerror or error}; check base_url or region", code="not_connected"
    )


def no_connection_in_time(origin: Origin, timeout: float) -> APITimeoutError:
    """No connection was made within `timeout` seconds."""
    return APITimeoutError(f"no connection to {_where(origin)} within {timeout:g} s", code="connect_timeout")


def no_tls(origin: Origin, error: ssl.SSLError) -> APIConnectionError:
    """The peer's certificate is not trusted, or it speaks no TLS."""
    return APIConnectionError(
        f"no TLS connection to {origin.where}: {getattr(error, 'verify_message', '') or error.reason or error}; "
        "for a private CA set ca_file",
        code="tls",
    )


def no_tunnel(origin: Origin, status: int) -> APIConnectionError:
    """The proxy opened no way to the upstream."""
    why = "it asks for credentials: put them into the proxy's URL" if status == 407 else "ask who runs it"
    return APIConnectionError(
        f"the proxy {':'.join(map(str, via(origin)))} refused a way to {origin.where} with HTTP {status}: {why}",
        code="proxy_refused",
    )


def _where(origin: Origin) -> str:
    return origin.where if origin.proxy is None else f"{origin.where} through {':'.join(map(str, via(origin)))}"
