"""What both clients say to an upstream, and what they make of its answer. No input or output.

The shells (upstream.py with asyncio, blocking.py without) send what this gives and ask it about what came.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import msgspec

from streamweir.attempt import Attempt, Framing
from streamweir.client.opening import Opening
from streamweir.client.origin import origin_of
from streamweir.client.settings import UpstreamSettings
from streamweir.errors import (
    APIConnectionError,
    ProtocolError,
    RequestError,
    StreamError,
)
from streamweir.events import Limits, Opened, Released
from streamweir.flows.backoff import parse_retry_after
from streamweir.flows.handshake import Failure, deadline_error
from streamweir.genesys.refusals import CORRELATION_ID, rate_limit, refusal
from streamweir.relay import Relay
from streamweir.report import RateLimitReport
from streamweir.request import Bounds, Request
from streamweir.stages.integrity import Integrity
from streamweir.stages.limits import SENTENCES, TimeLimits
from streamweir.stages.release import Names
from streamweir.stages.report import Identity
from streamweir.tokens import counter
from streamweir.window import fit, prompt_text, window_of
from streamweir.wire.http1 import Answer, encode_head, with_body
from streamweir.wire.ndjson import NdjsonDecoder
from streamweir.wire.sse import SseDecoder
from streamweir.wire.websocket import WebSocket, upgrade_headers

Out = TypeVar("Out")

STREAM_TYPES = frozenset(
    (
        "text/event-stream",
        "application/x-ndjson",
        "application/ndjson",
        "application/jsonl",
        "text/plain",
        "application/octet-stream",
        "",
    )
)
"""Content types a stream may come under; some gateways label it wrongly. JSON or HTML is an answer of another kind."""

SHOWN = 200
"""Characters of an unexpected message that an error repeats."""


class Exchange:
    """How one upstream is spoken to. `limits` is what its rate-limit headers last said."""

    def __init__(self, settings: UpstreamSettings) -> None:
        dialect = settings.spoken
        self.settings = settings
        self.dialect = dialect
        self.limits = RateLimitReport()
        self._head: tuple[str | None, bytes] = ("", b"")
        self.origin, base = origin_of(
            settings.hosts.api, settings.ca_file, settings.proxy, tunnelled=dialect.framing == "websocket"
        )
        self.target = self.origin.target(base.rstrip("/") + (settings.path or dialect.path))
        self._headers = (
            ("Accept", dialect.accept),
            ("User-Agent", "streamweir"),
            *dialect.headers,
            *settings.headers,
        )

    # -- what is sent ----------------------------------------------------------------------------------

    def body(self, opening: Opening) -> bytes:
        """The JSON of a request. Raises RequestError; its subclass ContextWindowExceeded, where a window is known."""
        request, limits = opening.request, opening.limits
        request = self._windowed(request, opening)
        bounds = Bounds(self.settings.message_chars, limits.deadline, limits.inactivity_timeout)
        try:
            return msgspec.json.encode(self.dialect.encode_body(request, bounds))
        except (TypeError, UnicodeEncodeError, RecursionError) as error:
            raise RequestError(f"the request cannot be written as JSON: {error}") from None

    def prompt_tokens(self, opening: Opening) -> int:
        """The tokens of the prompt as it will be sent, or an upper estimate. Raises RequestError where `body` would."""
        self.body(opening)
        request = self._windowed(opening.request, opening)
        return counter(request.model)(prompt_text(request.messages)).tokens

    def _windowed(self, request: Request, opening: Opening) -> Request:
        if opening.window is None and not self.dialect.counted:
            return request
        limit = window_of(request.model, opening.window)
        messages, _ = fit(request.messages, limit, counter(request.model), opening.on_overflow)
        return (
            request if len(messages) == len(request.messages) else msgspec.structs.replace(request, messages=messages)
        )

    def post(self, request: Request, body: bytes, token: str | None) -> bytes:
        """The HTTP request that carries `body`. Its head is the same for all requests with one token."""
        head = self._head
        if head[0] != token or self.dialect.request_id_header is not None:
            headers = [("Content-Type", "application/json"), ("Accept-Encoding", "identity"), *self._headers]
            if token is not None:
                headers.append(("Authorization", f"Bearer {token}"))
            # threads share this: each sends the head that it looked at
            self._head = head = (token, self._encode("POST", request, headers))
        return with_body(head[1], body)

    def upgrade(self, request: Request, key: bytes, token: str | None) -> bytes:
        """The HTTP request that opens a WebSocket; `key` is 16 random bytes."""
        named = token is not None and self.settings.token_in == "subprotocol"
        headers = [*self._headers, *upgrade_headers(key, ("bearer", token or "") if named else ())]
        if token is not None and not named:
            headers.append(("Authorization", f"Bearer {token}"))
        return with_body(self._encode("GET", request, headers), None)

    def _encode(self, method: str, request: Request, headers: list[tuple[str, str]]) -> bytes:
        if self.dialect.request_id_header is not None:
            headers.append((self.dialect.request_id_header, request.request_id))
        try:
            return encode_head(method, self.target, self.origin.authority, headers)
        except ValueError as error:
            raise RequestError(str(error)) from None

    # -- what came -------------------------------------------------------------------------------------

    def heard(self, opening: Opening, headers: Mapping[str, str]) -> RateLimitReport | None:
        """Note what the headers of an answer say, whatever its status; what they say of the request budget."""
        if (said := rate_limit(headers)) is not None:
            self.limits = said
            opening.events.append(Limits(said))
        opening.correlation_id = headers.get(CORRELATION_ID) or headers.get("x-request-id")
        return said

    def refused(self, answer: Answer, body: bytes, wall: float) -> Failure:
        """The failure that an error status means; `wall` is the present in seconds since the epoch."""
        error = refusal(answer.status, answer.headers, body, self.settings.required_scopes)
        if answer.status == 401 and self.settings.bearer_hint:
            error.message += f"; {self.settings.bearer_hint}"
            error.args = (error.message,)
        retry_after = parse_retry_after(answer.headers.get("retry-after"), wall)
        error.retry_after = retry_after
        return Failure("ambiguous" if answer.status in (500, 504) else "refused", error, answer.status, retry_after)

    def unreadable(self, opening: Opening, answer: Answer) -> Failure | None:
        """Why an accepted answer is no stream."""
        encoding = answer.headers.get("content-encoding", "identity").strip().lower()
        kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        if encoding not in ("", "identity"):
            message = (
                f"the upstream sent a body compressed with {encoding}, although identity was asked for: "
                "turn compression off for this route, there or in the proxy before it"
            )
        elif kind not in STREAM_TYPES:
            message = f"the upstream answered {kind}, not an event stream: check path and base_url, and that it streams"
        else:
            return None
        error = ProtocolError(message, code="protocol_error", correlation_id=opening.correlation_id)
        return Failure("final", error)

    def lost(self, detail: str) -> APIConnectionError:
        """The connection ended before an answer."""
        return APIConnectionError(f"the upstream closed the connection before it answered: {detail}", code="lost")

    @staticmethod
    def late(limit: str, limits: TimeLimits) -> StreamError:
        """The error of a call whose time ran out before it was accepted."""
        return deadline_error(limit, f"{SENTENCES[limit].format(getattr(limits, limit))} ({limit})")

    # -- what follows ----------------------------------------------------------------------------------

    def attempt(self, opening: Opening) -> Attempt:
        """The decoders for one answer."""
        framing: Framing
        if self.dialect.framing == "sse":
            framing = SseDecoder()
        elif self.dialect.framing == "ndjson":
            framing = NdjsonDecoder()
        else:
            framing = opening.socket or WebSocket(opening.called_at)
        settings = self.settings
        return Attempt(
            framing=framing,
            decode=self.dialect.decoder(opening.decode or settings.decode),
            integrity=Integrity(failing=opening.again.on_gaps != "ignore", max_gap_ratio=settings.max_gap_ratio)
            if self.dialect.numbered
            else None,
            sent_at=opening.sent_at or opening.called_at,
            attempts=opening.before + opening.attempts,
            received=len(opening.socket.unread) if opening.socket is not None else 0,
            correlation_id=opening.correlation_id or (opening.error.correlation_id if opening.error else None),
            identity=self.identity(opening),
            limits=opening.limits,
            policy=opening.again,
        )

    def identity(self, opening: Opening) -> Identity:
        """Who a stream is that this upstream answers."""
        request = opening.request
        return Identity(
            request_id=request.request_id,
            dialect=self.dialect.name,
            model=request.model,
            started_at=opening.started_at,
            called_at=opening.called_at,
            prompt_bytes=request.prompt_bytes,
            profile=opening.profile,
            region=self.settings.hosts.region,
            prompt_id=request.prompt_id,
            conversation_id=request.conversation_id,
            choices=opening.choices,
        )

    def relay(
        self,
        opening: Opening,
        encode: Callable[[Sequence[Released]], Out],
        now: float,
    ) -> tuple[Relay[Out], Out]:
        """The relay for what was opened, and what its start gives: the events so far; the end, where it was refused."""
        request, dialect = opening.request, self.dialect
        relay = Relay(
            self.attempt(opening),
            release=opening.release(Names(request.request_id, request.model, dialect.name)),
            encode=encode,
            coalesced=opening.coalesced,
            recorded=opening.entry is not None,
        )
        if opening.error is not None:
            opening.error.correlation_id = opening.error.correlation_id or opening.correlation_id
            out = relay.refuse(opening.error, opening.events, now)
            if relay.report is not None and relay.report.error is not None:
                # what an upstream says where it refuses may repeat the prompt: it leaves as the guard let it
                opening.error.message = relay.report.error.message
                opening.error.args = (opening.error.message,)
            return relay, out
        if opening.connection is None:
            return relay, relay.start(opening.events, now)
        return relay, relay.start([*opening.events, Opened(opening.correlation_id)], now)
