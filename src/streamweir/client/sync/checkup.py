"""Looks at an upstream step by step, for `doctor`: reach it, get a token, stream a little. Each finding has its fix."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from itertools import pairwise
from typing import Any, Literal

import msgspec

from streamweir.client.asking import opening_for
from streamweir.client.grants import TokenFailed
from streamweir.client.lost import AnswerTimeout, ConnectionLost
from streamweir.client.resolve import Client
from streamweir.client.sync.cancellation import Cancellation
from streamweir.client.sync.oauth import fetch_token
from streamweir.client.sync.stream import Stream
from streamweir.client.sync.upstream import SyncUpstreamClient
from streamweir.errors import APIError, ConfigError, RequestError, StreamweirError
from streamweir.flows.buffer import is_text
from streamweir.wire.http1 import encode_request

Verdict = Literal["ok", "warn", "fail"]

CLOCK_SKEW = 30.0
"""Seconds between our clock and the upstream's that are worth a word: dates in Retry-After would be read wrong."""

CERTIFICATE_DAYS = 14.0
"""Days before a certificate ends that are worth a word."""

TOGETHER = 8
"""Pieces of text: that many that arrive at one moment were held back by something."""

AT_ONCE = 0.005
"""Seconds: pieces that come so close together came in one go."""


class Finding(msgspec.Struct, frozen=True):
    """What was looked at, and what to do about it."""

    check: str
    verdict: Verdict
    detail: str
    fix: str = ""
    error: str = ""


def examine(client: Client, model: str | None, prompt_id: str | None) -> Iterator[Finding | StreamweirError]:
    """Findings, each as soon as it is known, and the error that ended the examination, if one did."""
    upstream = SyncUpstreamClient(client.settings)
    try:
        for part in (_reach(upstream), _token(upstream), _stream(upstream, client, model, prompt_id)):
            for finding in part:
                yield finding
                if isinstance(finding, StreamweirError):
                    return
    finally:
        upstream.close()


def _reach(upstream: SyncUpstreamClient) -> Iterator[Finding | StreamweirError]:
    origin = upstream.exchange.origin
    began = time.monotonic()
    try:
        line = upstream.lines.take(origin, upstream.settings.limits.connect, Cancellation())
    except APIError as error:
        yield _failed("connection", error, "check region or base_url, the network, and HTTPS_PROXY and NO_PROXY")
        yield error
        return
    through = " through the proxy" if origin.proxy else ""
    yield Finding("connection", "ok", f"{origin.where}{through} in {(time.monotonic() - began) * 1000:.0f} ms")
    if isinstance(line.sock, ssl.SSLSocket):
        yield _certificate(line.sock)
    try:
        # any answer will do: what is wanted is its date
        answer = line.exchange(
            encode_request("GET", origin.target("/"), origin.authority, [("Accept-Encoding", "identity")]), 5.0
        )
        yield _clock(answer.headers.get("date"))
    except (AnswerTimeout, ConnectionLost):
        yield Finding("clock", "warn", "the upstream gave no date to compare with")
    upstream.lines.drop(line)


def _certificate(sock: ssl.SSLSocket) -> Finding:
    ends: Any = (sock.getpeercert() or {}).get("notAfter")
    left = (ssl.cert_time_to_seconds(ends) - time.time()) / 86_400 if isinstance(ends, str) else 0.0
    detail = f"{sock.version()}, the certificate is trusted and ends in {left:.0f} days"
    if left < CERTIFICATE_DAYS:
        return Finding("TLS", "warn", detail, "renew it, or tell who runs the upstream")
    return Finding("TLS", "ok", detail)


def _clock(date: str | None) -> Finding:
    try:
        skew = abs(parsedate_to_datetime(date or "").timestamp() - time.time())
    except ValueError:
        return Finding("clock", "warn", "the upstream gave no date to compare with")
    if skew > CLOCK_SKEW:
        return Finding("clock", "warn", f"{skew:.0f} s apart from the upstream's", "set this machine's clock (NTP)")
    return Finding("clock", "ok", f"within {max(1.0, skew):.0f} s of the upstream's")


def _token(upstream: SyncUpstreamClient) -> Iterator[Finding | StreamweirError]:
    settings = upstream.settings
    if not settings.needs_token:
        how = "given by hand" if settings.bearer else "none, and none is sent"
        yield Finding("token", "ok" if settings.bearer else "warn", how, settings.bearer_hint)
        return
    try:
        grant = fetch_token(upstream.lines, settings, Cancellation())
    except TokenFailed as failed:
        error = failed.failure.error
        yield _failed("token", error, "check client id, secret and region: they belong together")
        yield error
        return
    yield Finding("token", "ok", f"granted for {grant.expires_in:.0f} s, login form {settings.login_form}")
    required = " ".join(settings.required_scopes) or "none"
    if grant.scopes is None:
        detail = f"the endpoint names none (client credentials work by roles); the dialect names {required}"
    else:
        detail = f"{' '.join(grant.scopes)}; required are {required}"
    yield Finding("scopes", "ok", detail)


def _stream(
    upstream: SyncUpstreamClient, client: Client, model: str | None, prompt_id: str | None
) -> Iterator[Finding | StreamweirError]:
    ask: dict[str, Any] = {"messages": [{"role": "user", "content": "Count from one to twenty."}], "model": model}
    if prompt_id is not None:
        ask["prompt_id"] = prompt_id
    first: float | None = None
    times: list[float] = []
    try:
        opening = opening_for(client, {name: value for name, value in ask.items() if value}, "doctor", time.time())
        with Stream(upstream, opening, {}) as stream:
            began = opening.called_at
            for event in stream:
                if is_text(event):
                    times.append(time.monotonic())
                    if first is None:
                        first = times[0] - began
                        yield Finding("first token", "ok", f"after {first * 1000:.0f} ms")
                if len(times) > 4 * TOGETHER:
                    break
    except (ConfigError, RequestError) as error:
        yield _failed("first token", error, "give --model and what the dialect needs besides")
        yield error
        return
    except StreamweirError as error:
        check = "first token" if first is None else "stream"
        yield _failed(check, error, "see docs/errors.md for what this code means")
        yield error
        return
    if first is None:
        yield Finding(
            "first token", "fail", "the stream ended without any text", "ask for text: another model or prompt"
        )
        return
    yield _buffering(times)


def _buffering(times: list[float]) -> Finding:
    """Whether the pieces came as they were made, or in one go."""
    gaps = [later - earlier for earlier, later in pairwise(times)]
    if len(times) >= TOGETHER and sum(gap > AT_ONCE for gap in gaps) <= len(gaps) // TOGETHER:
        return Finding(
            "buffering",
            "warn",
            f"{len(times)} pieces came in one go: something between here and the model holds the stream back",
            "turn response buffering and compression off in proxies on the way (nginx: proxy_buffering off)",
        )
    if len(times) < TOGETHER:
        return Finding("buffering", "ok", f"not seen in {len(times)} pieces, which are too few to be sure")
    return Finding("buffering", "ok", f"{len(times)} pieces came one by one")


def _failed(check: str, error: StreamweirError, fix: str) -> Finding:
    return Finding(check, "fail", error.message, fix, type(error).__name__)
